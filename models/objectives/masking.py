"""Which tokens of a batch are hidden, and what stands for them: functions of random numbers, in the graph."""

import tensorflow as tf


def choose(drawn: tf.Tensor, tellable: tf.Tensor, begins: tf.Tensor | None, share: float) -> tf.Tensor:
    """Exactly a share of each row's tellable tokens, rounded, but one at least: <bool>[B, T].

    drawn <float32>[B, T]: uniform in [0, 1). tellable <bool>[B, T]: the others are never chosen.
    begins <bool>[B, T]: whether a token begins a word; then all of a word's tokens are chosen with one, and the last
      word may go beyond the share. A word ends where a token is not tellable, too.
    """
    if begins is not None:
        word = tf.cumsum(tf.cast(begins | ~tellable, tf.int32), axis=1)
        drawn = tf.gather(drawn, word - word[:, :1], batch_dims=1)
    drawn = tf.where(tellable, drawn, 2.0)
    wanted = tf.maximum(tf.round(share * tf.reduce_sum(tf.cast(tellable, tf.float32), axis=1)), 1.0)
    lower = tf.searchsorted(tf.sort(drawn, axis=1), drawn)
    return tellable & (tf.cast(lower, tf.float32) < wanted[:, None])


def replace(
    drawn: tf.Tensor, word: tf.Tensor, ids: tf.Tensor, words: tf.Tensor, mask: int, rates: tuple[float, float]
) -> tf.Tensor:
    """What is read in the place of each of ids <int32>[B, T] if it is chosen: the mask, a random word, or itself.

    drawn, word <float32>[B, T]: uniform in [0, 1). words <int32>[n]: the ids that are words. rates: of mask and word.
    """
    hidden, random = rates
    last = tf.shape(words)[0] - 1  # word * n rounds up to n now and then
    other = tf.gather(words, tf.minimum(tf.cast(word * tf.cast(last + 1, tf.float32), tf.int32), last))
    return tf.where(drawn < hidden, mask, tf.where(drawn < hidden + random, other, ids))
