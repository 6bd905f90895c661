"""Correlations of two columns, in NumPy, with weights: a row of weight 2 counts as two rows."""

import numpy as np


def pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Pearson's r of x and y <float>[N]; NaN where one of them does not vary.

    Rounded to 12 digits: what is beyond them is the order of the sums.
    """
    x, y, weights = (np.asarray(each, np.float64) for each in (x, y, weights))
    total = weights.sum()
    if total <= 0:
        return float("nan")
    x, y = x - weights @ x / total, y - weights @ y / total
    spread = np.sqrt((weights @ (x * x)) * (weights @ (y * y)))
    return float(np.round(weights @ (x * y) / spread, 12)) if spread > 1e-12 * total else float("nan")


def spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Spearman's rho of x and y <float>[N]: Pearson's r of their ranks, equal values sharing a rank."""
    return Ranked(x, y)(np.asarray(weights, np.float64))


class Ranked:
    """Two columns, sorted once, whose rank correlation is then asked for under any weights: for resampling rows."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self.groups = [np.unique(column, return_inverse=True)[1] for column in (x, y)]

    def __call__(self, weights: np.ndarray) -> float:
        """weights: <float64>[N], how often each row counts."""
        x, y = (_ranks(group, weights) for group in self.groups)
        return pearson(x, y, weights)


def _ranks(group: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The middle of the places <float64>[N] that a row's equals have, each row as many as it weighs."""
    sizes = np.bincount(group, weights)
    return (np.cumsum(sizes) - sizes / 2)[group]
