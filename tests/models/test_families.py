"""Tests `models/families/`: every family keeps the contract."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.families import FAMILIES
from models.families.bert import Bert
from models.optimizer import Optimizer
from tests.contracts import tiny
from tests.contracts.family import build, check_answers, check_family


@pytest.mark.parametrize("name", FAMILIES)
def test_family_keeps_the_contract(name):
    check_family(name)


def test_every_parameter_is_described_and_every_default_recommended():
    for name, family in FAMILIES.items():
        assert all(field.description for field in family.model_fields.values()), name
        assert set(family.recommended) == {"epochs", "batch_tokens", "optimizer"}, name
        Optimizer(**family.recommended["optimizer"])
        assert family.default_tokenizer["kind"], name
    assert set(tiny.SIZES) == set(FAMILIES)


@pytest.mark.parametrize(  # max is the default
    "pooling, bidirectional", [("last", True), ("last", False), ("mean", True), ("attention", True)]
)
def test_lstm_answers_with_every_pooling(pooling, bidirectional):
    family = tiny.family("lstm", pooling=pooling, bidirectional=bidirectional, layers=2, recurrent_dropout=0.2)
    check_answers(family, "classification", pairs=False)


def test_lstm_answers_with_filters_over_letters():
    check_answers(tiny.family("lstm", characters=4), "classification", pairs=False)


def test_bert_answers_with_mean_pooling():
    check_answers(tiny.family("bert", pooling="mean"), "classification", pairs=False)


def test_the_last_state_is_that_of_the_last_token_and_backwards_of_the_first():
    """Against Keras's own two-way layer, which gives last states only; it is masked, ours is not."""
    family = tiny.family("lstm", pooling="last", dropout=0.0)
    model = build(family, "classification")
    batch = tiny.batch("classification", 5, empty=True)
    parts, mask = model.encoder.parts, model.pack(batch)["mask"]
    (forwards, backwards), vectors = parts["layers"][0], parts["embedding"](batch["ids"])
    layers = [keras.layers.LSTM(8), keras.layers.LSTM(8, go_backwards=True)]
    states = []
    for layer, ours in zip(layers, (forwards, backwards), strict=True):
        layer.build(vectors.shape)
        layer.set_weights(ours.get_weights())
        states.append(layer(vectors, mask=mask))
    pooled = model.encoder(model.pack(batch)).pooled
    np.testing.assert_allclose(pooled, tf.concat(states, axis=1), atol=1e-6)
    assert not np.any(pooled[-1])  # the row without tokens


def test_a_presets_recommendation_is_for_fine_tuning():
    scratch, tuned = Bert().defaults(), Bert(preset="bert_tiny_en_uncased").defaults()
    assert tuned["optimizer"]["learning_rate"] < scratch["optimizer"]["learning_rate"] / 5
    assert scratch.keys() == tuned.keys()
