"""The chain's probabilities and best tags against summing and trying every sequence, in NumPy."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from models.crf import NEVER, Chain, log_likelihood, log_partition, path_score, viterbi

ROWS, TOKENS, TAGS = 4, 5, 3
LENGTH = np.array([5, 3, 1, 0], np.int32)


@pytest.fixture(scope="module", params=[0, 1])
def given(request):
    random = np.random.default_rng(request.param)
    shapes = [ROWS, TOKENS, TAGS], [TAGS, TAGS], [TAGS], [TAGS]
    scores, *chain = (random.normal(size=shape).astype(np.float32) * 2 for shape in shapes)
    return scores, Chain(*chain)


def score(scores, chain, tags) -> float:
    inside = sum(scores[t, tag] for t, tag in enumerate(tags))
    between = sum(chain.transitions[a, b] for a, b in itertools.pairwise(tags))
    return inside + between + chain.start[tags[0]] + chain.end[tags[-1]]


def every(scores, chain, length) -> dict[tuple, float]:
    return {tags: score(scores, chain, tags) for tags in itertools.product(range(TAGS), repeat=length)}


def test_scores_and_partition_are_those_of_every_sequence(given):
    scores, chain = given
    tags = np.random.default_rng(2).integers(0, TAGS, [ROWS, TOKENS]).astype(np.int32)
    found, total = path_score(scores, tags, LENGTH, chain), log_partition(scores, LENGTH, chain)
    likely = log_likelihood(scores, tags, LENGTH, chain)
    for row, length in enumerate(LENGTH[:3]):
        sums = every(scores[row], chain, length)
        assert found[row].numpy() == pytest.approx(sums[tuple(tags[row, :length])], abs=1e-4)
        assert total[row].numpy() == pytest.approx(np.logaddexp.reduce(list(sums.values())), abs=1e-4)
        assert likely[row].numpy() == pytest.approx((found[row] - total[row]).numpy(), abs=1e-4)
    assert likely[3] == 0, "a row without tokens"


def test_the_best_tags_are_those_of_every_sequence(given):
    scores, chain = given
    found = viterbi(scores, LENGTH, chain).numpy()
    for row, length in enumerate(LENGTH[:3]):
        sums = every(scores[row], chain, length)
        assert tuple(found[row, :length]) == max(sums, key=sums.__getitem__)
        assert (found[row, length:] == 0).all()


def test_padding_changes_nothing(given):
    scores, chain = given
    longer = np.concatenate([scores, np.full([ROWS, 3, TAGS], 9, np.float32)], axis=1)
    tags = np.ones([ROWS, TOKENS + 3], np.int32)
    np.testing.assert_allclose(
        log_likelihood(longer, tags, LENGTH, chain), log_likelihood(scores, tags[:, :TOKENS], LENGTH, chain), atol=1e-5
    )
    assert (viterbi(longer, LENGTH, chain)[:, :TOKENS].numpy() == viterbi(scores, LENGTH, chain).numpy()).all()


def test_what_is_not_allowed_is_never_chosen(given):
    scores, chain = given
    allowed = Chain(
        np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1]], bool), np.array([1, 1, 0], bool), np.array([0, 1, 1], bool)
    )
    found = viterbi(scores, LENGTH, chain.only(allowed)).numpy()
    for row, length in enumerate(LENGTH[:2]):
        tags = found[row, :length].tolist()
        sums = {t: s for t, s in every(scores[row], chain.only(allowed), length).items() if s > NEVER / 2}
        assert tuple(tags) == max(sums, key=sums.__getitem__)


def test_gradients_are_finite_and_it_compiles(given):
    scores, chain = given
    tags = tf.ones([ROWS, TOKENS], tf.int32)

    def gradients(scores):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            loss = -tf.reduce_sum(log_likelihood(scores, tags, tf.constant(LENGTH), chain))
        return tape.gradient(loss, scores)

    plain, compiled = gradients(tf.constant(scores)), tf.function(gradients, jit_compile=True)(tf.constant(scores))
    assert np.isfinite(plain).all() and (plain[3].numpy() == 0).all() and plain.numpy().any()
    np.testing.assert_allclose(compiled, plain, atol=1e-5)
    best = tf.function(lambda scores: viterbi(scores, tf.constant(LENGTH), chain), jit_compile=True)
    assert (best(tf.constant(scores)).numpy() == viterbi(scores, LENGTH, chain).numpy()).all()


def test_one_token_rows(given):
    scores, chain = given
    found = viterbi(scores[:, :1], np.minimum(LENGTH, 1), chain).numpy()
    assert found.shape == (ROWS, 1) and (found[:3, 0] == (scores[:3, 0] + chain.start + chain.end).argmax(1)).all()
