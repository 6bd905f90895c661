"""Long texts in overlapping windows, cut in the graph as data/windows.py cuts them for training."""

from typing import NamedTuple

import tensorflow as tf

from data.windows import ADDED, ADDED_PAIR


class Windows(NamedTuple):
    """owner, starts, sizes <int32>[W], as data.windows has them."""

    owner: tf.Tensor
    starts: tf.Tensor
    sizes: tf.Tensor


def cut(lengths: tf.Tensor, beside: tf.Tensor | None, max_tokens: int, stride: int) -> Windows:
    """lengths <int32>[N] of the text, beside <int32>[N] of a pair's first. A stride of 0: one window a row."""
    if beside is None:
        width = tf.fill(tf.shape(lengths), max(max_tokens - ADDED, 1))
    else:
        room = max(max_tokens - ADDED_PAIR, 2)
        width = room - tf.minimum(beside, (room + 1) // 2)
    step = tf.minimum(stride or max_tokens, width)
    more = -(-tf.maximum(lengths - width, 0) // step)
    counts = 1 + (more if stride else tf.zeros_like(more))
    owner = tf.repeat(tf.range(tf.size(lengths)), counts)
    order = tf.range(tf.size(owner)) - tf.gather(tf.cumsum(counts, exclusive=True), owner)
    starts = order * tf.gather(step, owner)
    return Windows(owner, starts, tf.minimum(tf.gather(lengths, owner) - starts, tf.gather(width, owner)))


def take(rows: tf.RaggedTensor, windows: Windows) -> tf.RaggedTensor:
    """<...>[W, None], the windows of <...>[N, None]."""
    first = tf.gather(tf.cast(rows.row_starts(), tf.int32), windows.owner) + windows.starts
    places = tf.ragged.range(first, first + windows.sizes)
    return places.with_values(tf.gather(rows.flat_values, places.flat_values))


def pooled(values: tf.Tensor, owner: tf.Tensor, rows: tf.Tensor, how: str) -> tf.Tensor:
    """The `mean` or `max` of each row's windows: <float>[W, C] to <float>[rows, C]."""
    reduce = tf.math.unsorted_segment_mean if how == "mean" else tf.math.unsorted_segment_max
    return reduce(values, owner, rows)
