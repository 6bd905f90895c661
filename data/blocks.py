"""Token shards of texts to one shard of rows as long as a model reads: blocks of text after text, or pieces of each."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from data.schema import IDS, WORD_BYTES
from data.store import SPACE, ragged, read_column, write_shard


def write_blocks(shards: Iterable[str | Path], path: str | Path, length: int, end: int | None) -> int:
    """Writes blocks of `length` ids, the last one what is left, and returns their number.

    A block begins with the id that the one before it ends with, so that each id is once the one to be told next, the
    very first apart. end: the id after each text; None for none. Holds a record batch in memory.
    """
    return write_shard(path, (_record(*each) for each in _blocks(shards, length, end)))


def write_pieces(shards: Iterable[str | Path], path: str | Path, length: int) -> int:
    """Writes each text's ids, and the bytes of its words where there are any, in pieces of `length`, the last one what
    is left, and returns their number.

    Of a text without ids there is none. Holds a record batch in memory.
    """
    made = (_pieces(columns, length) for shard in shards for columns in _with_words(shard))
    return write_shard(path, (record for record in made if record.num_rows))


def _with_words(shard: str | Path) -> Iterator[tuple]:
    """Ids, their row splits, and the words' bytes and row splits, or None twice, a record batch at a time."""
    words = read_column(shard, WORD_BYTES)
    return ((*ids, *next(words, (None, None))) for ids in read_column(shard, IDS))


def _pieces(columns: tuple, length: int) -> pa.RecordBatch:
    ids, splits, words, rows = columns
    starts = np.unique(piece_starts(splits, length))
    made = {IDS: ragged(ids, starts, length)}
    if words is not None:
        made[WORD_BYTES] = cut_words(words[rows[0] : rows[-1]], rows - rows[0], splits - splits[0], starts - splits[0])
    return pa.RecordBatch.from_pydict(made)


def piece_starts(splits: np.ndarray, length: int) -> np.ndarray:
    """Where the pieces of texts start, and the last one ends <int64>[pieces + 1]; of an empty text there is one too.

    splits <int>[texts + 1]: of the texts.
    """
    pieces = np.maximum(-(-np.diff(splits) // length), 1)
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return np.append(np.repeat(splits[:-1], pieces) + number * length, splits[-1])


def cut_words(words: np.ndarray, rows: np.ndarray, splits: np.ndarray, starts: np.ndarray) -> pa.ListArray:
    """The bytes of words, a row a piece, from those of whole texts.

    words <uint8>[total], rows <int64>[texts + 1]: as `encode_words`. splits <int64>[texts + 1], starts
    <int64>[pieces + 1]: the first token of each text, of each piece.
    """
    # A text of n words has n - 1 spaces: with one more at its end, word k of all ends at the k-th space.
    spaced = np.insert(words, rows[1:][np.diff(splits) > 0], SPACE)
    ends = np.flatnonzero(spaced == SPACE)
    assert len(ends) == splits[-1]
    bounds = np.concatenate([[0], ends + 1])[starts]
    return ragged(spaced, bounds, int(np.diff(bounds).max(initial=1)))


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
