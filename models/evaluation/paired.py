"""Two models' answers to the same rows: is one better, and how sure is that?

Paired bootstrap (Efron 1979; for systems compared on one test set: Koehn 2004): both are measured on the same resamples
of the rows, and what is looked at is the difference.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.evaluation.base import Judgement

BLOCK = 1 << 22  # counts of rows held at once


class Difference(NamedTuple):
    """New minus old of one metric, turned so that more is better for every metric.

    low, high: of the two-sided interval that was asked for. p_worse: one-sided p-value of "it is not worse by more than
    the margin", small where it surely is.
    """

    old: float
    new: float
    value: float
    low: float
    high: float
    p_worse: float


def differences(
    old: Judgement,
    new: Judgement,
    names: Sequence[str],
    *,
    resamples: int,
    seed: int,
    confidence: float,
    margin: float = 0.0,
    rows: np.ndarray | None = None,
) -> dict[str, Difference]:
    """Each of the metrics, over all rows or those of an index <int>[n]; without those that cannot be measured.

    confidence: of one side; the interval leaves out 1 - confidence at each.
    """
    every = len(old.loss)
    rows = np.arange(every) if rows is None else rows
    signs = {name: -1.0 if name in type(new).lower else 1.0 for name in names}
    whole = np.bincount(rows, minlength=every)[None].astype(np.float64)
    points = old.at(whole, names), new.at(whole, names)
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in names}
    block = max(1, BLOCK // max(every, 1))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        counts = np.zeros([size, every])
        picks = rows[generator.integers(0, len(rows), (size, len(rows)))]
        np.add.at(counts, (np.arange(size)[:, None], picks), 1.0)
        before, after = old.at(counts, names), new.at(counts, names)
        for name in names:
            drawn[name].append(signs[name] * (after[name] - before[name]))
    found = {}
    for name in names:
        values = np.concatenate(drawn[name])
        values = values[np.isfinite(values)]
        first, second = (float(point[name][0]) for point in points)
        if len(values) and np.isfinite([first, second]).all():
            low, high = np.quantile(values, [1 - confidence, confidence])
            p_worse = (np.count_nonzero(values >= -margin) + 1) / (len(values) + 1)
            found[name] = Difference(first, second, signs[name] * (second - first), float(low), float(high), p_worse)
    return found


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values corrected for their number (Holm 1979): the chance of one false alarm among all stays what it says."""
    corrected, largest = {}, 0.0
    for place, (name, value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, value * (len(p_values) - place)))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}


def mcnemar(old_right: np.ndarray, new_right: np.ndarray) -> float:
    """Two-sided p-value that both are right equally often <bool>[N]: the exact binomial test of the rows they differ on
    (McNemar 1947)."""
    from scipy.stats import binomtest

    gained, lost = int(np.sum(new_right & ~old_right)), int(np.sum(old_right & ~new_right))
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
