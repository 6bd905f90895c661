"""Tests `models/attention.py` against the formulas in NumPy, in float64."""

import numpy as np
import pytest
import tensorflow as tf

from models.attention import MultiHeadAttention, Positions, TransformerLayer, scaled_dot_product, sinusoids

WIDTH, HEADS = 8, 2
RANDOM = np.random.default_rng(0)


def attention(q, k, v, keep):
    """Equation 1; keys that are not kept have no weight."""
    weights = np.exp(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])) * keep
    return weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-300) @ v


def multi_head(queries, source, keep, w_q, w_k, w_v, w_o):
    d = WIDTH // HEADS
    columns = [slice(n * d, (n + 1) * d) for n in range(HEADS)]
    heads = [attention(queries @ w_q[:, c], source @ w_k[:, c], source @ w_v[:, c], keep) for c in columns]
    return np.concatenate(heads, axis=-1) @ w_o


def layer_norm(x, gamma, beta):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * gamma + beta


def weights_of(*layers) -> list[np.ndarray]:
    return [weight.astype(np.float64) for layer in layers for weight in layer.get_weights()]


def projections(layer: MultiHeadAttention) -> list[np.ndarray]:
    return weights_of(layer.query, layer.key, layer.value, layer.project)


def randomised(layer):
    for weight in layer.trainable_weights:
        weight.assign_add(RANDOM.normal(size=weight.shape))
    return layer


def test_scaled_dot_product():
    q, k, v = (RANDOM.normal(size=(3, 2, length, 4)) for length in (5, 6, 6))
    keep = RANDOM.random((3, 1, 5, 6)) < 0.6
    keep[0, 0, 0] = False  # a query that sees nothing
    found = scaled_dot_product(*(tf.constant(each, tf.float32) for each in (q, k, v)), keep, lambda weights: weights)
    np.testing.assert_allclose(found, attention(q, k, v, keep), atol=1e-6)
    assert not np.any(found[0, :, 0])


def test_multi_head_attention():
    layer, x, source = (
        MultiHeadAttention(WIDTH, HEADS, 0.5),
        RANDOM.normal(size=(3, 5, 8)),
        RANDOM.normal(size=(3, 4, 6)),
    )
    keep = RANDOM.random((3, 1, 5, 4)) < 0.7
    layer(x, source, keep)
    randomised(layer)
    expected = multi_head(x, source, keep[:, 0], *projections(layer))
    np.testing.assert_allclose(layer(x, source, keep), expected, atol=1e-5, rtol=1e-5)
    assert np.abs(layer(x, source, keep, training=True) - expected).max() > 0.1  # dropout on the weights


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_layer_is_its_three_sublayers_around_residuals(norm):
    layer = TransformerLayer(WIDTH, HEADS, 16, 0.0, norm, memory=True)
    x, memory = RANDOM.normal(size=(3, 5, WIDTH)), RANDOM.normal(size=(3, 4, WIDTH))
    keep, memory_keep = np.tri(5, dtype=bool), np.arange(4) < np.array([4, 2, 1])[:, None, None, None]
    layer(x, keep, memory, memory_keep)
    randomised(layer)
    w1, b1, w2, b2 = weights_of(layer.inner, layer.outer)
    sublayers = [
        lambda x: multi_head(x, x, keep, *projections(layer.attention)),
        lambda x: multi_head(x, memory, memory_keep[:, 0], *projections(layer.to_memory)),
        lambda x: np.maximum(x @ w1 + b1, 0) @ w2 + b2,  # equation 2
    ]
    expected = x
    for sublayer, scale in zip(sublayers, map(weights_of, layer.norms), strict=True):
        if norm == "post":
            expected = layer_norm(expected + sublayer(expected), *scale)
        else:
            expected = expected + sublayer(layer_norm(expected, *scale))
    found = layer(x, keep, memory, memory_keep)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


def test_sinusoids_are_those_of_the_paper():
    table = sinusoids(300, 6)
    for position in (0, 1, 299):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            assert table[position, 2 * i] == pytest.approx(np.sin(angle), abs=1e-12)
            assert table[position, 2 * i + 1] == pytest.approx(np.cos(angle), abs=1e-12)


def test_fixed_positions_do_not_train_and_learned_ones_do():
    fixed, learned = Positions("sinusoidal", 10, 6), Positions("learned", 10, 6)
    assert not fixed.trainable_weights and len(learned.trainable_weights) == 1
    np.testing.assert_allclose(fixed(tf.constant([3, 9])), sinusoids(10, 6)[[3, 9]], atol=1e-7)
    np.testing.assert_array_equal(learned(tf.constant([4])), learned.table.numpy()[[4]])
