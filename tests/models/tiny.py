"""A model, a task and a corpus small enough to train in a test."""

import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf

from data.store import Shards, TokenStore, ragged, write_shard
from models.rows import Rows

LABELS = ("no", "yes")


class Yes:
    """The part of the task contract that the loop uses: two classes, accuracy."""

    def loss(self, logits, batch):
        return tf.nn.sparse_softmax_cross_entropy_with_logits(batch["class"], logits)

    def outcome(self, logits, batch):
        return logits

    def metrics(self, logits, batch):
        return {"accuracy": float(np.mean(logits.argmax(axis=1) == batch["class"]))}


def store(directory, rows: int = 200, seed: int = 0, longest: int = 30) -> TokenStore:
    """Rows of ids 1 to 9; the class is whether 7 is more frequent than 3."""
    random = np.random.default_rng(seed)
    texts = [random.integers(1, 10, random.integers(1, longest + 1)).astype(np.int32) for _ in range(rows)]
    splits = np.cumsum([0] + [len(text) for text in texts])
    columns = {
        "key": pa.array(np.arange(rows)),
        "ids": ragged(np.concatenate(texts), splits, longest),
        "class": pa.array([int(np.sum(text == 7) > np.sum(text == 3)) for text in texts], pa.int32()),
        "weight": pa.array(random.uniform(0.5, 2, rows).astype(np.float32)),
    }
    path = directory / f"{seed}-{rows}.arrow"
    write_shard(path, [pa.record_batch(columns)])
    return TokenStore([Shards([path], LABELS)], LABELS)


def build(dropout: float = 0.0, width: int = 8, by_rows: bool = False) -> keras.Model:
    """by_rows: the word vectors are a table that is updated row by row, of many more rows than there are ids."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    length = keras.Input((), dtype="int32", name="length")
    if by_rows:
        vectors = Rows(np.random.default_rng(0).normal(0, 0.1, [50, width]).astype(np.float32))(ids)
        vectors = vectors * keras.ops.cast(ids > 0, "float32")[:, :, None]
    else:
        vectors = keras.layers.Embedding(10, width, mask_zero=True)(ids)
    vectors = keras.layers.Dropout(dropout)(vectors)
    pooled = keras.layers.GlobalAveragePooling1D()(vectors)
    hidden = keras.layers.Dense(width, activation="tanh", kernel_regularizer=keras.regularizers.L2(1e-3))(pooled)
    return keras.Model({"ids": ids, "length": length}, keras.layers.Dense(2)(hidden))
