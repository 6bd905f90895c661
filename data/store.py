"""The token store: token records in Arrow IPC shards, memory-mapped, read by row number.

Written by the transform stage (plain functions: Beam workers call them), read by the training loop
and by everything that walks a split. Shards are uncompressed, so that opening one costs nothing and
a row is a slice of the file: the memory used is what the operating system chooses to cache.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from etils import epath

from data.errors import DataError
from data.schema import (
    CLASS,
    CLASSES,
    IDS,
    IDS_PAIR,
    LENGTHS,
    MARKS,
    MARKS_PAIR,
    SCORE,
    TAGS,
    WEIGHT,
    WORDS,
)

CHUNK_BYTES = 1 << 20  # `write_shard` joins smaller record batches, which would cost readers time, up to it
BESIDE = {IDS: (TAGS, MARKS), IDS_PAIR: (MARKS_PAIR,)}  # what has a value for each id
OF_LABELS = (TAGS, CLASSES)  # list columns of indexes into the artifact's own labels
NO_LABEL = -1
ALIGNED_WIDTH = 8  # batches that are no wider than their rows need are as wide as a multiple of it
SPACE = 32


def ragged(values: np.ndarray, splits: np.ndarray, max_tokens: int) -> pa.ListArray:
    """A list column from what a tokenizer gives, each row cut to its first `max_tokens` values.

    values: <int32 or uint8>[total]. splits: <int64>[rows + 1]. The values are not copied when no row is too long.
    """
    lengths = np.diff(splits)
    if lengths.size and lengths.max() > max_tokens:
        place = np.arange(splits[0], splits[-1]) - np.repeat(splits[:-1], lengths)
        values = values[splits[0] : splits[-1]][place < max_tokens]
        splits = np.concatenate([[0], np.cumsum(np.minimum(lengths, max_tokens))])
    return pa.ListArray.from_arrays(pa.array(splits.astype(np.int32)), pa.array(values))


def write_shard(path: str | Path, records: Iterable[pa.RecordBatch]) -> int:
    """Writes token records as one shard and returns the number of rows; without rows no file is made."""
    chunks, rows = _chunks(records), 0
    first = next(chunks, None)
    if first is None:
        return 0
    with epath.Path(path).open("wb") as file, pa.ipc.new_file(file, first.schema) as writer:
        while first is not None:
            writer.write_batch(first)
            rows += first.num_rows
            first = next(chunks, None)
    return rows


def _chunks(records: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in record batches of up to CHUNK_BYTES, or one of the given ones."""
    pending: list[pa.RecordBatch] = []
    size = 0
    for batch in records:
        if pending and size + batch.nbytes > CHUNK_BYTES:
            yield pa.concat_batches(pending)
            pending, size = [], 0
        pending.append(batch)
        size += batch.nbytes
    if pending:
        yield pa.concat_batches(pending)


class Shards(NamedTuple):
    """The shards of one transform artifact's split, with its own label list, and what its rows' weights are times."""

    paths: Sequence[str | Path]
    labels: Sequence[str] = ()
    weight: float = 1.0


def read_column(path: str | Path, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Values and row splits of a list column, a record batch at a time; nothing where there is no such column."""
    with epath.Path(path).open("rb") as file:
        reader = pa.ipc.open_file(file)
        if name in reader.schema.names:
            for n in range(reader.num_record_batches):
                column = reader.get_batch(n).column(name)
                yield column.values.to_numpy(), column.offsets.to_numpy()


class TokenStore:
    """The rows of one split, over the shards of any number of transform artifacts.

    classes: <int32>[rows], index into the model's labels, -1 where a row has none.
    weights: <float32>[rows]; a caller may change them before training (class weights).
    lengths: <int32>[rows], tokens of all the row's texts together.
    scores: <float32>[rows], the numbers wanted, or None where there are none.
    places: <int64>[rows], which row of the shards each is, counted through all of them, those left out included.
    dropped: number of rows left out, by label (None: the row has no label).
    """

    def __init__(self, groups: Sequence[Shards], labels: Sequence[str] | None = None, word_bytes: int = 0):
        """`labels`: the model's; rows whose label is not among them are dropped. None keeps every row.

        word_bytes: width of the words' bytes in a batch, for families that read them; 0: there are none.

        Raises DataError when a shard cannot be read or the shards' columns differ.
        """
        self.dropped: Counter[str | None] = Counter()
        self._cache = tempfile.TemporaryDirectory(prefix="polisemia-")  # remote shards; goes when the store does
        chunks, classes, weights, kept, lookups = [], [], [], [], []
        for group in groups:
            lookup = None if labels is None else _lookup(group.labels, labels)
            for batch in (batch for path in group.paths for batch in self._open(path)):
                mapped, rows = self._map(batch, group.labels, lookup)
                kept.append(rows)
                chunks.append(batch)
                lookups.append(lookup)
                classes.append(mapped[rows])
                weights.append((_column(batch, WEIGHT, 1)[rows] * group.weight).astype(np.float32))
        if len(names := {tuple(chunk.schema.names) for chunk in chunks}) != 1:
            raise DataError(
                f"token store: got shards with columns {sorted(names)}; wanted one set; run transform again"
            )
        self.classes, self.weights = np.concatenate(classes), np.concatenate(weights)
        names, self._word_bytes, self._labels = set(chunks[0].schema.names), word_bytes, len(labels or ())

        def ragged_columns(wanted: Iterable[str]) -> dict[str, _Ragged]:
            there = [name for name in wanted if name in names]
            return {name: _Ragged(chunks, name, kept, lookups if name in OF_LABELS else ()) for name in there}

        self.columns = ragged_columns(LENGTHS)
        self._words = ragged_columns(WORDS.values() if word_bytes else ())
        self._beside = ragged_columns(name for beside in BESIDE.values() for name in beside)
        self._classes = ragged_columns((CLASSES,))
        scores = [_column(chunk, SCORE, 0)[rows] for chunk, rows in zip(chunks, kept, strict=True)]
        self.scores = np.concatenate(scores).astype(np.float32) if SCORE in names else None
        self._computed: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {}
        self.lengths = np.stack([column.lengths for column in self.columns.values()]).sum(axis=0, dtype=np.int32)
        self.places = np.concatenate([r + n for r, n in zip(kept, np.cumsum([0, *map(len, chunks)]), strict=False)])

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def pairs(self) -> bool:
        """Whether rows have a second text."""
        return IDS_PAIR in self.columns

    def counts(self, size: int) -> np.ndarray:
        """How often each id below `size` occurs <int64>[size]."""
        every = (values for column in self.columns.values() for values in column.values)
        return sum((np.bincount(values, minlength=size) for values in every), np.zeros(size, np.int64))

    def gather(self, rows: np.ndarray, length: int, tight: bool = False) -> dict[str, np.ndarray]:
        """A batch as data/schema.py describes it: ids padded with 0, or cut, to `length`.

        rows: <int64>[B], at least one of them real. A row of -1 only fills the batch: it repeats the
        first real one, so that nothing in a model divides by a length of 0, and has weight 0.
        tight: each text is padded no further than these rows need, and a little for round sizes.
        """
        filler = rows < 0
        rows = np.where(filler, rows[np.argmin(filler)], rows)
        batch = {CLASS: self.classes[rows], WEIGHT: np.where(filler, np.float32(0), self.weights[rows])}
        for name, column in self.columns.items():
            longest = int(column.lengths[rows].max(initial=1))
            width = min(length, longest + -longest % ALIGNED_WIDTH) if tight else length
            batch[name], batch[LENGTHS[name]] = column.gather(rows, width)
            for other in BESIDE.get(name, ()):
                if other in self._beside:
                    batch[other], _ = self._beside[other].gather(rows, width, NO_LABEL if other in OF_LABELS else 0)
            if (words := WORDS.get(name)) in self._words:
                batch[words] = split_words(self._words[words].rows(rows), width, self._word_bytes)
        if self.scores is not None:
            batch[SCORE] = self.scores[rows]
        for name, column in self._classes.items():
            batch[name] = _many_hot(column.rows(rows), self._labels)
        return batch | {name: column(rows, length) for name, column in self._computed.items()}

    def add(self, name: str, column: Callable[[np.ndarray, int], np.ndarray], words: bool = True) -> None:
        """From now on batches hold `name`, `column(rows <int64>[B], length)`; the words' bytes only with `words`."""
        self._computed[name], self._words = column, self._words if words else {}

    def _open(self, path: str | Path) -> list[pa.RecordBatch]:
        path = epath.Path(path)
        try:
            with pa.memory_map(str(self._copy(path) if "://" in str(path) else path)) as file:
                reader = pa.ipc.open_file(file)
                return [reader.get_batch(n) for n in range(reader.num_record_batches)]
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{path}: got {error}; wanted a token shard (Arrow IPC file); run transform again"
            ) from None

    def _copy(self, path: epath.Path) -> Path:
        directory = Path(self._cache.name)
        local = directory / f"{len(list(directory.iterdir()))}.arrow"
        with path.open("rb") as source, local.open("wb") as target:
            shutil.copyfileobj(source, target, 16 << 20)
        return local

    def _map(
        self, batch: pa.RecordBatch, own: Sequence[str], lookup: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The class of each row <int32>[rows] in the model's labels, and the rows that are kept <int64>[n]; counts in
        `dropped` those that have none."""
        classes = _column(batch, CLASS, NO_LABEL).astype(np.int32)
        if lookup is None or CLASS not in batch.schema.names:
            return classes, np.arange(batch.num_rows)
        mapped = lookup[classes]
        for n, count in zip(*np.unique(classes[mapped < 0], return_counts=True), strict=True):
            self.dropped[own[n] if n >= 0 else None] += int(count)
        return mapped, np.flatnonzero(mapped >= 0)


def _lookup(own: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """The index in `labels` of each of an artifact's own, NO_LABEL where there is none and, last, for NO_LABEL."""
    index = {label: n for n, label in enumerate(labels)}
    return np.array([*(index.get(label, NO_LABEL) for label in own), NO_LABEL], np.int32)


def _many_hot(rows: list[np.ndarray], labels: int) -> np.ndarray:
    """<float32>[rows, labels], 1 at the indexes of each row; NO_LABEL counts for nothing."""
    hot = np.zeros([len(rows), labels + 1], np.float32)
    hot[np.repeat(np.arange(len(rows)), [len(row) for row in rows]), np.concatenate(rows)] = 1
    return hot[:, :labels]


def split_words(rows: list[np.ndarray], length: int, width: int) -> np.ndarray:
    """Bytes <uint8>[rows, length, width] of each row's words, from rows <uint8> where a space stands between words."""
    space = np.full(1, SPACE, np.uint8)
    data = np.concatenate([part for row in rows for part in (row, space)])
    ends = data == SPACE
    word = np.cumsum(ends) - ends  # of each byte, counted through the batch; a space is of the word before it
    sizes = np.array([len(row) + 1 for row in rows])
    row = np.repeat(np.arange(len(rows)), sizes)
    first_word = word[np.cumsum(sizes) - sizes]
    starts = np.concatenate([[0], np.flatnonzero(ends)[:-1] + 1])
    word, place, row = (each[~ends] for each in (word, np.arange(len(data)) - starts[word], row))
    inside = (word - first_word[row] < length) & (place < width)
    words = np.zeros([len(rows), length, width], np.uint8)
    word, place, row = word[inside], place[inside], row[inside]
    words[row, word - first_word[row], place] = data[~ends][inside]
    return words


class _Ragged:
    """One list column over all chunks: where each kept row lies, 16 bytes a row in memory."""

    def __init__(self, chunks: list[pa.RecordBatch], name: str, kept: list[np.ndarray], lookups: Sequence = ()):
        """lookups: what takes the place of the values, an array or None a chunk; none where it is empty."""
        columns = [chunk.column(name) for chunk in chunks]
        offsets = [column.offsets.to_numpy() for column in columns]
        self.values = [column.values.to_numpy() for column in columns]  # views of the mapped files
        self.lookups = lookups
        self.chunk = np.repeat(np.arange(len(kept), dtype=np.int32), [len(rows) for rows in kept])
        self.starts = _joined(offsets, kept, lambda each: each[:-1]).astype(np.int64)
        self.lengths = _joined(offsets, kept, np.diff)

    def gather(self, rows: np.ndarray, length: int, fill: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Values <int32>[B, length], padded with `fill`, and lengths <int32>[B] of the rows <int64>[B]."""
        lengths = np.minimum(self.lengths[rows], length)
        ids = np.full((len(rows), length), fill, np.int32)
        places = self.chunk[rows].tolist(), self.starts[rows].tolist(), lengths.tolist()
        # One slice a row, 0.5 us: a gather of tokens saves little on one shard and loses on many.
        for out, chunk, start, count in zip(ids, *places, strict=True):
            out[:count] = self._values(chunk, start, count)
        return ids, lengths

    def rows(self, rows: np.ndarray) -> list[np.ndarray]:
        """The values of the rows <int64>[B], each a view of the file where nothing is looked up."""
        places = self.chunk[rows].tolist(), self.starts[rows].tolist(), self.lengths[rows].tolist()
        return [self._values(*place) for place in zip(*places, strict=True)]

    def _values(self, chunk: int, start: int, count: int) -> np.ndarray:
        values = self.values[chunk][start : start + count]
        return values if not self.lookups or self.lookups[chunk] is None else self.lookups[chunk][values]


def _joined(offsets: list[np.ndarray], kept: list[np.ndarray], of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.concatenate([of(each)[rows] for each, rows in zip(offsets, kept, strict=True)])


def _column(batch: pa.RecordBatch, name: str, default: float) -> np.ndarray:
    return batch.column(name).to_numpy() if name in batch.schema.names else np.full(batch.num_rows, default)
