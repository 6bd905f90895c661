"""Rows in groups: the beams or draws of a text, one after another."""

import tensorflow as tf


def set_column(ids: tf.Tensor, position: tf.Tensor, token: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.range(tf.shape(ids)[1])[None, :] == position, token[:, None], ids)


def best_of(new: tuple, old: tuple, wide: int, beams: int) -> tuple:
    """The best K of each text's K old and `wide` new ended texts: (ids, counts, scores), rows first."""
    ids, counts, scores = (
        tf.concat([grouped(before, beams), grouped(fresh, wide)], axis=1)
        for fresh, before in zip(new, old, strict=True)
    )
    kept_scores, kept = tf.math.top_k(scores, beams)
    return tuple(flat(each) for each in (*(tf.gather(e, kept, batch_dims=1) for e in (ids, counts)), kept_scores))


def grouped(rows: tf.Tensor, n: int) -> tf.Tensor:
    """[B * n, ...] -> [B, n, ...]."""
    return tf.reshape(rows, tf.concat([[-1, n], tf.shape(rows)[1:]], axis=0))


def flat(groups: tf.Tensor) -> tf.Tensor:
    """[B, n, ...] -> [B * n, ...]."""
    return tf.reshape(groups, tf.concat([[-1], tf.shape(groups)[2:]], axis=0))
