"""Spans of tokens that sentinels stand for (Raffel et al. 2020, section 3.1.4): functions of random numbers.

As in the authors' own code, a text is cut at random into as many kept spans as lost ones, the first one kept and the
last one lost, so that the number of lost tokens is exact. All in the graph.
"""

import tensorflow as tf


def lost(drawn: tf.Tensor, length: tf.Tensor, tokens: tf.Tensor, spans: tf.Tensor) -> tf.Tensor:
    """Which tokens are lost <bool>[B, T].

    drawn <float32>[2, B, T]: uniform in [0, 1). length, tokens, spans <int32>[B]: of each row's tokens, those that are
    lost and the spans that they lie in; spans is at most the lost tokens, and at most the kept ones.
    """
    ends = tf.cumsum(_cut(drawn[0], length - tokens, spans), axis=1)  # of the kept spans, among the kept tokens
    losses = _cut(drawn[1], tokens, spans)
    before = tf.cumsum(losses, axis=1, exclusive=True)
    real = tf.range(tf.shape(drawn)[2]) < spans[:, None]
    marks = _count(ends + before, real) - _count(ends + before + losses, real)
    return tf.cumsum(marks, axis=1) > 0


def _cut(drawn: tf.Tensor, items: tf.Tensor, parts: tf.Tensor) -> tf.Tensor:
    """Sizes <int32>[B, T] of the parts that each row's items are cut into, none empty, every way as likely."""
    place = tf.range(tf.shape(drawn)[1])[None]
    drawn = tf.where((place > 0) & (place < items[:, None]), drawn, 2.0)
    begins = tf.searchsorted(tf.sort(drawn, axis=1), drawn) < parts[:, None] - 1
    return _count(tf.cumsum(tf.cast(begins, tf.int32), axis=1), place < items[:, None])


def _count(places: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    """How often each place is among those counted of a row: <int32>[B, T] of places <int32>[B, T]."""
    rows, width = tf.shape(places)[0], tf.shape(places)[1]
    flat = tf.range(rows)[:, None] * width + places
    inside = counted & (places < width)
    sums = tf.math.unsorted_segment_sum(tf.cast(inside, tf.int32), tf.where(inside, flat, 0), rows * width)
    return tf.reshape(sums, [rows, width])


def with_sentinels(ids: tf.Tensor, hidden: tf.Tensor, length: tf.Tensor, first: int) -> tuple[tf.Tensor, tf.Tensor]:
    """ids <int32>[B, T] with a sentinel in the place of each hidden span, moved together, and their number <int32>[B].

    The sentinels are first, first - 1, ... from left to right. What is behind the length is zeros.
    """
    inside = tf.range(tf.shape(ids)[1])[None] < length[:, None]
    hidden &= inside
    begins = hidden & ~tf.pad(hidden, [[0, 0], [1, 0]])[:, :-1]
    number = tf.cumsum(tf.cast(begins, tf.int32), axis=1) - 1
    kept = (inside & ~hidden) | begins
    order = tf.argsort(tf.cast(~kept, tf.int32), axis=1, stable=True)
    together = tf.gather(tf.where(kept, tf.where(begins, first - number, ids), 0), order, batch_dims=1)
    return together, tf.reduce_sum(tf.cast(kept, tf.int32), axis=1)
