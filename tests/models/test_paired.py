"""Tests `models/evaluation/paired.py`: differences of two models, and how sure they are."""

import numpy as np
import pytest
from scipy.stats import binomtest

from models.evaluation.base import Summed
from models.evaluation.paired import differences, holm, mcnemar


class Share(Summed):
    """accuracy, and its complement."""

    higher, lower = ("accuracy",), ("error",)

    def __init__(self, right):
        self.statistics = np.stack([right, np.ones(len(right))], axis=1).astype(float)
        self.loss = 1.0 - right

    @staticmethod
    def of_sums(sums):
        with np.errstate(invalid="ignore"):
            share = sums[..., 0] / sums[..., 1]
        return {"accuracy": share, "error": 1 - share}

    predictions = baseline = shown = None


Share.__abstractmethods__ = frozenset()
OPTIONS = {"resamples": 500, "seed": 0, "confidence": 0.95}


def pair(rows=400, gained=60, lost=10):
    old, new = np.zeros(rows), np.zeros(rows)
    old[:200] = new[:200] = 1
    new[200 : 200 + gained] = 1
    new[:lost] = 0
    return Share(old), Share(new)


def test_the_interval_holds_the_difference_and_more_is_better_for_every_metric():
    found = differences(*pair(), ["accuracy", "error"], **OPTIONS)
    accuracy, error = found["accuracy"], found["error"]
    assert (accuracy.old, accuracy.new) == (0.5, 0.625) and accuracy.value == pytest.approx(0.125)
    assert 0.08 < accuracy.low < 0.125 < accuracy.high < 0.17
    assert (error.value, error.low, error.high) == pytest.approx((accuracy.value, accuracy.low, accuracy.high))
    deviation = np.sqrt((70 / 400 - 0.125**2) / 400)  # of a paired difference; unpaired it would be 0.035
    assert accuracy.high - accuracy.low == pytest.approx(2 * 1.645 * deviation, rel=0.2)


def test_surely_worse_is_a_small_p_value_and_a_margin_forgives():
    old, new = pair()
    assert differences(new, old, ["accuracy"], **OPTIONS)["accuracy"].p_worse < 0.01
    assert differences(new, old, ["accuracy"], margin=0.2, **OPTIONS)["accuracy"].p_worse > 0.9
    assert differences(old, new, ["accuracy"], **OPTIONS)["accuracy"].p_worse > 0.9


def test_some_rows_alone_and_none_to_measure():
    old, new = pair()
    found = differences(old, new, ["accuracy"], rows=np.arange(200, 260), **OPTIONS)["accuracy"]
    assert (found.old, found.new, found.low) == (0, 1, 1)
    empty = Share(np.zeros(4))
    empty.statistics[:] = 0
    assert differences(empty, empty, ["accuracy"], **OPTIONS) == {}


def test_holm_corrects_for_many():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({}) == {}


def test_mcnemar_is_the_binomial_test_of_the_rows_that_differ():
    old, new = (each.statistics[:, 0].astype(bool) for each in pair(gained=8, lost=2))
    assert mcnemar(old, new) == pytest.approx(binomtest(8, 10).pvalue)
    assert mcnemar(old, old) == 1.0
