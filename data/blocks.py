"""Token shards of texts to one shard of rows as long as a model reads: blocks of text after text, or pieces of each."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from data.schema import IDS
from data.store import ragged, read_column, write_shard


def write_blocks(shards: Iterable[str | Path], path: str | Path, length: int, end: int | None) -> int:
    """Writes blocks of `length` ids, the last one what is left, and returns their number.

    A block begins with the id that the one before it ends with, so that each id is once the one to be told next, the
    very first apart. end: the id after each text; None for none. Holds a record batch in memory.
    """
    return write_shard(path, (_record(*each) for each in _blocks(shards, length, end)))


def write_pieces(shards: Iterable[str | Path], path: str | Path, length: int) -> int:
    """Writes each text's ids in pieces of `length`, the last one what is left, and returns their number.

    Of a text without ids there is none. Holds a record batch in memory.
    """
    columns = (column for shard in shards for column in read_column(shard, IDS))
    made = ((values, np.unique(piece_starts(splits, length))) for values, splits in columns)
    return write_shard(
        path, (pa.RecordBatch.from_pydict({IDS: ragged(*each, length)}) for each in made if len(each[1]) > 1)
    )


def piece_starts(splits: np.ndarray, length: int) -> np.ndarray:
    """Where the pieces of texts start, and the last one ends <int64>[pieces + 1]; of an empty text there is one too.

    splits <int>[texts + 1]: of the texts.
    """
    pieces = np.maximum(-(-np.diff(splits) // length), 1)
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return np.append(np.repeat(splits[:-1], pieces) + number * length, splits[-1])


def _blocks(shards: Iterable[str | Path], length: int, end: int | None) -> Iterator[tuple[np.ndarray, int]]:
    """The ids of whole blocks, one after the other, and their length."""
    step, left = length - 1, np.zeros(0, np.int32)
    for values, splits in (column for shard in shards for column in read_column(shard, IDS)):
        text = values[splits[0] : splits[-1]]
        if end is not None:
            text = np.insert(text, splits[1:] - splits[0], end)
        left = np.concatenate([left, text])
        if count := (len(left) - 1) // step:
            yield np.lib.stride_tricks.sliding_window_view(left, length)[::step][:count].reshape(-1), length
            left = left[count * step :]
    if len(left) > 1:
        yield left, len(left)


def _record(ids: np.ndarray, length: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({IDS: ragged(ids, np.arange(0, len(ids) + 1, length), length)})
