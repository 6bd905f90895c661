"""Tests `models/metrics.py` against scikit-learn, with and without weights, the bootstrap against its definition."""

import time
import warnings

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from models import metrics

RANDOM = np.random.default_rng(0)
WEIGHTS = [None, RANDOM.uniform(0, 3, 300), RANDOM.integers(0, 3, 300).astype(float)]
ALL = {
    "accuracy": metrics.accuracy,
    "macro_f1": metrics.macro_f1,
    "mcc": metrics.mcc,
    "log_loss": metrics.log_loss,
    "auc": metrics.auc,
    "calibration_error": metrics.calibration_error,
    "precision": metrics.precision,
    "recall": metrics.recall,
    "f1": metrics.f1,
}


def sample(classes: int, rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and scores that know something of them, with ties."""
    random = np.random.default_rng(classes)
    labels = random.integers(0, classes, rows)
    logits = random.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    return labels, metrics.softmax(logits.round(1))


@pytest.mark.parametrize("weights", WEIGHTS, ids=["unweighted", "weighted", "counts"])
@pytest.mark.parametrize("classes", [2, 5])
def test_metrics_equal_scikit_learn(classes, weights):
    labels, scores = sample(classes)
    answers, given = scores.argmax(axis=1), {"sample_weight": weights}
    multi = {"multi_class": "ovr", "average": "macro"} if classes > 2 else {}
    per_class = {"average": None, "zero_division": 0, **given}
    expected = {
        "accuracy": reference.accuracy_score(labels, answers, **given),
        "macro_f1": reference.f1_score(labels, answers, average="macro", **given),
        "mcc": reference.matthews_corrcoef(labels, answers, **given),
        "log_loss": reference.log_loss(labels, scores, **given),
        "auc": reference.roc_auc_score(labels, scores if classes > 2 else scores[:, 1], **multi, **given),
        "precision": reference.precision_score(labels, answers, **per_class),
        "recall": reference.recall_score(labels, answers, **per_class),
        "f1": reference.f1_score(labels, answers, **per_class),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(ALL[name](labels, scores, weights), value, atol=1e-9, err_msg=name)
    confusion = reference.confusion_matrix(labels, answers, **given)
    np.testing.assert_allclose(metrics.confusion_matrix(labels, scores, weights), confusion, atol=1e-9)


def test_calibration_error_equals_scikit_learns_curve():
    labels, scores = sample(2)
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    shares, means = calibration_curve(right, confidence, n_bins=15)
    counts = np.histogram(confidence, np.linspace(0, 1, 16))[0]
    expected = np.sum(np.abs(shares - means) * counts[counts > 0]) / len(labels)
    np.testing.assert_allclose(metrics.calibration_error(labels, scores), expected, atol=1e-9)


def test_a_label_that_never_occurs_is_left_out_of_macro_f1_and_auc():
    labels = np.array([0, 1, 0, 1])
    scores = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1]])
    expected = reference.f1_score(labels, scores.argmax(axis=1), average="macro")
    np.testing.assert_allclose(metrics.macro_f1(labels, scores), expected)
    areas = [reference.roc_auc_score(labels == label, scores[:, label]) for label in (0, 1)]
    np.testing.assert_allclose(metrics.auc(labels, scores), np.mean(areas))
    assert np.isnan(metrics.auc(labels[:1], scores[:1])) and metrics.mcc(labels[:1], scores[:1]) == 0


@pytest.mark.parametrize("name", ALL)
def test_many_weightings_give_what_each_gives_alone(name):
    labels, scores = sample(4)
    weights = np.random.default_rng(5).integers(0, 4, (7, 300)).astype(float)
    alone = np.stack([ALL[name](labels, scores, each) for each in weights])
    np.testing.assert_allclose(ALL[name](labels, scores, weights), alone, atol=1e-12)


def test_bootstrap_is_the_percentiles_of_resampled_rows():
    labels, scores = sample(3, rows=120)
    found = metrics.bootstrap({"accuracy": metrics.accuracy}, labels, scores, resamples=300, seed=7)["accuracy"]
    drawn = np.random.default_rng(7).integers(0, 120, (300, 120))
    values = (scores.argmax(axis=1) == labels)[drawn].mean(axis=1)
    np.testing.assert_allclose(found[1:], np.percentile(values, [2.5, 97.5]), atol=1e-12)
    assert found.low < found.value < found.high and found.value == (scores.argmax(axis=1) == labels).mean()


def test_bootstrap_does_not_depend_on_its_block_size(monkeypatch):
    labels, scores = sample(3)
    weights = np.random.default_rng(1).uniform(size=300)
    whole = metrics.bootstrap(ALL, labels, scores, weights, resamples=50)
    monkeypatch.setattr(metrics, "BLOCK", 900)
    for name, interval in metrics.bootstrap(ALL, labels, scores, weights, resamples=50).items():
        np.testing.assert_allclose(interval, whole[name], atol=1e-12, err_msg=name)
        assert interval.low.shape == interval.value.shape


def test_bootstrap_of_rare_labels_warns_of_nothing():
    labels, scores = np.array([0, 0, 0, 1]), np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.bootstrap(ALL, labels, scores, resamples=100)
        assert np.isfinite(found["auc"]).all()  # resamples without the rare label have no curve
        assert np.isnan(metrics.bootstrap({"auc": metrics.auc}, labels[:3], scores[:3])["auc"]).all()


@pytest.mark.slow
def test_1000_resamples_of_10000_rows_take_less_than_5_seconds_of_one_core():
    labels, scores = sample(6, rows=10_000)
    start = time.process_time()
    metrics.bootstrap(ALL, labels, scores, resamples=1000)
    assert time.process_time() - start < 5
