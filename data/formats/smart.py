"""SMART: documents and queries of the classic search collections, such as Cranfield, a `.I` line before each."""

import re

import numpy as np

from data.formats import files
from data.formats.base import Batch, Block
from data.formats.lines import LineFormat
from data.formats.rows import check_columns, from_values, rejected

NUMBER = re.compile(r"\.I\s+(\S+)\s*$")
OPENS, OPENS_IN_BYTES = re.compile(r"\.I(?:\s|$)"), re.compile(rb"\n\.I\s")
FIELD = re.compile(r"\.([A-HJ-Z])\s*$")
NAMES = {"T": "title", "A": "author", "B": "source", "W": "text", "X": "references", "K": "keywords", "N": "entered"}


class Smart(LineFormat):
    """`.I 12`, then fields that a line with a letter opens: `.T` title, `.A` author, `.B` source, `.W` text.

    The number after `.I` is the column `id`; a field's lines become one, with spaces between; other letters are columns
    by their name. A row's line is that of its `.I`.
    """

    extensions = (".smart", ".qry")

    def whole(self, path: str) -> Block:
        """Columns are those of the file's head."""
        head = files.read_head(path).decode(self.encoding, "replace")
        letters = dict.fromkeys(found[1] for line in head.splitlines() if (found := FIELD.match(line)))
        return Block(path, 0, files.size(path), columns=("id", *(NAMES.get(letter, letter) for letter in letters)))

    def boundary(self, buffer: bytes) -> int:
        return max((found.start() + 1 for found in OPENS_IN_BYTES.finditer(buffer)), default=0)

    def parse(
        self, block: Block, first: int, lines: list[str], columns: tuple[str, ...], final: bool
    ) -> tuple[Batch, int]:
        check_columns(block.path, columns, block.columns)
        opens = [place for place, line in enumerate(lines) if OPENS.match(line)]
        used = len(lines) if final else (opens[-1] if opens else 0)
        starts = sorted({0, *(place for place in opens if place < used)}) if used else []
        rows, numbers, rejects, raws = [], [], [], []
        for start, end in zip(starts, [*starts[1:], used][: len(starts)], strict=True):
            raw = "".join(lines[start:end])
            if not raw.strip():
                continue
            row, wrong = _row(lines[start:end])
            if wrong:
                rejects.append(rejected(block.path, first + start, wrong, raw))
                continue
            rows.append(row)
            numbers.append(first + start)
            raws.append(raw)
        values = [[row.get(name) for row in rows] for name in columns]
        return from_values(block.path, columns, values, np.array(numbers, np.int64), rejects, raws.__getitem__), used


def _row(lines: list[str]) -> tuple[dict[str, str], str]:
    """A record's columns, or what is wrong with it."""
    number = NUMBER.match(lines[0])
    if not number:
        return {}, "no '.I' and a number where a record begins"
    fields: dict[str, list[str]] = {}
    field = None
    for line in lines[1:]:
        if opened := FIELD.match(line):
            field = fields.setdefault(NAMES.get(opened[1], opened[1]), [])
        elif field is not None:
            field.append(line.strip())
        elif line.strip():
            return {}, "text before the first field"
    return {"id": number[1], **{name: " ".join(filter(None, parts)) for name, parts in fields.items()}}, ""
