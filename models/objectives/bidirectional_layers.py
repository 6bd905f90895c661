"""Keras parts of the objective `bidirectional`: targets, the sampled softmax, and the model that joins them to ELMo."""

import math
from collections.abc import Mapping

import keras
import tensorflow as tf

from data.schema import IDS, LENGTH, WORD_BYTES
from models.elmo_layers import Network


def next_and_previous(ids: tf.Tensor, length: tf.Tensor, start: int, end: int) -> tuple[tf.Tensor, tf.Tensor]:
    """What each place of `start` w_1 ... w_n `end` is to say <int32>[B, T + 2]: the word behind it, the word before it.

    ids <int32>[B, T], length <int32>[B]. -1 where there is nothing to say: behind `end`, before `start`, on padding.
    """
    place, length = tf.range(tf.shape(ids)[1] + 2)[None, :], length[:, None]
    behind, before = tf.pad(ids, [[0, 0], [0, 2]]), tf.pad(ids, [[0, 0], [2, 0]])
    forwards = tf.where(place < length, behind, tf.where(place == length, end, -1))
    backwards = tf.where((place > 1) & (place <= length + 1), before, tf.where(place == 1, start, -1))
    return forwards, backwards


def log_uniform(seed: tf.Tensor, samples: int, size: int) -> tf.Tensor:
    """Ids <int32>[samples] below `size`, id i with probability log((i + 2) / (i + 1)) / log(size + 1)."""
    uniform = tf.random.stateless_uniform([samples], seed, alg="philox")  # the same under XLA
    return tf.clip_by_value(tf.cast(tf.exp(uniform * math.log(size + 1)), tf.int32) - 1, 0, size - 1)


def log_expected(ids: tf.Tensor, samples: int, size: int) -> tf.Tensor:
    """Logarithm of how often an id is expected among the samples, <float32> of the shape of ids."""
    ids = tf.cast(ids, tf.float32)
    return tf.math.log(tf.math.log1p(1 / (ids + 1))) - math.log(math.log(size + 1)) + math.log(samples)


class WordSoftmax(keras.layers.Layer):
    """Scores of every word for a vector, and what a target costs by them, over all words or over a sample."""

    def __init__(self, size: int, width: int, **options):
        super().__init__(**options)
        self.size = size
        initial = keras.initializers.RandomNormal(stddev=1 / math.sqrt(width))
        self.vectors = self.add_weight(shape=(size, width), initializer=initial, name="vectors")
        self.bias = self.add_weight(shape=(size,), initializer="zeros", name="bias")

    def call(self, hidden: tf.Tensor, targets: tf.Tensor, sampled: tf.Tensor | None = None) -> tf.Tensor:
        """Nats <float32>[N] of targets <int32>[N] for hidden <float>[N, width]; sampled <int32>[S] or None for all.

        The sum over all words is estimated: the target's own term, and the sampled others, each weighed by 1 over how
        often it was to be expected (importance sampling: Bengio and Senecal 2008, section III).
        """
        if sampled is None:
            logits = tf.matmul(hidden, self.vectors, transpose_b=True) + self.bias
            return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, tf.cast(logits, tf.float32))
        true = tf.reduce_sum(hidden * tf.gather(self.vectors, targets), axis=1) + tf.gather(self.bias, targets)
        other = tf.matmul(hidden, tf.gather(self.vectors, sampled), transpose_b=True) + tf.gather(self.bias, sampled)
        true = tf.cast(true, tf.float32)
        other = tf.cast(other, tf.float32) - log_expected(sampled, sampled.shape[0], self.size)
        other = tf.where(targets[:, None] == sampled[None, :], -1e9, other)
        return tf.reduce_logsumexp(tf.concat([true[:, None], other], axis=1), axis=1) - true


class BidirectionalLm(keras.Model):
    """ELMo's network with a softmax on the last layer of each direction."""

    def __init__(self, network: Network, size: int, marks: tuple[int, int], samples: int, dropout: float):
        """size: of the vocabulary. marks: its ids for the begin and the end of a sentence."""
        super().__init__()
        self.network, self.samples, self.marks = network, samples, marks
        self.softmax = WordSoftmax(size, network.width)
        self.dropout = keras.layers.Dropout(dropout)
        self.seeds = keras.random.SeedGenerator()

    def call(self, batch: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        return self.go_on(batch, None, training)[0]

    def go_on(self, batch: Mapping[str, tf.Tensor], states, training: bool = False):
        """Nats a word <float32>[B, 2], forwards and backwards, and the states for the rows that follow on these.

        states: None to start anew, then None comes back; or what models.elmo_layers.Bilm takes and gives.
        """
        length = batch[LENGTH]
        words, _, _ = self.network.words.in_sentences(batch[WORD_BYTES], length)
        layers, states = self.network.bilm(words, words, length + 2, states, training=training)
        nats = []
        for hidden, targets in zip(
            tf.split(layers[-1], 2, axis=2), next_and_previous(batch[IDS], length, *self.marks), strict=True
        ):
            nats.append(self._nats(self.dropout(hidden, training=training), targets, training))
        return tf.stack(nats, axis=1), states

    def _nats(self, hidden: tf.Tensor, targets: tf.Tensor, training: bool) -> tf.Tensor:
        """Mean over each row's places <float32>[B]."""
        said = targets >= 0
        sampled = None
        if training and self.samples:
            sampled = log_uniform(tf.cast(self.seeds.next(), tf.int32), self.samples, self.softmax.size)
        flat = tf.reshape(hidden, [-1, hidden.shape[2]])
        nats = self.softmax(flat, tf.reshape(tf.maximum(targets, 0), [-1]), sampled)
        nats = tf.where(said, tf.reshape(nats, tf.shape(targets)), 0.0)
        return tf.reduce_sum(nats, axis=1) / tf.reduce_sum(tf.cast(said, tf.float32), axis=1)
