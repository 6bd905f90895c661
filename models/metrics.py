"""Metrics of classification in NumPy, each over many weightings at once: that is what makes intervals cheap.

Every metric takes
    labels   <int>[N]           index of the right label, 0 to C - 1
    scores   <float>[N, C]      probability of each label
    weights  <float>[..., N]    weight of each example, 1 if not given
and answers an array of shape [...] (per-class metrics [..., C]). A resample of the rows is a weighting of them, so
`bootstrap` calls a metric on <float64>[resamples, N] weights and gets every resample's value in one pass.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]
BLOCK = 1 << 18  # weights held at once by `bootstrap`: 2 MB, so that a block stays in cache


class Interval(NamedTuple):
    """A metric's value on all rows, and the 2.5th and 97.5th percentile of its resamples."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities <float64>[N, C] of logits <float>[N, C]."""
    exponent = np.exp(np.asarray(logits, np.float64) - np.max(logits, axis=-1, keepdims=True))
    return exponent / exponent.sum(axis=-1, keepdims=True)


def accuracy(labels, scores, weights=None):
    """Share of right answers; NaN where the weights are all 0."""
    return _mean(np.argmax(scores, axis=1) == labels, _given(labels, weights))


def precision(labels, scores, weights=None):
    """Of each label's answers, the share that is right [..., C]; 0 where it is never answered."""
    right, answered, _ = _tally(labels, scores, weights)
    return _ratio(right, answered)


def recall(labels, scores, weights=None):
    """Of each label's examples, the share that is found [..., C]; 0 where it has none."""
    right, _, actual = _tally(labels, scores, weights)
    return _ratio(right, actual)


def f1(labels, scores, weights=None):
    """Harmonic mean of precision and recall of each label [..., C]; 0 where both are 0."""
    right, answered, actual = _tally(labels, scores, weights)
    return _ratio(2 * right, answered + actual)


def macro_f1(labels, scores, weights=None):
    """Mean F1 of the labels that occur, as an example or as an answer."""
    right, answered, actual = _tally(labels, scores, weights)
    occurs = answered + actual > 0
    return _ratio(_ratio(2 * right, answered + actual).sum(axis=-1), occurs.sum(axis=-1))


def mcc(labels, scores, weights=None):
    """Matthews correlation of any number of labels (Gorodkin 2004, R_K); 0 where all answers or labels are one."""
    right, answered, actual = _tally(labels, scores, weights)
    total = actual.sum(axis=-1)
    covariance = right.sum(axis=-1) * total - (answered * actual).sum(axis=-1)
    spread = (total**2 - (answered**2).sum(axis=-1)) * (total**2 - (actual**2).sum(axis=-1))
    return _ratio(covariance, np.sqrt(spread))


def mean_distance(labels, scores, weights=None):
    """Of labels that have an order: how many places the answer is off, on average; NaN where the weights are all 0."""
    return _mean(np.abs(np.argmax(scores, axis=1) - labels), _given(labels, weights))


def quadratic_kappa(labels, scores, weights=None):
    """Cohen's kappa with squared distances as weights (Cohen 1968); NaN where all labels and answers are one."""
    _, answered, actual = _tally(labels, scores, weights)
    place, total = np.arange(scores.shape[1]), actual.sum(axis=-1)
    got = _given(labels, weights) @ (np.argmax(scores, axis=1) - labels).astype(np.float64) ** 2
    by_chance = (answered + actual) @ place**2 - 2 * _ratio((answered @ place) * (actual @ place), total)
    return 1 - _ratio(got, by_chance, empty=np.nan)


def log_loss(labels, scores, weights=None):
    """Mean cross-entropy in nats; a probability of 0 counts as float64's epsilon, 2.2e-16."""
    right = np.asarray(scores, np.float64)[np.arange(len(labels)), labels]
    return _mean(-np.log(np.maximum(right, np.finfo(np.float64).eps)), _given(labels, weights))


def auc(labels, scores, weights=None):
    """Area under the ROC curve: of the second label where there are two, else the mean of each against the rest.

    Labels with no example, or with all of them, have no curve and are left out; NaN where none is left.
    """
    classes = range(scores.shape[1]) if scores.shape[1] > 2 else [1]
    areas = np.stack([_area(labels == label, scores[:, label], _given(labels, weights)) for label in classes])
    return _ratio(np.nansum(areas, axis=0), (~np.isnan(areas)).sum(axis=0), empty=np.nan)


def calibration_error(labels, scores, weights=None, bins: int = 15):
    """Expected calibration error (Guo et al. 2017, equation 3): |accuracy - confidence| over equal-width bins."""
    weights = _given(labels, weights)
    confidence = np.max(scores, axis=1).astype(np.float64)
    gap = (np.argmax(scores, axis=1) == labels) - confidence
    bin_of = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)
    return _ratio(np.abs(_sums(weights * gap, bin_of, bins)).sum(axis=-1), weights.sum(axis=-1), empty=np.nan)


def confusion_matrix(labels, scores, weights=None):
    """Weight [..., C, C] of the examples of each label (row) that got each answer (column)."""
    classes = scores.shape[1]
    cells = labels * classes + np.argmax(scores, axis=1)
    sums = _sums(_given(labels, weights), cells, classes * classes)
    return sums.reshape(*sums.shape[:-1], classes, classes)


def bootstrap(
    metrics: Mapping[str, Metric], labels, scores, weights=None, resamples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Each metric with its 95 % percentile interval over resamples of the rows (Efron 1979).

    All metrics see the same resamples. NaN values of a resample (no row of a label in it) are left out.
    """
    generator, rows = np.random.default_rng(seed), len(labels)
    block = max(1, BLOCK // max(rows, 1))
    values: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(0, rows, (size, rows)) + np.arange(size)[:, None] * rows
        counts = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
        resampled = counts * _given(labels, weights)
        for name, metric in metrics.items():
            values[name].append(metric(labels, scores, resampled))
    return {
        name: Interval(metric(labels, scores, weights), *_percentiles(np.concatenate(values[name])))
        for name, metric in metrics.items()
    }


def _percentiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if np.isnan(values).all():
        return np.full(values.shape[1:], np.nan), np.full(values.shape[1:], np.nan)
    return tuple(np.nanpercentile(values, [2.5, 97.5], axis=0))


def _given(labels, weights) -> np.ndarray:
    return np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)


def _mean(values, weights) -> np.ndarray:
    return _ratio(weights @ np.asarray(values, np.float64), weights.sum(axis=-1), empty=np.nan)


def _ratio(part, whole, empty: float = 0.0) -> np.ndarray:
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(part.shape, empty), where=whole > 0)


def _sums(weights: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Sum [..., count] of the weights [..., N] of each group <int>[N]: one sort, then one pass."""
    sums = np.zeros((*weights.shape[:-1], count))
    if len(groups):
        order = np.argsort(groups, kind="stable")
        present, starts = np.unique(groups[order], return_index=True)
        sums[..., present] = np.add.reduceat(weights[..., order], starts, axis=-1)
    return sums


def _tally(labels, scores, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weight [..., C] of each label's right answers, of its answers, and of its examples."""
    weights, classes, answers = _given(labels, weights), scores.shape[1], np.argmax(scores, axis=1)
    right = _sums(weights * (answers == labels), answers, classes)
    return right, _sums(weights, answers, classes), _sums(weights, labels, classes)


def _area(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Chance that a positive scores above a negative, ties counting half."""
    order = np.argsort(score, kind="stable")
    positive, score, weights = positive[order], score[order], weights[..., order]
    below = np.cumsum(np.where(positive, 0.0, weights), axis=-1)
    below = np.concatenate([np.zeros((*below.shape[:-1], 1)), below], axis=-1)
    low = np.searchsorted(score, score[positive], side="left")
    high = np.searchsorted(score, score[positive], side="right")
    found, negatives = weights[..., positive], below[..., -1]
    area = np.einsum("...n,...n->...", found, (below[..., low] + below[..., high]) / 2)
    return _ratio(area, found.sum(axis=-1) * negatives, empty=np.nan)
