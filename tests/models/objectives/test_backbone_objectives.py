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
