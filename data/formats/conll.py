"""CoNLL: a token a line, its tags in columns, a blank line after each sentence."""

from typing import Any

import numpy as np
from pydantic import Field

from data.formats import files
from data.formats.base import Batch, Block
from data.formats.lines import LineFormat
from data.formats.rows import from_values, rejected

DOCUMENT = "-DOCSTART-"  # the first token of a line that is no sentence (CoNLL-2003)


class Conll(LineFormat):
    """Sentences of tokens with tags in columns, each column a list of texts; `-DOCSTART-` lines hold none.

    Columns have the names given, else their numbers from "1". In `.conllu` files lines that begin with `#` are
    comments, and words that are split into others (ids like 3-4 or 5.1) are left to their parts.
    """

    extensions = (".conll", ".conllu", ".iob", ".bio")
    names: tuple[str, ...] = Field((), alias="columns", description='names of the columns; "1", "2", ... if empty')
    delimiter: str = Field("", description="between the columns; any white space if empty")
    comments: str = Field("", description="lines that begin with it hold no token; `#` in .conllu files if empty")

    def whole(self, path: str) -> Block:
        """Names and number of the columns are those of the file's first token."""
        for line in files.read_head(path).decode(self.encoding, "replace").removeprefix("\ufeff").splitlines():
            cells = self._cells(line, path)
            if cells and cells[0] != DOCUMENT:
                numbers = [str(n + 1) for n in range(len(cells))]
                return Block(path, 0, files.size(path), columns=(*self.names, *numbers[len(self.names) :]))
        return Block(path, 0, files.size(path), columns=self.names)

    def boundary(self, buffer: bytes) -> int:
        return max(
            buffer.rfind(b"\n\n") + 2 if b"\n\n" in buffer else 0,
            buffer.rfind(b"\n\r\n") + 3 if b"\n\r\n" in buffer else 0,
        )

    def parse(
        self, block: Block, first: int, lines: list[str], columns: tuple[str, ...], final: bool
    ) -> tuple[Batch, int]:
        blank = [place for place, line in enumerate(lines) if not line.strip()]
        used = len(lines) if final else (blank[-1] + 1 if blank else 0)
        starts = [0, *(place + 1 for place in blank if place < used)]
        values: list[list[Any]] = [[] for _ in columns]
        numbers, rejects, raws = [], [], []
        for start, end in zip(starts, [*(p for p in blank if p < used), used], strict=True):
            tokens = [(place, self._cells(lines[place], block.path)) for place in range(start, end)]
            tokens = [(place, cells) for place, cells in tokens if cells and cells[0] != DOCUMENT]
            if not tokens:
                continue
            raw = "".join(lines[start:end])
            wrong = [(place, cells) for place, cells in tokens if len(cells) != len(block.columns)]
            if wrong:
                place, cells = wrong[0]
                reason = f"line {first + place} has {len(cells)} columns where {len(block.columns)} were wanted"
                rejects.append(rejected(block.path, first + start, reason, raw))
                continue
            for column, name in zip(values, columns, strict=True):
                at = block.columns.index(name)
                column.append([cells[at] for _, cells in tokens])
            numbers.append(first + start)
            raws.append(raw)
        lines_of = np.array(numbers, np.int64)
        return from_values(block.path, columns, values, lines_of, rejects, raws.__getitem__, lists=columns), used

    def _cells(self, line: str, path: str) -> list[str]:
        """The columns of a line; none for a comment, a blank line, and a word that is split into others."""
        universal = path.removesuffix(".gz").endswith(".conllu")
        comments = self.comments or ("#" if universal else "")
        line = line.rstrip("\r\n")
        if not line.strip() or (comments and line.startswith(comments)):
            return []
        cells = line.split(self.delimiter or ("\t" if universal else None))
        return [] if universal and not cells[0].isdigit() else cells
