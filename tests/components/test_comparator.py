"""Tests `components/comparator.py` on models that are tables of answers."""

import json

import numpy as np
import pytest

from components import comparator as stage
from components.artifacts import Model
from tests.contracts import component as contract

SHOPS = 80  # values, of which 50 are a slice each


def rows(count: int) -> list[dict[str, str]]:
    return [{"text": f"row {n}", "label": "yes" if n % 2 else "no", "shop": f"shop {n % SHOPS}"} for n in range(count)]


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """Compares two models' labels for each row: what comparison.json says."""
    answers: dict[str, list[str]] = {}

    def answers_to(test, model, progress):
        labels = model.properties["labels"]
        answered = [answers[model.fingerprint][int(text.split()[1])] for text in test.column("text").to_pylist()]
        scores = np.array([[0.9 if label == each else 0.1 / len(labels) for each in labels] for label in answered])
        return {"label": answered, "scores": scores}

    monkeypatch.setattr(stage.splits, "answers_to", answers_to)

    def run(test: list[dict[str, str]], old: list[str], new: list[str], **params) -> dict:
        examples = contract.make_examples(tmp_path / "examples", {"train": test, "test": test})
        inputs = {"examples": [examples]}
        for name, given in (("champion", old), ("model", new)):
            inputs[name], answers[name] = Model(tmp_path / name), given
            inputs[name].properties.update(task="classification", labels=sorted(set(given)))
        compared = contract.run(stage.comparator, tmp_path / "compared", inputs, **params)
        return json.loads((compared.path / "comparison.json").read_text())

    return run


def test_it_keeps_the_contract():
    contract.check_import_is_light("components.comparator")


def test_a_slice_that_is_surely_worse_is_found_among_any_number(compare):
    """50 slices and one of the others: no p-value that 1,000 resamples can give, corrected for 51, is below 5 %."""
    test = rows(SHOPS * 30)
    truth = [row["label"] for row in test]
    worse = [("no" if right == "yes" else "yes") if n % SHOPS == 1 else right for n, right in enumerate(truth)]
    found = compare(test, truth, worse, slices=["shop"], margin=0.1)
    assert not found["takes_over"]
    assert "surely worse by more than 0.1 in 1 of 51 slices: shop = shop 1" in found["reasons"][1]
    assert compare(test, truth, truth, slices=["shop"])["takes_over"]


def test_a_label_that_the_champion_has_not_counts_against_it_in_means_over_labels(compare):
    test = [{"text": f"row {n}", "label": ("no", "yes", "new")[n % 3]} for n in range(300)]
    truth = [row["label"] for row in test]
    champion = ["no" if label == "new" else label for label in truth]
    old = compare(test, champion, truth, metric="macro_f1")["metrics"]["macro_f1"]["old"]
    assert old == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_a_silent_metric_is_the_first_that_the_test_split_can_measure(tmp_path, monkeypatch):
    """Pairs without scores have no correlation: what counts is the rank of each text's own pair."""
    turn, names = np.arange(8) * 0.5, ("text", "text_pair")
    vectors = np.stack([np.cos(turn), np.sin(turn)], axis=1)

    def answers_to(test, model, progress):
        pairs = {"a": vectors[::-1], "b": vectors}[model.fingerprint]
        return {"score": np.ones(8), **dict(zip(("text_vector", "text_pair_vector"), (vectors, pairs), strict=True))}

    monkeypatch.setattr(stage.splits, "answers_to", answers_to)
    test = [{name: f"{name} {n}" for name in names} for n in range(8)]
    inputs = {"examples": [contract.make_examples(tmp_path / "examples", {"train": test, "test": test})]}
    for role, name in (("champion", "a"), ("model", "b")):
        inputs[role] = Model(tmp_path / name)
        inputs[role].properties.update(task="similarity", labels=[])
    compared = contract.run(stage.comparator, tmp_path / "compared", inputs)
    assert (compared.properties["metric"], compared.properties["takes_over"]) == ("mrr", True)
