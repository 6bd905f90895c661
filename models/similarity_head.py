"""The heads of similarity: the cosine of texts that were encoded apart, or a score of two that were read together."""

import keras
import tensorflow as tf


class Cosine(keras.layers.Layer):
    """Of the vectors of text, pair and, where there is one, negative, each <float>[B, width], in a list:

    score <float32>[B], the cosine of the first two, and text, pair and negative <float32>[B, width], of length 1.
    """

    def build(self, shapes):
        """Nothing to do: it has no weights."""

    def call(self, vectors):
        names = ("text", "pair", "negative")
        found = {name: unit(each) for name, each in zip(names, vectors, strict=False)}
        return {**found, "score": tf.reduce_sum(found["text"] * found["pair"], axis=1)}


class Together(keras.layers.Layer):
    """Of the vectors of pairs read together <float>[B, width]: score <float32>[B], a log-odds.

    A linear family's vector is that score already.
    """

    def __init__(self, dense: keras.layers.Layer | None):
        super().__init__()
        self.dense = dense

    def build(self, shape):
        if self.dense:
            self.dense.build(shape)

    def call(self, vectors):
        scores = self.dense(vectors) if self.dense else vectors
        return {"score": tf.cast(scores[:, 0], tf.float32)}


def unit(vectors: tf.Tensor) -> tf.Tensor:
    """The vectors <float32>[..., width] at length 1; zeros stay zeros."""
    return tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1)
