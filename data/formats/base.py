"""What a format is: a plan of blocks, and a reader that turns a block into Arrow batches and rejects.

A block (a byte range, a row group, a whole compressed file) is the unit of work that Beam hands
out, so it must be readable on its own and small enough to hold in memory a batch at a time.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from data.formats.whole import ArrowRows, Rows

BLOCK_BYTES = 8 << 20  # measured: smaller blocks cost more CPU a row, larger ones memory and even shares of the work
BATCH_ROWS = 8192
RECORD_BYTES = 16 << 20  # the longest row of a text format; what is longer is rejected, so memory stays bounded


class Block(NamedTuple):
    """One unit of reading. `start` and `end` are bytes for text formats, row groups for Parquet.

    line: number of the block's first line in its file, from 1 (a row number for binary formats).
    columns, lists: names of the file's columns, and of those that hold lists, where only the file's
      start tells them (a CSV header, the first rows of JSONL); empty where they are not known.
    files: what to open where it is not `path`: the small files that share a block of whole-file
      examples, a TFDS slice, a BigQuery read stream.
    """

    path: str
    start: int
    end: int
    line: int = 1
    columns: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Reject(NamedTuple):
    """A row that could not be used: where it was, why, and its raw text (cut at 2,000 characters).

    Line 0 stands for the whole file.
    """

    path: str
    line: int
    reason: str
    raw: str


class Batch(NamedTuple):
    """Rows read from a block.

    table: every wanted column as `string` or `list<string>` (numbers and booleans in JSON's
      spelling, null where the row has none), in the order asked for.
    lines: int64 line (or row) number of each row.
    rejects: rows between them that could not be read.
    paths: the file of each row: the block's path, but for a block of several files.
    """

    table: pa.RecordBatch
    lines: np.ndarray
    rejects: list[Reject]
    paths: Sequence[str]

    def part(self, start: int, rows: int) -> "Batch":
        """At most `rows` rows from `start`; the rejects are in the first part."""
        places = slice(start, start + rows)
        return Batch(self.table[places], self.lines[places], [] if start else self.rejects, self.paths[places])


class Format(BaseModel):
    """A data format; its fields are the format's options in `[example_gen]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    extensions: ClassVar[tuple[str, ...]] = ()
    scheme: ClassVar[str] = ""  # what comes before the colon where the path is not a file: `tfds:...`

    def plan(self, *paths: str, block_bytes: int = BLOCK_BYTES) -> list[Block]:
        """Cuts files into blocks of about `block_bytes`, reading each once.

        Raises DataError when a file cannot be opened or has no header.
        """
        return [block for path in paths for block in self.plan_file(path, block_bytes)]

    @abstractmethod
    def plan_file(self, path: str, block_bytes: int) -> list[Block]:
        """The blocks of one file."""

    @abstractmethod
    def read(self, block: Block, columns: tuple[str, ...]) -> Iterator[Batch]:
        """Reads `columns` of a block, at most BATCH_ROWS rows a batch.

        Raises DataError when a wanted column does not exist in the file (naming those that do).
        A bad row is a Reject, never an exception; rows read = rows kept + rejects. A file, or the
        rest of one, that cannot be read at all is one Reject. Bytes that are not text are looked
        for in the wanted columns only.
        """

    def read_whole(self, block: Block, columns: tuple[str, ...]) -> Iterator[tuple[Batch, Rows]]:
        """As `read`, with the rows as they were. The batch may have other columns than those asked for."""
        every = dict.fromkeys((*(block.columns or self.columns(block.path)), *columns))
        for batch in self.read(block, tuple(every)):
            yield batch, ArrowRows(batch.table)

    @abstractmethod
    def columns(self, path: str) -> tuple[str, ...]:
        """Names of the columns a file offers (from its head), for `check`, `new` and error messages."""
