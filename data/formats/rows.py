"""From Python or Arrow values to a Batch of texts, with the rows that are not text rejected."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from data.errors import DataError, did_you_mean
from data.formats.base import Batch, Reject

RAW_CHARACTERS = 2000
TEXT, TEXTS = pa.string(), pa.list_(pa.string())


def rejected(path: str, line: int, reason: str, raw: str | bytes = "") -> Reject:
    """A Reject whose raw text is cut, and printable whatever bytes the row held."""
    raw = raw[: 4 * RAW_CHARACTERS]
    data = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogateescape")
    return Reject(path, line, reason, data.decode("utf-8", "backslashreplace")[:RAW_CHARACTERS].rstrip("\r\n"))


def check_columns(path: str, wanted: Sequence[str], offered: Sequence[str], nested: bool = False) -> None:
    """Raises DataError for a wanted column that is not offered; nothing is known when nothing is offered.

    nested: a name also stands for what lies under it (`a` for `a.b`) and the other way round.
    """
    for name in wanted if offered else ():
        under = nested and any(o.startswith(f"{name}.") or name.startswith(f"{o}.") for o in offered)
        if name not in offered and not under:
            hint = did_you_mean(name, offered)
            have = "" if "known" in hint else f" It has: {', '.join(offered)}."
            raise DataError(f"{path}: no column {name!r}{hint}{have}")


def only_rejects(columns: Sequence[str], rejects: list[Reject]) -> Batch:
    """A batch without rows."""
    return Batch(_table(columns, [pa.array([], TEXT) for _ in columns]), np.zeros(0, np.int64), rejects, ())


def from_values(
    path: str | Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[Any]],
    lines: np.ndarray,
    rejects: list[Reject],
    raw: Callable[[int], str | bytes],
    lists: Sequence[str] = (),
) -> Batch:
    """Rows from Python values, one sequence a column.

    path: of all rows, or of each. raw: the raw text of row i, should it be rejected.
    lists: columns that are list<string>; a single value in one is a list of one.
    """
    paths = [path] * len(lines) if isinstance(path, str) else path
    arrays: list[pa.Array] = []
    bad: dict[int, str] = {}
    for name, column in zip(columns, values, strict=True):
        array, reasons = _column(column, name in lists)
        arrays.append(array)
        bad |= {row: f"{name}: {reason}" for row, reason in reasons.items() if row not in bad}
    table = _table(columns, arrays)
    if bad:
        rejects = rejects + [rejected(paths[i], int(lines[i]), reason, raw(i)) for i, reason in bad.items()]
        rejects.sort(key=lambda reject: reject.line)
        keep = np.ones(len(lines), bool)
        keep[list(bad)] = False
        table, lines = table.filter(pa.array(keep)), lines[keep]
        paths = [path for path, kept in zip(paths, keep, strict=True) if kept]
    return Batch(table, lines, rejects, paths)


def from_arrow(path: str, columns: Sequence[str], arrays: Sequence[pa.Array], lines: np.ndarray) -> Batch:
    """Rows from Arrow arrays whose types `text_type` knows."""
    try:
        texts = [array.cast(text_type(array.type)) for array in arrays]
        for text in texts:
            text.validate(full=True)  # Parquet's strings may hold any bytes, and nothing has looked yet
        return Batch(_table(columns, texts), lines, [], [path] * len(lines))
    except pa.ArrowInvalid:
        values = [_bytes(array) for array in arrays]
        lists = [name for name, array in zip(columns, arrays, strict=True) if text_type(array.type) == TEXTS]
        return from_values(path, columns, values, lines, [], lambda i: b"\t".join(_flat(v[i]) for v in values), lists)


def text_type(kind: pa.DataType) -> pa.DataType | None:
    """`string` or `list<string>`, whichever an Arrow type is read as; None for one that is no text."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return TEXTS if text_type(kind.value_type) == TEXT else None
    if pa.types.is_dictionary(kind):
        return text_type(kind.value_type)
    return None if pa.types.is_nested(kind) else TEXT


def _table(columns: Sequence[str], arrays: Sequence[pa.Array]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _column(values: Sequence[Any], is_list: bool) -> tuple[pa.Array, dict[int, str]]:
    """The column's array, and why some of its rows are not text (null in the array)."""
    kind, convert = (TEXTS, _texts) if is_list else (TEXT, _text)
    try:
        if not is_list or set(map(type, values)) <= {list, type(None)}:  # Arrow would cut a lone string into letters
            return pa.array(values, kind), {}
    except (pa.ArrowException, UnicodeError):
        pass  # something is not text: find out what, a value at a time
    texts: list[Any] = [None] * len(values)
    reasons: dict[int, str] = {}
    for row, value in enumerate(values):
        try:
            texts[row] = convert(value)
        except ValueError as error:
            reasons[row] = str(error)
    return pa.array(texts, kind), reasons


def _texts(value: Any) -> list[str | None] | None:
    return None if value is None else [_text(v) for v in (value if isinstance(value, list) else [value])]


def _text(value: Any) -> str | None:
    """A value in JSON's spelling. Raises ValueError, with the reason, for what is not text."""
    if value is None:
        return None
    if isinstance(value, str):
        return _checked(value)
    if isinstance(value, bytes):
        return _checked(value.decode("utf-8", "surrogateescape"))
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise ValueError(f"{'a list' if isinstance(value, list) else 'an object'} where a text was wanted")


def _checked(text: str) -> str:
    try:
        text.encode()
        return text
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
    if 0xDC80 <= code <= 0xDCFF:  # how `surrogateescape` marks a byte that is not text
        raise ValueError(f"byte 0x{code - 0xDC00:02x} is no text in this encoding")
    raise ValueError("half of a surrogate pair is no text")


def _bytes(array: pa.Array) -> list[Any]:
    """Values as bytes, unchecked: what a string column of unknown contents can safely be read as."""
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if text_type(kind) == TEXTS:
        return array.cast(pa.list_(_raw_type(kind.value_type))).to_pylist()
    return array.cast(kind).cast(_raw_type(kind)).to_pylist()


def _raw_type(kind: pa.DataType) -> pa.DataType:
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return pa.binary() if any(is_kind(kind) for is_kind in texts) else TEXT


def _flat(value: Any) -> bytes:
    parts = value if isinstance(value, list) else [value]
    return b" ".join(p if isinstance(p, bytes) else str(p).encode() for p in parts if p is not None)
