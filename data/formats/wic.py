"""The Word-in-Context distribution (Pilehvar and Camacho-Collados 2019): data and gold labels in two files."""

import io
import re
from typing import Any

import numpy as np

from data.formats import files
from data.formats.base import Batch, Block
from data.formats.lines import LineFormat
from data.formats.rows import from_values, rejected

COLUMNS = ("word", "pos", "text", "text_pair", "place", "place_pair", "label")
PLACES = re.compile(r"(\d+)-(\d+)")


class Wic(LineFormat):
    """`word <tab> part of speech <tab> i-j <tab> sentence <tab> sentence`, the word being the i-th (from 0) of the
    first and the j-th of the second, tokens with spaces between them; its label, T or F, is on the same line of the
    file that is called `gold` where this one is called `data` (`train.data.txt`, `train.gold.txt`).

    place and place_pair are the word's places, `start:end` in code points of its sentence. A file without gold labels
    beside it, such as the test set, has no labels.
    """

    def whole(self, path: str) -> Block:
        return Block(path, 0, files.size(path), columns=COLUMNS)

    def plan_file(self, path: str, block_bytes: int) -> list[Block]:
        return [self.whole(path)]  # the labels' lines are counted from the start

    def parse(
        self, block: Block, first: int, lines: list[str], columns: tuple[str, ...], final: bool
    ) -> tuple[Batch, int]:
        gold = _gold(block.path, self.encoding) if "label" in columns else None
        rows, numbers, rejects = [], [], []
        for number, line in enumerate(lines, first):
            row = _row(line.rstrip("\r\n"), number, gold)
            if isinstance(row, str):
                rejects.append(rejected(block.path, number, row, line))
            else:
                rows.append(row)
                numbers.append(number)
        values: list[list[Any]] = [[row[name] for row in rows] for name in columns]
        places = np.array(numbers, np.int64)
        return from_values(block.path, columns, values, places, rejects, lambda i: lines[numbers[i] - first]), len(
            lines
        )


def _gold(path: str, encoding: str) -> list[str] | None:
    """The labels, or None where there is no file of them."""
    folder, slash, name = path.rpartition("/")
    beside = folder + slash + name.replace("data", "gold")
    try:
        assert beside != path
        with files.open_stream(beside) as file:
            return [line.strip() for line in io.TextIOWrapper(file, encoding)]
    except (AssertionError, files.DataError):
        return None


def _row(line: str, number: int, gold: list[str] | None) -> dict[str, Any] | str:
    cells = line.split("\t")
    if len(cells) != 5:
        return f"{len(cells)} columns where 5 were wanted: word, part of speech, i-j, sentence, sentence"
    word, pos, places, text, text_pair = cells
    if not (found := PLACES.fullmatch(places)):
        return f"got '{places}' for the word's places; wanted i-j"
    spans = [_span(each, int(place)) for each, place in zip((text, text_pair), found.groups(), strict=True)]
    if not all(spans):
        return f"got places {places}, and a sentence has no such token"
    if gold is not None and number > len(gold):
        return "the file of gold labels has no such line"
    label = gold[number - 1] if gold is not None else None
    values = word, pos, text, text_pair, *spans, label
    return dict(zip(COLUMNS, values, strict=True))


def _span(text: str, place: int) -> str:
    tokens = text.split(" ")
    if place >= len(tokens):
        return ""
    start = sum(len(token) + 1 for token in tokens[:place])
    return f"{start}:{start + len(tokens[place])}"
