"""Attention and the transformer's layers, by the formulas of Vaswani et al. 2017."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Cache = tuple[tf.Tensor, tf.Tensor]  # keys and values <float>[B, heads, T, width / heads]


def scaled_dot_product(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, keep: tf.Tensor, drop: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """softmax(Q K^T / sqrt(d)) V (equation 1), the softmax in float32.

    query <float>[..., U, d], key and value <float>[..., T, d], keep <bool>[..., U, T] or what broadcasts to it: which
    keys a query sees; where it sees none it gets zeros. drop: dropout on the weights.
    """
    scores = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32) / np.sqrt(query.shape[-1])
    weights = tf.where(keep, tf.nn.softmax(tf.where(keep, scores, -1e9)), 0.0)
    return tf.matmul(drop(tf.cast(weights, value.dtype)), value)


def sinusoids(length: int, width: int) -> np.ndarray:
    """PE(p, 2i) = sin(p / 10000^(2i / width)), PE(p, 2i + 1) = cos(same) (section 3.5): <float64>[length, width]."""
    column = np.arange(width)
    angle = np.arange(length)[:, None] / 10000 ** (2 * (column // 2) / width)
    return np.where(column % 2 == 0, np.sin(angle), np.cos(angle))


def _fixed(shape, dtype) -> tf.Tensor:
    return tf.constant(sinusoids(*shape), dtype)


class Positions(keras.layers.Layer):
    """A vector a position, fixed (`sinusoidal`) or `learned`; called with positions <int32>[...] below `length`."""

    def __init__(self, kind: str, length: int, width: int):
        super().__init__()
        fixed = kind == "sinusoidal"
        self.length = length
        self.table = self.add_weight(
            shape=(length, width),
            initializer=_fixed if fixed else keras.initializers.RandomNormal(stddev=width**-0.5),
            trainable=not fixed,
            name="positions",
        )

    def call(self, positions: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.cast(self.table, self.compute_dtype), positions)


class MultiHeadAttention(keras.layers.Layer):
    """Concat(head_1, ..., head_h) W^O, head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V) (section 3.2.2), no biases."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.width, self.heads = width, heads
        names = ("query", "key", "value", "output_projection")
        self.query, self.key, self.value, self.project = (
            keras.layers.Dense(width, use_bias=False, name=name) for name in names
        )
        self.drop = keras.layers.Dropout(dropout)

    def build(self, queries_shape, source_shape=None, keep_shape=None):
        self.query.build(queries_shape)
        self.project.build(queries_shape)
        self.key.build(source_shape)
        self.value.build(source_shape)

    def call(self, queries: tf.Tensor, source: tf.Tensor, keep: tf.Tensor, training: bool = False) -> tf.Tensor:
        """queries <float>[B, U, width], source <float>[B, T, any], keep <bool> as broadcasts to [B, heads, U, T]."""
        return self.attend(queries, self.cache(source), keep, training)

    def cache(self, source: tf.Tensor) -> Cache:
        """Keys and values of the source, which later queries need not compute again."""
        return self._split(self.key(source)), self._split(self.value(source))

    def attend(
        self, queries: tf.Tensor, cache: Cache, keep: tf.Tensor, training: bool = False, look: Callable | None = None
    ) -> tf.Tensor:
        """look: is shown the weights <float>[B, heads, U, T]."""

        def drop(weights):
            if look:
                look(weights)
            return self.drop(weights, training=training)

        heads = scaled_dot_product(self._split(self.query(queries)), *cache, keep, drop)
        rows, count = tf.shape(queries)[0], queries.shape[1] or tf.shape(queries)[1]
        return self.project(tf.reshape(tf.transpose(heads, [0, 2, 1, 3]), [rows, count, self.width]))

    def _split(self, vectors: tf.Tensor) -> tf.Tensor:
        """[B, T, width] -> [B, heads, T, width / heads]"""
        rows, count = tf.shape(vectors)[0], vectors.shape[1] or tf.shape(vectors)[1]
        return tf.transpose(tf.reshape(vectors, [rows, count, self.heads, self.width // self.heads]), [0, 2, 1, 3])


class TransformerLayer(keras.layers.Layer):
    """Self-attention, with a memory attention to it, and a feed-forward network, each around a residual (section 3.1).

    norm: `post`, LayerNorm(x + sublayer(x)), as in the paper; `pre`, x + sublayer(LayerNorm(x)) (Xiong et al. 2020).
    """

    def __init__(self, width: int, heads: int, intermediate: int, dropout: float, norm: str, memory: bool):
        super().__init__()
        self.pre, self.memory = norm == "pre", memory
        self.attention = MultiHeadAttention(width, heads, dropout)
        if memory:
            self.to_memory = MultiHeadAttention(width, heads, dropout)
        self.inner = keras.layers.Dense(intermediate, activation="relu", name="inner")
        self.outer = keras.layers.Dense(width, name="outer")
        self.norms = [keras.layers.LayerNormalization(epsilon=1e-5) for _ in range(2 + memory)]
        self.drop = keras.layers.Dropout(dropout)

    def build(self, *_, **__):
        """Nothing to do: the parts build themselves at the first call."""

    def call(self, x, keep, memory=None, memory_keep=None, training: bool = False) -> tf.Tensor:
        """x <float>[B, U, width], keep <bool>[B or 1, 1, U or 1, U]; memory <float>[B, S, width], its keep likewise."""
        return self._apply(
            x,
            lambda x: self.attention(x, x, keep, training=training),
            lambda x: self.to_memory(x, memory, memory_keep, training=training),
            training,
        )

    def step(self, x, cache: Cache, position, memory_cache: Any = None, memory_keep=None):
        """The same for one more token: x <float>[B, 1, width] at `position` <int32>[] -> (x, cache with it, how much of
        its attention each token of the memory got <float32>[B, S], or None).

        The cache [B, heads, steps, width / heads] is written where the position is: a masked where, since Keras's
        slice_update asks for XLA, which servers may have switched off.
        """
        here = tf.range(cache[0].shape[2])
        grown: list[Cache] = []
        looks: list[tf.Tensor] = []

        def attend(x):
            new = zip(cache, self.attention.cache(x), strict=True)
            keys, values = (tf.where(here[:, None] == position, token, before) for before, token in new)
            grown.append((keys, values))
            return self.attention.attend(x, grown[0], here <= position)

        def attend_memory(x):
            return self.to_memory.attend(x, memory_cache, memory_keep, look=looks.append)

        x = self._apply(x, attend, attend_memory, training=False)
        look = tf.reduce_mean(tf.cast(looks[0][:, :, 0], tf.float32), axis=1) if looks else None
        return x, grown[0], look

    def _apply(self, x, attend: Callable, attend_memory: Callable, training: bool) -> tf.Tensor:
        sublayers = [attend, *([attend_memory] if self.memory else []), lambda x: self.outer(self.inner(x))]
        for sublayer, norm in zip(sublayers, self.norms, strict=True):
            changed = self.drop(sublayer(norm(x) if self.pre else x), training=training)
            x = x + changed if self.pre else norm(x + changed)
        return x
