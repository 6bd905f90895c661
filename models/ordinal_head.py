"""The head of ordinal classification: a number, and thresholds in ascending order that part it into labels."""

import keras
import tensorflow as tf


class OrdinalHead(keras.layers.Layer):
    """From a text's vector to log-probabilities <float32>[B, K] of K labels in order.

    P(label > k) = sigmoid(number - threshold_k); of two neighbours the difference of sigmoids is taken as a product,
    sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), which loses nothing where both are near 0 or 1.
    """

    def __init__(self, labels: int, number: keras.layers.Layer, **options):
        """number: a layer to <float>[B, 1]."""
        super().__init__(dtype="float32", **options)
        self.labels, self.number = labels, number

    def build(self, shape):
        if not self.number.built:
            self.number.build(shape)
        zeros = {"dtype": "float32", "initializer": "zeros"}
        self.first = self.add_weight(shape=[1], name="first", **zeros)
        self.gaps = self.add_weight(shape=[self.labels - 2], name="gaps", **zeros)

    def call(self, pooled):
        gaps = tf.nn.softplus(tf.convert_to_tensor(self.gaps)) + 1e-3
        first = tf.convert_to_tensor(self.first) - (self.labels - 2) / 2 * tf.math.log(2.0)  # the middle starts at 0
        above = self.number(pooled) - tf.concat([first, first + tf.cumsum(gaps)], axis=0)  # <float32>[B, K - 1]
        between = tf.math.log_sigmoid(above[:, :-1]) + tf.math.log_sigmoid(-above[:, 1:]) + _log1mexp(gaps)
        return tf.concat([tf.math.log_sigmoid(-above[:, :1]), between, tf.math.log_sigmoid(above[:, -1:])], axis=1)


def _log1mexp(x: tf.Tensor) -> tf.Tensor:
    """ln(1 - exp(-x)) of x > 0."""
    return tf.math.log(-tf.math.expm1(-x))
