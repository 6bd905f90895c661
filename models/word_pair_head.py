"""The head of word_in_context: two vectors of a word to labels."""

import keras
import tensorflow as tf


class WordPairHead(keras.layers.Layer):
    """From u and v <float>[B, width] to logits <float32>[B, K] and cosine <float32>[B]: dense on the cosine, |u - v|
    and u * v, or on the cosine alone. Of zeros the cosine is 0."""

    def __init__(self, labels: int, cosine_alone: bool, dropout: float, **options):
        super().__init__(dtype="float32", **options)
        self.alone, self.dropout = cosine_alone, keras.layers.Dropout(dropout)
        self.dense = keras.layers.Dense(labels, dtype="float32")

    def build(self, shapes):
        self.dense.build((None, 1 if self.alone else 2 * shapes[0][-1] + 1))

    def call(self, vectors, training=False):
        u, v = vectors
        cosine = tf.reduce_sum(tf.math.l2_normalize(u, axis=1) * tf.math.l2_normalize(v, axis=1), axis=1)
        found = cosine[:, None]
        if not self.alone:
            apart = self.dropout(tf.concat([tf.abs(u - v), u * v], axis=1), training=training)
            found = tf.concat([found, apart], axis=1)
        return {"logits": self.dense(found), "cosine": cosine}
