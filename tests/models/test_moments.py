"""Tests `models/moments.py`: an optimizer's moments go on with the weights they are of."""

import keras
import numpy as np
import pytest

from models.moments import ITERATIONS, carry, moments_of
from models.optimizer import Optimizer
from models.warm_start import Known
from tests.models import tiny
from tests.models.test_loop import run, stores  # noqa: F401

SPECS = {
    "adamw": Optimizer(name="adamw", learning_rate=0.02, schedule="linear", warmup=2),
    "sgd": Optimizer(name="sgd", learning_rate=0.1),
    "rmsprop": Optimizer(name="rmsprop"),
    "adafactor": Optimizer(name="adafactor", learning_rate=0.02),
}


def trained(spec: Optimizer, loss_scaling: bool = False, by_rows: bool = False):
    """A model and its optimizer after three steps."""
    keras.utils.set_random_seed(0)
    model = tiny.build(by_rows=by_rows)
    optimizer = spec.build(model.trainable_variables, 10, loss_scaling)
    for step in range(3):
        optimizer.apply([np.full(w.shape, 0.1 * (step + 1), np.float32) for w in model.trainable_variables])
    return model, optimizer


def copied(model, spec: Optimizer, loss_scaling: bool = False, by_rows: bool = False):
    other = tiny.build(by_rows=by_rows)
    other.set_weights(model.get_weights())
    return other, spec.build(other.trainable_variables, 10, loss_scaling)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("how", [{}, {"loss_scaling": True}, {"by_rows": True}], ids=["plain", "scaled", "by rows"])
def test_moments_go_on_and_a_schedule_begins_anew(name, how):
    model, optimizer = trained(SPECS[name], **how)
    kept = moments_of(model, optimizer)
    other, fresh = copied(model, SPECS[name], **how)
    rate = float(fresh.learning_rate)
    found = carry(Known(model.get_weights(), moments=kept), other, fresh)
    assert found == {"carried": len(kept) - 1, "new": 0, "steps": 3} and len(kept) > len(model.trainable_variables)
    assert moments_of(other, fresh).keys() == kept.keys()
    assert all(np.array_equal(value, kept[key]) for key, value in moments_of(other, fresh).items())
    assert any(value.any() for key, value in kept.items() if key != ITERATIONS)
    assert float(fresh.learning_rate) == rate


def test_weights_that_are_new_have_new_moments_and_steps_count_from_0():
    model, optimizer = trained(SPECS["adamw"])
    kept = moments_of(model, optimizer)
    other, fresh = copied(model, SPECS["adamw"])
    other.weights[0].assign(other.weights[0] + 1)
    assert carry(Known(model.get_weights(), moments=kept), other, fresh) == {
        "carried": len(kept) - 3,
        "new": 2,
        "steps": 0,
    }
    found = moments_of(other, fresh)
    assert not found["0000 momentum"].any() and np.array_equal(found["0001 momentum"], kept["0001 momentum"])


def test_training_goes_on_from_moments(stores, tmp_path):  # noqa: F811
    first = run(stores, tmp_path / "first")
    kept = moments_of(first.model, first.optimizer)
    assert int(kept[ITERATIONS]) == first.steps

    def build():
        model = tiny.build(dropout=0.2)
        model.set_weights(first.model.get_weights())
        return model

    known = Known(first.model.get_weights(), moments=kept)
    second = run(stores, tmp_path / "second", build, options={"known": known}, epochs=1)
    assert second.carried == {"carried": len(kept) - 1, "new": 0, "steps": first.steps}
    assert int(second.optimizer.iterations) == first.steps + second.steps
    anew = run(stores, tmp_path / "anew", build, epochs=1)
    assert anew.carried is None
    assert not np.array_equal(anew.model.weights[0].numpy(), second.model.weights[0].numpy())
