"""Linear-chain conditional random field (Lafferty et al. 2001; on a network's scores: Lample et al. 2016, section 2.2).

The score of tags y for a row of n tokens is the sum of its tokens' scores, of the transitions between neighbours, of
`start[y_1]` and of `end[y_n]`. Plain TensorFlow ops whose shapes follow the inputs', so the same code trains, compiles
for TPU and is exported. Padding is at the right and never read.

Shapes: B rows, T tokens, K tags; scores <float32>[B, T, K], length <int32>[B], transitions <float32>[K, K] (from, to),
start and end <float32>[K]. A row without tokens has log-likelihood 0 and no tags.
"""

from typing import NamedTuple

import tensorflow as tf

NEVER = -1e4  # the score of a transition that is not allowed: added a few hundred times it is still finite in float32


class Chain(NamedTuple):
    """Scores between neighbours, before the first token and after the last."""

    transitions: tf.Tensor
    start: tf.Tensor
    end: tf.Tensor

    def only(self, allowed: "Chain") -> "Chain":
        """With NEVER where `allowed` (<bool>, of the same shapes) is False."""
        return Chain(*(tf.where(may, score, NEVER) for score, may in zip(self, allowed, strict=True)))


def log_likelihood(scores: tf.Tensor, tags: tf.Tensor, length: tf.Tensor, chain: Chain) -> tf.Tensor:
    """Log-probability <float32>[B] of tags <int32>[B, T], which must be in 0..K-1 within the row's length."""
    found = path_score(scores, tags, length, chain) - log_partition(scores, length, chain)
    return tf.where(length > 0, found, 0.0)


def path_score(scores: tf.Tensor, tags: tf.Tensor, length: tf.Tensor, chain: Chain) -> tf.Tensor:
    """Unnormalised score <float32>[B] of tags <int32>[B, T]."""
    tokens = tf.shape(scores)[1]
    inside = tf.sequence_mask(length, tokens, tf.float32)
    tags = tf.where(inside > 0, tags, 0)
    unary = tf.reduce_sum(tf.gather(scores, tags, batch_dims=2) * inside, axis=1)
    between = tf.gather_nd(chain.transitions, tf.stack([tags[:, :-1], tags[:, 1:]], axis=-1))
    last = tf.gather(tags, tf.maximum(length - 1, 0), batch_dims=1)
    ends = tf.gather(chain.start, tags[:, 0]) + tf.gather(chain.end, last)
    return unary + tf.reduce_sum(between * inside[:, 1:], axis=1) + ends


def log_partition(scores: tf.Tensor, length: tf.Tensor, chain: Chain) -> tf.Tensor:
    """Log of the sum over all tag sequences <float32>[B], by the forward algorithm."""

    def step(alpha, at):
        position, score = at
        further = tf.reduce_logsumexp(alpha[:, :, None] + chain.transitions[None], axis=1) + score
        return tf.where((position < length)[:, None], further, alpha)

    scores = _never_one_long(scores)
    first = chain.start[None] + scores[:, 0]
    later = tf.range(1, tf.shape(scores)[1]), tf.transpose(scores[:, 1:], [1, 0, 2])
    alpha = tf.scan(step, later, first)
    alpha = tf.concat([first[None], alpha], axis=0)[-1]
    return tf.reduce_logsumexp(alpha + chain.end[None], axis=1)


def viterbi(scores: tf.Tensor, length: tf.Tensor, chain: Chain) -> tf.Tensor:
    """The tags <int32>[B, T] of the highest score; 0 past a row's end."""

    def forwards(before, at):
        best, _ = before
        position, score = at
        through = best[:, :, None] + chain.transitions[None]
        further = tf.reduce_max(through, axis=1) + score
        inside = (position < length)[:, None]
        stay = tf.broadcast_to(tf.range(tf.shape(score)[1])[None], tf.shape(score))
        came = tf.argmax(through, axis=1, output_type=tf.int32)
        return tf.where(inside, further, best), tf.where(inside, came, stay)

    tokens = tf.shape(scores)[1]
    scores = _never_one_long(scores)
    first = chain.start[None] + scores[:, 0]
    nowhere = tf.zeros_like(first, tf.int32)
    later = tf.range(1, tf.shape(scores)[1]), tf.transpose(scores[:, 1:], [1, 0, 2])
    best, came = tf.scan(forwards, later, (first, nowhere))
    best = tf.concat([first[None], best], axis=0)[-1]
    last = tf.argmax(best + chain.end[None], axis=1, output_type=tf.int32)
    # Past a row's end every tag came from itself, so that walking back through padding changes nothing.
    earlier = tf.scan(lambda tag, came: tf.gather(came, tag, batch_dims=1), came, last, reverse=True)
    tags = tf.transpose(tf.concat([earlier, last[None]], axis=0))[:, :tokens]
    return tf.where(tf.sequence_mask(length, tokens), tags, 0)


def _never_one_long(scores: tf.Tensor) -> tf.Tensor:
    """The scores with a step of padding behind them: TensorFlow's scan stumbles over none at all."""
    return tf.pad(scores, [[0, 0], [0, 1], [0, 0]])
