"""The head of question answering: scores of a context's tokens as the answer's first and last, and the best span."""

from typing import NamedTuple

import keras
import tensorflow as tf

NEVER = -1e9  # the score of what is no token


class SpanHead(keras.layers.Layer):
    """From vectors of a context's tokens, and of all of a row's, to start and end <float32>[B, 1 + L]: the scores of
    no answer and of each token.

    A token's score is linear in its vector (Devlin et al. 2019), and bilinear in it and the question's (Chen et al.
    2017, section 3.2, where the question is a weighted mean of its tokens): families whose tokens do not see the
    question can only use the second.
    """

    def __init__(self, dropout: float, **options):
        super().__init__(dtype="float32", **options)
        self.dropout = keras.layers.Dropout(dropout)
        self.weigh, self.linear, self.none = (keras.layers.Dense(n, dtype="float32") for n in (1, 2, 2))

    def build(self, shapes):
        context, _, every, _ = shapes
        width = context[-1]
        self.weigh.build(every)
        self.linear.build(context)
        self.none.build((None, 2 * width))
        self.project = keras.layers.Dense(2 * width, use_bias=False, dtype="float32")
        self.project.build((None, width))

    def call(self, inputs, training=False):
        """context <float>[B, L, width], keep <bool>[B, L], sequence <float>[B, T, width], asked <bool>[B, T]."""
        context, keep, sequence, asked = inputs
        context = self.dropout(context, training=training)
        question = _mean(sequence, tf.where(asked, self.weigh(sequence)[:, :, 0], NEVER))
        projected = tf.reshape(self.project(question), [-1, 2, context.shape[2]])
        scores = self.linear(context) + tf.einsum("blw,bsw->bls", context, projected) * context.shape[2] ** -0.5
        scores = tf.where(keep[:, :, None], scores, NEVER)
        about = _mean(context, tf.where(keep, 0.0, NEVER))
        none = self.none(tf.concat([question, about], axis=1))
        start, end = tf.unstack(tf.concat([none[:, None, :], scores], axis=1), axis=2)
        return {"start": start, "end": end}


def _mean(vectors: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """<float>[B, width], weighed by the softmax of scores <float>[B, T]."""
    return tf.einsum("bt,btw->bw", tf.nn.softmax(scores), vectors)


def place_of(marks: tf.Tensor, bit: int) -> tf.Tensor:
    """The place <int32>[B], from 1, of the first mark with a bit; 0 where there is none. marks <int32>[B, L]."""
    found = tf.bitwise.bitwise_and(marks, bit) > 0
    first = tf.argmax(tf.cast(found, tf.int32), axis=1, output_type=tf.int32) + 1
    return tf.where(tf.reduce_any(found, axis=1), first, 0)


class Best(NamedTuple):
    """The best span of each row [B]: its first and last token <int32>; margin <float32>, by how much it scores above no
    answer; null <float32>, the log-probability of no answer; empty <bool>, where there is no token."""

    start: tf.Tensor
    end: tf.Tensor
    margin: tf.Tensor
    null: tf.Tensor
    empty: tf.Tensor


def best_spans(logits, longest: int) -> Best:
    """Of all spans of at most `longest` tokens, the one whose first and last score highest together."""
    start, end = (tf.nn.log_softmax(logits[name]) for name in ("start", "end"))
    null = start[:, 0] + end[:, 0]
    begins, ends = start[:, 1:], tf.pad(end[:, 1:], [[0, 0], [0, longest - 1]], constant_values=2 * NEVER)
    width = tf.shape(begins)[1]
    place = tf.range(width)[:, None] + tf.range(longest)
    spans = begins[:, :, None] + tf.gather(ends, place, axis=1)  # <float32>[B, L, longest]
    flat = tf.reshape(spans, [-1, width * longest])
    best = tf.argmax(flat, axis=1, output_type=tf.int32)
    first = best // longest
    score = tf.reduce_max(flat, axis=1)
    empty = score < NEVER / 2
    return Best(first, first + best % longest, tf.where(empty, 0.0, score - null), null, empty)


def best_of_each(best: Best, owner: tf.Tensor, rows: tf.Tensor) -> tuple[Best, tf.Tensor]:
    """Of the windows of each text, the one whose span is furthest above no answer there; and which it is <int32>[rows].

    Scores of windows are softmaxes of their own: only against no answer, which each has, can they be compared.
    """
    margin = tf.where(best.empty, NEVER, best.margin)
    highest = tf.gather(tf.math.unsorted_segment_max(margin, owner, rows), owner)
    place = tf.where(margin >= highest, tf.range(tf.size(owner)), tf.size(owner))
    window = tf.math.unsorted_segment_min(place, owner, rows)
    return Best(*(tf.gather(each, window) for each in best)), window
