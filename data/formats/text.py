"""Plain text: an example a line, or an example a file."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from data.formats import files
from data.formats.base import BATCH_ROWS, BLOCK_BYTES, RECORD_BYTES, Batch, Block, Reject
from data.formats.lines import TOO_LONG, LineFormat, without_bom
from data.formats.rows import from_values, rejected
from data.formats.whole import ArrowRows, Rows

COLUMNS = ("text",)
FILES_A_BLOCK = 1024


class Text(LineFormat):
    """Plain text in a column called `text`. Lines of nothing but white space separate texts and hold none."""

    extensions = (".txt",)
    unit: Literal["line", "file"] = Field("line", description="what an example is")

    def plan(self, *paths: str, block_bytes: int = BLOCK_BYTES) -> list[Block]:
        """As for every format; where a file is an example, 1,024 of the files given share a block."""
        if self.unit == "line":
            return super().plan(*paths, block_bytes=block_bytes)
        groups = [(start, paths[start : start + FILES_A_BLOCK]) for start in range(0, len(paths), FILES_A_BLOCK)]
        return [Block(group[0], start, start + len(group), columns=COLUMNS, files=group) for start, group in groups]

    def whole(self, path: str) -> Block:
        return Block(path, 0, files.size(path), columns=COLUMNS)

    def read(self, block: Block, columns: tuple[str, ...]) -> Iterator[Batch]:
        return self._read_files(block, columns) if self.unit == "file" else super().read(block, columns)

    def read_whole(self, block: Block, columns: tuple[str, ...]) -> Iterator[tuple[Batch, Rows]]:
        """A text that is a file is known by its path, in a column called `file`."""
        for batch, rows in super().read_whole(block, columns):
            named = ArrowRows(batch.table.append_column("file", pa.array(batch.paths, pa.string())))
            yield batch, named if self.unit == "file" else rows

    def parse(
        self, block: Block, first: int, lines: list[str], columns: tuple[str, ...], final: bool
    ) -> tuple[Batch, int]:
        texts = [line.rstrip("\r\n") for line in lines]
        places = [place for place, text in enumerate(texts) if text and not text.isspace()]
        texts = [texts[place] for place in places]
        numbers = np.array(places, np.int64) + first
        batch = from_values(block.path, columns, [texts] * len(columns), numbers, [], lambda i: texts[i])
        return batch, len(lines)

    def _read_files(self, block: Block, columns: tuple[str, ...]) -> Iterator[Batch]:
        self.check(block, columns)
        texts, paths, rejects, held = [], [], [], 0
        for path in block.files:
            text = self._read_file(path)
            held += len(text) if isinstance(text, str) else 0
            if isinstance(text, Reject):
                rejects.append(text)
            else:
                texts.append(text)
                paths.append(path)
            if path == block.files[-1] or len(texts) == BATCH_ROWS or held > BLOCK_BYTES:
                lines = np.ones(len(texts), np.int64)
                yield from_values(paths, columns, [texts] * len(columns), lines, rejects, texts.__getitem__)
                texts, paths, rejects, held = [], [], [], 0

    def _read_file(self, path: str) -> str | Reject:
        with files.open_stream(path) as file:
            try:
                data = file.read(RECORD_BYTES + 1)
            except files.DAMAGE as error:
                return rejected(path, 0, files.damage_reason(error))
        text = without_bom(data, self.encoding).decode(self.encoding, "surrogateescape").rstrip("\r\n")
        return text if len(data) <= RECORD_BYTES else rejected(path, 1, TOO_LONG.replace("line", "file"), text)
