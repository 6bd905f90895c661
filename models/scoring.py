"""How likely whole texts are, in the graph: in windows where a text is longer than the model reads at once."""

import tensorflow as tf

from data.schema import IDS, LENGTH
from models.families.base import Vocabulary

SCORES = 1 << 25  # numbers of one pass over some windows: tokens times vocabulary
TOKENS = 1 << 14  # and its tokens, at most


def scores(served, task, text: tf.Tensor) -> dict[str, tf.Tensor]:
    """Of texts <string>[N], each from an end token before it to its own end: loss <float32>[N] in nats, tokens and
    unknown ones <int32>[N].

    A text longer than a window, `max_tokens`, is read in windows `task.stride` apart (half a window if None); each
    token is told in the first window that holds it, so from half a window before it or more.
    """
    vocabulary = Vocabulary.of(served.tokenizer)
    flat, starts, lengths = _between_ends(served.tokenizer.graph(text), vocabulary)
    most = tf.minimum(served.max_tokens, tf.maximum(tf.reduce_max(lengths), 2))
    stride = tf.minimum(task.stride or max(served.max_tokens // 2, 1), most - 1)
    rows, begins = windows_between(lengths, most, stride)
    at_once = at_a_time(most, most * vocabulary.size)
    count = tf.shape(lengths)[0]

    def some(n, sums):
        row, begin = rows[n : n + at_once], begins[n : n + at_once]
        first, length = tf.gather(starts, row) + begin, tf.minimum(tf.gather(lengths, row) - begin, most)
        batch = windows_of(flat, first, length, most, vocabulary.pad)
        losses, ids, here = task.losses(served.model(batch, training=False), batch)  # of the longest of these windows
        here &= (tf.range(tf.shape(here)[1])[None, :] >= most - 1 - stride) | (begin == 0)[:, None]
        found = tf.where(here, losses, 0.0), here, here & (ids == unknown)
        found = [tf.reduce_sum(tf.cast(each, tf.float32), axis=1) for each in found]
        found = tf.math.unsorted_segment_sum(tf.stack(found, axis=1), row, count)
        return n + at_once, sums + found

    unknown = -1 if vocabulary.unknown is None else vocabulary.unknown
    _, sums = tf.while_loop(lambda n, _: n < tf.size(rows), some, (tf.constant(0), tf.zeros([count, 3])))
    return summed(sums)


def at_a_time(tokens: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Windows of one pass <int32>[], where each has so many tokens, and so many numbers are computed for it."""
    return tf.maximum(tf.minimum(TOKENS // tokens, SCORES // scores), 1)


def windows_of(flat: tf.Tensor, first: tf.Tensor, length: tf.Tensor, most: tf.Tensor, pad: int) -> dict[str, tf.Tensor]:
    """A batch of windows of texts that stand one after another: `length` <int32>[W] ids from `first` <int32>[W] on,
    `most` <int32>[] or fewer."""
    index = tf.minimum(first[:, None] + tf.range(most)[None, :], tf.size(flat) - 1)
    return {IDS: tf.where(tf.sequence_mask(length, most), tf.gather(flat, index), pad), LENGTH: length}


def summed(sums: tf.Tensor) -> dict[str, tf.Tensor]:
    """loss <float32>[N], tokens and unknown <int32>[N] of sums <float32>[N, 3]."""
    tokens, unknown = (tf.cast(sums[:, n], tf.int32) for n in (1, 2))
    return {"loss": sums[:, 0], "tokens": tokens, "unknown": unknown}


def _between_ends(ids: tf.RaggedTensor, vocabulary) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The texts' ids with an end before and behind each, one text after another; where each starts, and lengths."""
    rows = ids.nrows()
    before = tf.fill([rows, 1], vocabulary.between)
    behind = [] if vocabulary.end is None else [tf.fill([rows, 1], vocabulary.end)]
    whole = tf.concat([tf.RaggedTensor.from_tensor(before), ids, *map(tf.RaggedTensor.from_tensor, behind)], axis=1)
    return whole.values, tf.cast(whole.row_starts(), tf.int32), tf.cast(whole.row_lengths(), tf.int32)


def windows_between(lengths: tf.Tensor, most: tf.Tensor, stride: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Row and first place of each window <int32>[W]; a row of one token, which tells none, has one window too."""
    more = tf.maximum(lengths - most + stride - 1, 0) // stride
    number = tf.ragged.range(more + 1)
    return tf.cast(number.value_rowids(), tf.int32), number.values * stride
