"""Whole rows, as they were in their file, to be written again with something beside them."""

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from json.encoder import encode_basestring
from typing import Any

import pyarrow as pa

_encode = json.JSONEncoder(ensure_ascii=False, default=lambda value: plain(value)).encode


class Rows(ABC):
    """Rows of a batch, in its order, with all their keys."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, places: Sequence[int]) -> "Rows":
        """The rows at these places."""

    @abstractmethod
    def json(self) -> list[str]:
        """Each row as a JSON object."""

    @abstractmethod
    def table(self) -> pa.Table:
        """Columns of every key that any row has, in the types of the file where it has types.

        Raises pa.ArrowException or UnicodeError where a key holds values that are no column.
        """

    @abstractmethod
    def with_key(self, names: Collection[str]) -> tuple[int, str] | None:
        """The first row that has one of these keys, and the key."""


class ArrowRows(Rows):
    """Rows of a format whose rows all have the same keys."""

    def __init__(self, batch: pa.RecordBatch):
        self.batch = batch

    def __len__(self):
        return len(self.batch)

    def take(self, places):
        return self if len(places) == len(self) else ArrowRows(self.batch.take(pa.array(places, pa.int64())))

    def json(self):
        names = (encode_basestring(name).replace("%", "%%") for name in self.batch.schema.names)
        template = "{" + ", ".join(f"{name}: %s" for name in names) + "}"
        return [template % row for row in zip(*map(_encoded, self.batch.columns), strict=True)]

    def table(self):
        return pa.Table.from_batches([self.batch])

    def with_key(self, names):
        found = [name for name in self.batch.schema.names if name in names]
        return (0, found[0]) if found and len(self) else None


class JsonRows(Rows):
    """Rows that are JSON objects already: written again letter by letter, so that no number changes its spelling."""

    def __init__(self, lines: list[str]):
        self.lines = lines

    def __len__(self):
        return len(self.lines)

    def take(self, places):
        return self if len(places) == len(self) else JsonRows([self.lines[place] for place in places])

    def json(self):
        return [line.strip() for line in self.lines]

    def table(self):
        rows = [json.loads(line) for line in self.lines]
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.table({name: [row.get(name) for row in rows] for name in names})

    def with_key(self, names):
        spelt = [encode_basestring(name) for name in names]
        for place, line in enumerate(self.lines):
            if "\\u" in line or any(name in line for name in spelt):  # else it has no such key: not worth decoding
                found = [name for name in json.loads(line) if name in names]
                if found:
                    return place, found[0]
        return None


def plain(value: Any) -> str:
    """A value that JSON has no spelling for, as a text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _encoded(column: pa.Array) -> list[str]:
    """The JSON of each value."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return [_encode(value) for value in column.to_pylist()]
    try:
        texts = column.to_pylist()
    except UnicodeDecodeError:  # Parquet's strings may hold any bytes
        texts = [value and value.decode("utf-8", "replace") for value in column.cast(pa.binary()).to_pylist()]
    return ["null" if text is None else encode_basestring(text) for text in texts]
