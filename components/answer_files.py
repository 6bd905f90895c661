"""Files of answered rows, written as the answers come, so that memory does not grow with the file."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from etils import epath

from data.errors import DataError

GROUP_BYTES = 8 << 20  # of rows in memory before they are written as a row group


@contextmanager
def jsonl_file(path: epath.Path) -> Iterator[Callable[[bytes], Any]]:
    with path.open("wb") as file:
        yield file.write


@contextmanager
def rejects_file(path: epath.Path) -> Iterator[Callable[[Sequence[dict[str, Any]]], None]]:
    """A JSON object a line; there is no such file where there is no reject."""
    with ExitStack() as opened:
        file: Any = None

        def write(rejects: Sequence[dict[str, Any]]) -> None:
            nonlocal file
            if rejects and not file:
                path.parent.mkdir(parents=True, exist_ok=True)
                file = opened.enter_context(path.open("wb"))
            for reject in rejects:
                line = json.dumps(reject, ensure_ascii=False) + "\n"
                file.write(line.encode("utf-8", "backslashreplace"))

        yield write


@contextmanager
def parquet_file(path: epath.Path) -> Iterator[Callable[[Any], None]]:
    """Tables of any keys as one. Raises DataError where a key holds values that are no column together."""
    import pyarrow as pa

    growing = _Growing(path)
    try:
        yield growing.write
        growing.finish()
    except (pa.ArrowException, UnicodeError) as error:
        raise DataError(f"{path}: the rows do not fit one Parquet table ({error}); JSONL holds any row") from error
    finally:
        growing.close()


def united(tables: Sequence[Any]) -> Any:
    """The tables as one: every column that one of them has, each of a type that holds all its values."""
    import pyarrow as pa

    return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})


class _Growing:
    """A Parquet file has one schema, but a key, or a wider type of one, may turn up in any row: what was written
    before it stays in a file of its own, and the files become one at the end.
    """

    def __init__(self, path: epath.Path):
        self.path = path
        self.parts: list[epath.Path] = []
        self.part: Any = None  # the last of them, open
        self.schema: Any = None
        self.held: list[Any] = []
        self.bytes = 0

    def write(self, table: Any) -> None:
        self.held.append(table)
        self.bytes += table.nbytes
        if self.bytes >= GROUP_BYTES:
            self._write_group()

    def finish(self) -> None:
        if self.held or not self.parts:
            self._write_group()
        self.part.close()
        if len(self.parts) > 1:
            self._unite_parts()

    def close(self) -> None:
        if self.part:
            self.part.close()
        for path in [*self.parts[1:], self._beside("whole")] if len(self.parts) > 1 else ():
            path.unlink(missing_ok=True)

    def _write_group(self) -> None:
        group = united(self.held)
        schema = united([self.schema.empty_table(), group.slice(0, 0)]).schema if self.schema else group.schema
        if schema != self.schema:
            if self.part:
                self.part.close()
            self.parts.append(self._beside(len(self.parts)) if self.parts else self.path)
            self.part, self.schema = _Part(self.parts[-1], schema), schema
        self.part.write(united([schema.empty_table(), group]))
        self.held, self.bytes = [], 0

    def _unite_parts(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        place = self._beside("whole")
        whole = _Part(place, self.schema)
        for path in self.parts:
            with path.open("rb") as file:
                for batch in pq.ParquetFile(file).iter_batches():
                    whole.write(united([self.schema.empty_table(), pa.Table.from_batches([batch])]))
        whole.close()
        place.replace(self.path)

    def _beside(self, name: object) -> epath.Path:
        return self.path.with_name(f"{self.path.name}.{name}")


class _Part:
    """A Parquet file of one schema, anywhere that epath reaches."""

    def __init__(self, path: epath.Path, schema: Any):
        import pyarrow.parquet as pq

        self.file = path.open("wb")
        self.writer = pq.ParquetWriter(self.file, schema, compression="lz4")

    def write(self, table: Any) -> None:
        self.writer.write_table(table)

    def close(self) -> None:
        self.writer.close()
        self.file.close()
