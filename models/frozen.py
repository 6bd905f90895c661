"""What frozen layers give, computed once a row and read from a file in every epoch after.

For encoders that can take those vectors in place of computing them (`below`, models/layers.py). They lie in
memory-mapped files beside the checkpoints, so that a run that goes on reads what it read before, bit for bit.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import xxhash
from etils import epath

from data.batches import Plan
from data.schema import FROZEN, LENGTH, LENGTH_PAIR
from data.store import TokenStore
from models.steps import any_shape, features
from models.training import Training


def cache_frozen(
    model: keras.Model,
    stores: Mapping[str, TokenStore],
    training: Training,
    directory: str | Path | None,
    on_notice: Callable[[str], None] = lambda text: None,
) -> None:
    """Gives the stores what the encoder's layers make of each row, in place of the words' bytes, if none ever trains.

    Does nothing otherwise, or where it would take more than `training.frozen_cache_gb`, which `on_notice` is told
    unless that is 0. directory: where the files stay for a run that goes on; if remote or None, they last as long as
    the stores.
    """
    encoder: Any = getattr(model, "encoder", None)
    if getattr(encoder, "below", None) is None or model.apart:  # a column holds one text a row
        return
    layers = [weight for step in encoder.ladder for layer in step for weight in layer.weights]
    if {id(weight) for weight in layers} & {id(weight) for weight in training.fine_tuning.trained(model)}:
        return

    @tf.function(input_signature=[any_shape(next(iter(stores.values())))], autograph=False)
    def compute(batch):
        packed = model.pack(features(batch))
        return encoder.below(encoder.parts, packed), tf.reduce_sum(tf.cast(packed["mask"], tf.int32), axis=1)

    columns = {name: _Column(store, training, compute) for name, store in stores.items()}
    if (size := sum(column.bytes for column in columns.values()) / 1e9) > training.frozen_cache_gb:
        if training.frozen_cache_gb:
            on_notice(
                f"frozen_cache_gb: got {training.frozen_cache_gb:g}, and the vectors of the frozen layers take "
                f"{size:.3g} GB: they are computed in every epoch; raise it to compute them once, or set 0 for silence"
            )
        return
    identity = _digest(layers)
    for name, store in stores.items():
        columns[name].open(directory, name, identity)
        store.add(FROZEN, columns[name].gather, words=False)


class _Column:
    """The vectors <float>[tokens, F] of a store's rows, one row behind the other."""

    def __init__(self, store: TokenStore, training: Training, compute):
        self.store, self.compute, self.pairs = store, compute, store.pairs
        sizes = {"batch_tokens": training.batch_tokens, "max_tokens": training.max_tokens}
        self.calls = Plan(store.lengths, store.weights, **sizes).in_order()
        batch = store.gather(self.calls[0].rows[0], self.calls[0].length)
        vectors, counts = compute(batch)
        self.added = int(np.max(counts - batch[LENGTH] - batch.get(LENGTH_PAIR, 0)))  # tokens, by packing
        self.width, self.dtype = vectors.shape[2], vectors.dtype.as_numpy_dtype
        counts = np.minimum(store.lengths + self.added, training.max_tokens)
        self.starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self.bytes = int(self.starts[-1]) * self.width * np.dtype(self.dtype).itemsize
        self.values: Any = None

    def open(self, directory: str | Path | None, name: str, identity: str) -> None:
        """Maps the file, and fills it where `directory` has none, or one that was not finished or is another's."""
        if directory is None or "://" in str(directory):
            self.kept = tempfile.TemporaryDirectory(prefix="polisemia-")
            directory = self.kept.name
        path, done = epath.Path(directory) / f"{name}.bin", epath.Path(directory) / f"{name}.done"
        path.parent.mkdir(parents=True, exist_ok=True)
        identity = f"{identity} {self.starts[-1]} {self.width} {np.dtype(self.dtype).name}"
        shape = int(self.starts[-1]), self.width
        if not (done.exists() and done.read_text() == identity):
            done.unlink(missing_ok=True)
            self._fill(np.memmap(str(path), self.dtype, "w+", shape=shape))
            done.write_text(identity)
        self.values = np.memmap(str(path), self.dtype, "r", shape=shape)

    def _fill(self, values: np.memmap) -> None:
        for call in self.calls:
            for rows in call.rows[: call.steps]:
                vectors, counts = (each.numpy() for each in self.compute(self.store.gather(rows, call.length)))
                for row, found, count in zip(rows, vectors, counts, strict=True):
                    if row >= 0:
                        values[self.starts[row] : self.starts[row] + count] = found[:count]
        values.flush()

    def gather(self, rows: np.ndarray, length: int) -> np.ndarray:
        """<float>[B, as many tokens as packing may make of `length`, F], 0 behind each row's tokens."""
        vectors = np.zeros([len(rows), length * (1 + self.pairs) + self.added, self.width], self.dtype)
        for out, start, end in zip(vectors, self.starts[rows].tolist(), self.starts[rows + 1].tolist(), strict=True):
            count = min(end - start, len(out))
            out[:count] = self.values[start : start + count]
        return vectors


def _digest(weights: Sequence[keras.Variable]) -> str:
    digest = xxhash.xxh3_64()
    for weight in weights:
        digest.update(weight.numpy().tobytes())
    return digest.hexdigest()
