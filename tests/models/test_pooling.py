"""Tests `models.layers.Pooling` against NumPy, text by text: its vector is made of its own tokens only."""

import numpy as np
import pytest

from models.layers import Pooling

LENGTHS, WIDTH = (5, 0, 2, 1), 3  # one text is as long as the batch is wide, one has no token


def batch():
    """sequence <float32>[4, 5, 3], all below zero but for padding, which is large; keep <bool>[4, 5]."""
    keep = np.arange(5) < np.array(LENGTHS)[:, None]
    values = -np.random.default_rng(0).uniform(0.5, 2.0, [len(LENGTHS), 5, WIDTH])
    return np.where(keep[:, :, None], values, 50.0).astype(np.float32), keep


def attended(tokens, kernel, bias, query):
    """Yang et al. 2016, equations 5-7: u = tanh(W h + b), a = softmax(u q), s = sum of a h. tokens <float>[n, W]."""
    score = np.tanh(tokens @ kernel + bias) @ query
    share = np.exp(score) / np.exp(score).sum(axis=0)
    return (share * tokens).sum(axis=0)


@pytest.mark.parametrize("kind", ["mean", "max", "attention"])
def test_a_text_s_vector_is_made_of_its_tokens(kind):
    sequence, keep = batch()
    layer, random = Pooling(kind), np.random.default_rng(1)
    layer(sequence, keep)
    weights = [random.normal(size=weight.shape) for weight in layer.get_weights()]
    assert len(weights) == (3 if kind == "attention" else 0)
    layer.set_weights(weights)
    made = {
        "mean": lambda tokens: tokens.mean(axis=0),
        "max": lambda tokens: tokens.max(axis=0),
        "attention": lambda tokens: attended(tokens, *weights),
    }[kind]
    found = layer(sequence, keep).numpy()
    for vector, row, length in zip(found, sequence, LENGTHS, strict=True):
        wanted = made(row[:length].astype(np.float64)) if length else np.zeros(WIDTH)
        np.testing.assert_allclose(vector, wanted, rtol=1e-5)
    alone = layer(sequence[2:3, :2], keep[2:3, :2]).numpy()
    np.testing.assert_allclose(found[2:3], alone, rtol=1e-6, err_msg="padding changes it")
