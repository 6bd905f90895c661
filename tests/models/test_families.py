"""Tests `models/families/`: every family keeps the contract."""

import pytest

from models.families import FAMILIES
from tests.contracts import tiny
from tests.contracts.family import check_causal, check_family


@pytest.mark.parametrize("name", FAMILIES)
def test_family_keeps_the_contract(name):
    check_family(name)


def test_every_parameter_is_described_and_every_default_recommended():
    for name, family in FAMILIES.items():
        assert all(field.description for field in family.model_fields.values()), name
        assert {"epochs", "batch_tokens", "optimizer"} <= set(family.recommended), name
        assert family.default_tokenizer["kind"], name
    assert set(tiny.SIZES) == set(FAMILIES)


def test_one_direction_is_causal_and_two_are_not():
    check_causal(tiny.family("lstm", bidirectional=False, layers=2))
    with pytest.raises(AssertionError):
        check_causal(tiny.family("lstm"))


@pytest.mark.parametrize("pooling", ["last", "mean", "attention"])  # max is the default
def test_lstm_keeps_the_contract_with_every_pooling(pooling):
    check_family("lstm", pooling=pooling, layers=2, bidirectional=pooling != "mean", recurrent_dropout=0.2)


def test_bert_keeps_the_contract_with_mean_pooling():
    check_family("bert", pooling="mean")
