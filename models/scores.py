"""What generation does to a model's scores before a token is chosen. Plain TensorFlow ops, no XLA.

Shapes: N rows, V tokens of the vocabulary, T places of a text; a row's text is its first `position + 1` ids.
"""

from collections.abc import Sequence

import tensorflow as tf

from models.generation import Generation

NEVER = -1e9  # a score that no chosen token has


def processed(
    logits: tf.Tensor,
    ids: tf.Tensor,
    position: tf.Tensor,
    made: tf.Tensor,
    options: Generation,
    end: int,
    banned: Sequence[int],
) -> tf.Tensor:
    """Log-probabilities <float32>[N, V] of the next token, after penalties and bans.

    logits <float32>[N, V]; ids <int32>[N, T]; position <int32>[], of the last token; made <int32>[N], new ones so far.
    end: may not come before `min_tokens`. banned: ids that no text has (padding and the like).
    """
    size = logits.shape[-1]
    if options.repetition_penalty != 1.0:
        penalised = tf.where(logits > 0, logits / options.repetition_penalty, logits * options.repetition_penalty)
        logits = tf.where(_present(ids, position, size), penalised, logits)
    refused = tf.reduce_any(tf.one_hot([-1, *banned], size, True, False), axis=0)[None, :]  # -1 is no token
    if options.min_tokens:
        refused |= (made < options.min_tokens)[:, None] & tf.one_hot([end], size, True, False)
    if options.no_repeat_ngram:
        refused |= _completing(ids, position, size, options.no_repeat_ngram)
    return tf.nn.log_softmax(tf.where(refused, NEVER, logits))


def _present(ids: tf.Tensor, position: tf.Tensor, size: int) -> tf.Tensor:
    """Which tokens a row's text has, <bool>[N, V]."""
    inside = tf.range(tf.shape(ids)[1])[None, :] <= position
    return _scattered(ids, tf.broadcast_to(inside, tf.shape(ids)), size)


def _completing(ids: tf.Tensor, position: tf.Tensor, size: int, n: int) -> tf.Tensor:
    """Which tokens would complete an n-gram that a row's text has already, <bool>[N, V]."""
    places = tf.range(tf.shape(ids)[1] - n + 1)  # where an n-gram may start
    matches = tf.broadcast_to(places[None, :] + n - 1 <= position, [tf.shape(ids)[0], tf.shape(places)[0]])
    for i in range(n - 1):
        last = tf.gather(ids, tf.maximum(position - (n - 2) + i, 0), axis=1)
        matches &= tf.gather(ids, places + i, axis=1) == last[:, None]
    matches &= position >= n - 1
    return _scattered(tf.gather(ids, places + n - 1, axis=1), matches, size)


def _scattered(ids: tf.Tensor, which: tf.Tensor, size: int) -> tf.Tensor:
    """<bool>[N, V], True at the ids <int32>[N, M] where `which` <bool>[N, M] is."""
    rows = tf.broadcast_to(tf.range(tf.shape(ids)[0])[:, None], tf.shape(ids))
    places = tf.stack([rows, ids], axis=-1)
    return tf.scatter_nd(places, tf.cast(which, tf.int32), [tf.shape(ids)[0], size]) > 0


def drawn(scores: tf.Tensor, options: Generation, position: tf.Tensor) -> tf.Tensor:
    """A token a row <int32>[N], drawn from log-probabilities <float32>[N, V]: temperature, then top k, then top p
    (Holtzman et al. 2020). The same seed, position and row draw the same."""
    scores = scores / options.temperature
    if options.top_k:
        least = tf.math.top_k(scores, min(options.top_k, scores.shape[-1])).values[:, -1:]
        scores = tf.where(scores < least, NEVER, scores)
    if options.top_p < 1:
        ordered = tf.sort(scores, direction="DESCENDING")
        shares = tf.nn.softmax(ordered)
        before = tf.cumsum(shares, axis=1, exclusive=True)  # the likeliest token always stays
        least = tf.reduce_min(tf.where(before < options.top_p, ordered, float("inf")), axis=1, keepdims=True)
        scores = tf.where(scores < least, NEVER, scores)
    uniform = tf.random.stateless_uniform(tf.shape(scores), tf.stack([options.seed, position]), minval=1e-20)
    return tf.argmax(scores - tf.math.log(-tf.math.log(uniform)), axis=1, output_type=tf.int32)  # Gumbel's trick


def ends_with(ids: tf.Tensor, position: tf.Tensor, made: tf.Tensor, stops: Sequence[Sequence[int]]) -> tf.Tensor:
    """Tokens of the longest stop sequence that the new part of each text ends with <int32>[N], 0 for none.

    ids <int32>[N, T], whose last token is at `position`; made <int32>[N], how many of them are new.
    """
    found = tf.zeros(tf.shape(ids)[:1], tf.int32)
    for stop in sorted(stops, key=len):
        at = tf.maximum(position - len(stop) + 1 + tf.range(len(stop)), 0)
        same = tf.reduce_all(tf.gather(ids, at, axis=1) == tf.constant(list(stop), tf.int32), axis=1)
        found = tf.where(same & (made >= len(stop)), len(stop), found)
    return found
