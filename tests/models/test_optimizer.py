"""Tests `models/optimizer.py`."""

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from models.optimizer import Optimizer, schedule


def rates(kind, warmup, steps=10):
    rate = schedule(kind, 2.0, warmup, steps)
    return [float(rate(step)) for step in range(steps + 1)]


def test_schedules():
    assert rates("constant", 4) == pytest.approx([0.5, 1, 1.5] + [2] * 8)
    assert rates("linear", 0) == pytest.approx(np.linspace(2, 0, 11), abs=1e-6)
    assert rates("linear", 5)[5:] == pytest.approx(np.linspace(2, 0, 6), abs=1e-6)
    assert rates("cosine", 0)[::5] == pytest.approx([2, 1, 0], abs=1e-6)
    assert rates("inverse_sqrt", 4)[:5] == pytest.approx([0.5, 1, 1.5, 2, 2 * np.sqrt(4 / 5)])


def test_warmup_below_one_is_a_share_of_all_steps():
    weights = [keras.Variable(np.ones((2, 2)))]
    share = Optimizer(warmup=0.1, learning_rate=1).build(weights, steps=40)
    assert float(share.learning_rate) == pytest.approx(1 / 4)
    assert float(Optimizer(warmup=8, learning_rate=1).build(weights, steps=40).learning_rate) == pytest.approx(1 / 8)


def test_a_constant_rate_can_be_set_by_callbacks():
    optimizer = Optimizer(learning_rate=0.5).build([keras.Variable(np.ones(2))], steps=10)
    optimizer.learning_rate = 0.25
    assert float(optimizer.learning_rate) == 0.25


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "adafactor", "rmsprop", "adagrad"])
def test_every_rule_lowers_a_square(name):
    weight = keras.Variable(np.full((2, 2), 3.0))
    optimizer = Optimizer(name=name, learning_rate=0.1, weight_decay=0).build([weight], steps=20)
    for _ in range(20):
        optimizer.apply([2 * weight.value], [weight])
    assert np.abs(weight.numpy()).max() < 3


def test_biases_and_normalisation_are_not_decayed():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3), keras.layers.LayerNormalization()])
    weights = model.trainable_variables
    for weight in weights:
        weight.assign(np.ones(weight.shape))
    optimizer = Optimizer(learning_rate=0.5, weight_decay=0.5).build(weights, steps=1)
    optimizer.apply([np.zeros(weight.shape, np.float32) for weight in weights], weights)
    assert [weight.numpy().max() for weight in weights] == [0.75, 1, 1, 1]


def test_clipping_is_of_all_gradients_together():
    weights = [keras.Variable(np.zeros((2, 2))), keras.Variable(np.zeros((2, 2)))]
    optimizer = Optimizer(name="sgd", momentum=0, learning_rate=1, clip_norm=1).build(weights, steps=1)
    optimizer.apply([np.full((2, 2), 3.0, np.float32), np.full((2, 2), 4.0, np.float32)], weights)
    assert [weight.numpy()[0, 0] for weight in weights] == pytest.approx([-0.3, -0.4])


def test_unknown_options_are_errors():
    with pytest.raises(ValidationError, match="lerning_rate"):
        Optimizer(lerning_rate=1)
    with pytest.raises(ValidationError, match="adamw"):
        Optimizer(name="adamm")


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "adafactor", "rmsprop", "adagrad"])
def test_a_weights_share_of_the_rate_is_that_of_its_step(name):
    """Against optimizers of half the rate; nothing else may change, so one step each."""
    moves = []
    for rate, rates in ((0.01, [0.5, 1.0]), (0.005, None), (0.01, None)):
        weights = [keras.Variable(np.full((2, 2), 3.0)) for _ in range(2)]
        optimizer = Optimizer(name=name, learning_rate=rate, weight_decay=0.5).build(weights, steps=1, rates=rates)
        optimizer.apply([np.full((2, 2), 0.1, np.float32)] * 2, weights)
        moves.append([weight.numpy()[0, 0] - 3 for weight in weights])
    assert moves[0] == pytest.approx([moves[1][0], moves[2][1]], rel=1e-3)
    assert abs(moves[0][0]) < 0.6 * abs(moves[0][1])


def test_shares_of_the_rate_leave_biases_undecayed():
    weights = [keras.Variable(np.ones((2, 2)), name="kernel"), keras.Variable(np.ones((2, 2)), name="bias")]
    optimizer = Optimizer(learning_rate=0.5, weight_decay=0.5).build(weights, steps=1, rates=[0.5, 0.5])
    optimizer.apply([np.zeros((2, 2), np.float32)] * 2, weights)
    assert [weight.numpy().max() for weight in weights] == [0.875, 1]
