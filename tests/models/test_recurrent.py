"""Tests `models/families/recurrent.py` against the cells' formulas in NumPy, in float64."""

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from models.layers import GRU, LSTM, RNN
from tests.contracts import tiny
from tests.contracts.decoder import check_decoder
from tests.contracts.family import build

RANDOM = np.random.default_rng(0)
WIDTH = 6


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def elman(x, h, w, u, b):
    """Elman 1990: the context units hold the hidden units' last values."""
    (h,) = h
    return (np.tanh(x @ w + h @ u + b),)


def lstm(x, state, w, u, b):
    """Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000. Keras keeps i, f, candidate, o."""
    h, c = state
    i, f, candidate, o = np.split(x @ w + h @ u + b, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
    return sigmoid(o) * np.tanh(c), c


def gru(x, state, w, u, b):
    """Cho et al. 2014, r after the product with U, which has a bias of its own. Keras keeps z, r, candidate.

    Keras's z keeps the old state, as in the paper (equation 7)."""
    (h,) = state
    (z, r, candidate), (uz, ur, uh) = (np.split(part, 3, axis=1) for part in (x @ w + b[0], h @ u + b[1]))
    z = sigmoid(z + uz)
    return (z * h + (1 - z) * np.tanh(candidate + sigmoid(r + ur) * uh),)


def run(cell, x, states, *weights):
    """Every step's h <float64>[B, T, width]."""
    state, every = (np.zeros([len(x), WIDTH]),) * states, []
    for step in range(x.shape[1]):
        state = cell(x[:, step], state, *weights)
        every.append(state[0])
    return np.stack(every, axis=1)


@pytest.mark.parametrize("kind, cell, states", [(RNN, elman, 1), (LSTM, lstm, 2), (GRU, gru, 1)])
def test_cells_follow_their_formulas(kind, cell, states):
    """In float64: with such weights the rounding of float32 may grow from step to step."""
    layer, x = kind(WIDTH, return_sequences=True, dtype="float64"), RANDOM.normal(size=(3, 7, 4))
    layer(x)
    for weight in layer.weights:
        weight.assign_add(RANDOM.normal(size=weight.shape))
    weights = (weight.numpy() for weight in layer.weights)
    np.testing.assert_allclose(layer(x), run(cell, x, states, *weights), atol=1e-12)


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_recurrent_dropout_acts_between_steps_and_in_training_only(kind):
    layer, x = kind(WIDTH, recurrent_dropout=0.5, return_sequences=True), RANDOM.normal(size=(3, 7, 4))
    plain = kind(WIDTH, return_sequences=True)
    plain(x), layer(x)
    layer.set_weights([*plain.get_weights(), *layer.get_weights()[len(plain.weights) :]])
    still = [weight.numpy() for weight in layer.non_trainable_variables]
    np.testing.assert_allclose(layer(x), plain(x), atol=1e-6)
    assert all(np.array_equal(*pair) for pair in zip(still, layer.non_trainable_variables, strict=True))
    trained = layer(x, training=True)
    np.testing.assert_allclose(trained[:, 0], plain(x)[:, 0], atol=1e-6)  # no state before it
    assert np.abs(trained[:, 1:] - plain(x)[:, 1:]).max(axis=2).min() > 1e-3


def test_stacked_directions_read_what_the_layer_below_gives():
    """Two layers of LSTM both ways, against the formulas: backwards from each row's own last token."""
    model = build(tiny.family("lstm", width=WIDTH, layers=2, dropout=0.0), "classification")
    packed = model.pack(tiny.batch("classification", 5))
    parts, lengths = model.encoder.parts, packed["mask"].numpy().sum(axis=1)
    encoded = model.encoder(packed)
    x = encoded.layers[0].numpy().astype(np.float64)
    for pair in parts["layers"]:
        forwards, backwards = ([each.astype(np.float64) for each in layer.get_weights()] for layer in pair)
        turned = np.stack([np.concatenate([row[:n][::-1], row[n:]]) for row, n in zip(x, lengths, strict=True)])
        back = run(lstm, turned, 2, *backwards)
        back = np.stack([np.concatenate([row[:n][::-1], row[n:]]) for row, n in zip(back, lengths, strict=True)])
        x = np.concatenate([run(lstm, x, 2, *forwards), back], axis=2)
    np.testing.assert_allclose(encoded.sequence[packed["mask"]], x[packed["mask"]], atol=1e-5)


def test_stacked_decoders_with_tied_embeddings():
    family = tiny.family("lstm", layers=2, tied_embeddings=True)
    check_decoder(family, memory=False)
    decoder = family.build_decoder(tiny.VOCABULARY, tiny.MAX_TOKENS, memory=False)
    hidden = tf.constant(RANDOM.normal(size=[2, 8]), tf.float32)
    decoder({"ids": np.array([[1]], np.int32), "mask": np.array([[True]])})
    table = decoder.parts["embedding"].embeddings.numpy()
    np.testing.assert_allclose(decoder.logits(hidden), hidden.numpy() @ table.T, atol=1e-5)
    with pytest.raises(ValidationError, match="got tied_embeddings with embedding 4 and width 8, wanted equal"):
        tiny.family("lstm", embedding=4, tied_embeddings=True)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("attention", ["bahdanau", "luong"])
def test_a_decoder_that_looks_at_a_source_keeps_the_contract(name, attention):
    check_decoder(tiny.family(name, attention=attention, layers=2), memory=True)
