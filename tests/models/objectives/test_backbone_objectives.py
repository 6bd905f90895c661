"""Tests `models/objectives/backbones.py`: what the objectives share that leave a whole model."""

import keras
import pytest

from models.objectives import OBJECTIVES
from tests.contracts import tiny
from tests.models.objectives import texts


def rates(model):
    """Of all that drops out in a model or what builds one."""
    return {layer.rate for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dropout)}


@pytest.mark.parametrize("name, family", [("masked", "bert"), ("causal", "gpt2"), ("span_corruption", "t5")])
def test_dropout_of_pretraining_is_apart_from_the_trainer_s(name, family, tmp_path):
    family = tiny.family(family, dropout=0.25)
    assert rates(OBJECTIVES[name]().build(family, *texts.TEXT)) == {0.25}
    objective = OBJECTIVES[name](dropout=0.0)
    model = objective.build(family, *texts.TEXT)
    assert rates(model) == {0.0}
    started = family.start_from(str(tmp_path / objective.save(model, tmp_path)))
    assert rates(started.build(tiny.VOCABULARY, tiny.MAX_TOKENS, 2, {})) == {0.25}


def test_wider_networks_are_pretrained_at_lower_rates():
    def rate(name, family, width):
        return OBJECTIVES[name]().defaults(tiny.family(family, width=width))["optimizer"]["learning_rate"]

    assert [rate("masked", "bert", width) for width in (64, 128, 256, 512)] == [1e-3, 1e-3, 5e-4, 2.5e-4]
    assert rate("causal", "gpt2", 256) == 5e-4
    assert rate("span_corruption", "t5", 256) == rate("span_corruption", "t5", 64), "relative already"
