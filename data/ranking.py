"""Rankings of documents: the best of scores, and two of them made into one."""

import numpy as np

RANK_CONSTANT = 60  # of reciprocal rank fusion, as its authors set it


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Places <int64>[at most k] of the highest of scores <float>[N], the first of equals first."""
    if k < len(scores):
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        places = np.flatnonzero(scores >= least)  # more than k where the last of them are equal
    else:
        places = np.arange(len(scores))
    return places[np.argsort(-scores[places], kind="stable")][:k]


def reciprocal_ranks(rankings: list[np.ndarray], documents: int) -> np.ndarray:
    """Scores <float64>[documents]: the sum of 1 / (60 + rank) over rankings <int64>[n] (Cormack et al. 2009)."""
    scores = np.zeros(documents)
    for ranking in rankings:
        scores[ranking] += 1.0 / (RANK_CONSTANT + 1 + np.arange(len(ranking)))
    return scores


def weighted_sum(scores: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """Scores <float64>[N] of several <float>[N], each brought to [0, 1] by its own lowest and highest, weighted."""
    total = np.zeros(len(scores[0]))
    for each, weight in zip(scores, weights, strict=True):
        low, high = float(each.min()), float(each.max())
        total += weight * (each - low) / max(high - low, 1e-12)
    return total
