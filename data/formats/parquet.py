"""Parquet: columns of any type that can be written as text, row groups read on their own."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.errors import DataError
from data.formats import files
from data.formats.base import BATCH_ROWS, BLOCK_BYTES, Batch, Block, Format, Reject
from data.formats.rows import check_columns, from_arrow, only_rejects, rejected, text_type
from data.formats.whole import ArrowRows, Rows

UNREADABLE = (pa.ArrowException, OSError, ValueError, *files.DAMAGE)


class Parquet(Format):
    """Apache Parquet; a dot reaches inside a struct (`data.text`). Lists are read as lists of texts.

    A gzipped file is decompressed in memory, as one block: Parquet compresses its own columns.
    """

    extensions = (".parquet", ".pq")

    def plan_file(self, path: str, block_bytes: int) -> list[Block]:
        files.size(path)  # a missing file is an error; one that is no Parquet is a reject, when it is read
        try:
            with _open(path) as file:
                groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        except UNREADABLE:
            return [Block(path, 0, 0, 0)]
        blocks, start, line, rows, size = [], 0, 1, 0, 0
        for end, group in enumerate(groups, 1):
            rows, size = rows + group.num_rows, size + group.total_byte_size
            if end == len(groups) or (size >= block_bytes and not files.is_gzip(path)):
                blocks.append(Block(path, start, end, line))
                start, line, rows, size = end, line + rows, 0, 0
        return blocks

    def columns(self, path: str) -> tuple[str, ...]:
        try:
            with _open(path) as file:
                return tuple(_leaves(file.schema_arrow))
        except UNREADABLE as error:
            raise DataError(f"{path}: not a Parquet file that can be read: {_first_line(error)}") from error

    def read(self, block: Block, columns: tuple[str, ...]) -> Iterator[Batch]:
        return (batch for batch, _ in self._read(block, columns, whole=False))

    def read_whole(self, block: Block, columns: tuple[str, ...]) -> Iterator[tuple[Batch, Rows]]:
        return self._read(block, columns, whole=True)

    def _read(self, block: Block, columns: tuple[str, ...], whole: bool) -> Iterator[tuple[Batch, Rows]]:
        """Batches with their rows, which have the columns asked for only unless `whole`."""
        try:
            file = _open(block.path)
        except UNREADABLE as error:
            reason = f"not a Parquet file that can be read: {_first_line(error)}"
            yield _only_rejects(columns, rejected(block.path, 0, reason))
            return
        with file:
            paths = [_resolve(block.path, file.schema_arrow, name) for name in columns]
            line = block.line
            try:
                for rows in _batches(file, block, None if whole else paths):
                    arrays = [_column(rows, path) for path in paths]
                    lines = np.arange(line, line + len(rows), dtype=np.int64)
                    batch = from_arrow(block.path, columns, arrays, lines)
                    yield batch, ArrowRows(rows).take(batch.lines - line)
                    line += len(rows)
            except UNREADABLE as error:
                reason = f"the rest of the row group cannot be read: {_first_line(error)}"
                yield _only_rejects(columns, rejected(block.path, line, reason))


def _only_rejects(columns: tuple[str, ...], reject: Reject) -> tuple[Batch, Rows]:
    batch = only_rejects(columns, [reject])
    return batch, ArrowRows(batch.table)


def _open(path: str) -> pq.ParquetFile:
    if files.is_gzip(path):
        with files.open_stream(path) as stream:
            return pq.ParquetFile(pa.BufferReader(stream.read()))
    source = path if "://" not in path else files.open_binary(path)
    # The buffer keeps a large row group from being held whole; checksums are looked at where a writer left them.
    return pq.ParquetFile(source, buffer_size=files.PIECE_BYTES, page_checksum_verification=True)


def _batches(file: pq.ParquetFile, block: Block, paths: list[tuple[str, ...]] | None) -> Iterator[pa.RecordBatch]:
    """The columns at `paths`, or all of them."""
    groups = [file.metadata.row_group(i) for i in range(block.start, block.end)]
    rows, size = sum(g.num_rows for g in groups), sum(g.total_byte_size for g in groups)
    batch_rows = max(1, min(BATCH_ROWS, BLOCK_BYTES * rows // max(size, 1)))  # long texts: fewer rows at a time
    wanted = None if paths is None else [".".join(path) for path in paths]
    return file.iter_batches(batch_size=batch_rows, row_groups=range(block.start, block.end), columns=wanted)


def _column(batch: pa.RecordBatch, path: tuple[str, ...]) -> pa.Array:
    column = batch.column(batch.schema.get_field_index(path[0]))
    return pc.struct_field(column, list(path[1:])) if path[1:] else column


def _resolve(path: str, schema: pa.Schema, name: str) -> tuple[str, ...]:
    """Names from the top column down to the one called `name`. Raises DataError if there is none, or it is no text."""
    leaves = _leaves(schema)
    check_columns(path, [name], list(leaves))
    if name not in leaves or text_type(leaves[name][1]) is None:
        kind = leaves[name][1] if name in leaves else "missing"
        raise DataError(f"{path}: column {name!r} is {kind}; wanted texts, numbers, or lists of them")
    return leaves[name][0]


def _leaves(
    fields: pa.Schema | pa.StructType, above: tuple[str, ...] = ()
) -> dict[str, tuple[tuple[str, ...], pa.DataType]]:
    """Dotted name -> (names from the top, type) of every column that is not a struct."""
    leaves: dict[str, tuple[tuple[str, ...], pa.DataType]] = {}
    for field in fields:
        names = (*above, field.name)
        if pa.types.is_struct(field.type):
            leaves |= {name: leaf for name, leaf in _leaves(field.type, names).items() if name not in leaves}
        else:
            leaves[".".join(names)] = (names, field.type)
    return leaves


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
