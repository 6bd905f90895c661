"""Answers to similarity, held against the scores that people gave."""

import re
from typing import ClassVar

import numpy as np

from data.schema import KEY, SCORE, TEXT, TEXT_PAIR
from models.correlation import Ranked, pearson
from models.evaluation.base import Judgement, interval, starts_of, weights_of


class SimilarityJudgement(Judgement):
    """Whether pairs stand in the order of their scores (Spearman) and on a line with them (Pearson).

    Without scores in the test split there is nothing to measure.
    """

    higher: ClassVar[tuple[str, ...]] = ("spearman", "pearson")
    lower: ClassVar[tuple[str, ...]] = ()
    texts: ClassVar[tuple[str, ...]] = (TEXT, TEXT_PAIR)
    truth: ClassVar[tuple[str, ...]] = (SCORE,)

    def __init__(self, answers, examples, train, labels):
        self.examples, self.answered = examples, answers["score"].astype(np.float64)
        self.known = SCORE in examples.column_names
        self.actual = examples.column(SCORE).to_numpy() if self.known else np.zeros(len(examples))
        self.weights = weights_of(examples)
        self.loss = np.abs(_places(self.answered) - _places(self.actual)) if self.known else np.zeros(len(examples))

    @staticmethod
    def predictions(answers, labels):
        return [{"score": round(score, 6)} for score in answers["score"].astype(float).tolist()]

    def measure(self, resamples, seed, rows=None):
        if not self.known:
            return {}
        rows = np.arange(len(self.actual)) if rows is None else rows
        x, y, weights = self.answered[rows], self.actual[rows], self.weights[rows]
        ranked = Ranked(x, y)
        metrics = {"spearman": ranked, "pearson": lambda weights: pearson(x, y, weights)}
        generator = np.random.default_rng(seed)
        drawn = [np.bincount(generator.integers(0, len(x), len(x)), minlength=len(x)) for _ in range(resamples)]
        found = {}
        for name, metric in metrics.items():
            spread = np.array([metric(weights * counts) for counts in drawn])
            value, spread = metric(weights), spread[np.isfinite(spread)]
            if np.isfinite(value) and len(spread):
                found[name] = interval(value, *np.percentile(spread, [2.5, 97.5]))
        return found

    def at(self, weights, names):
        ranked = Ranked(self.answered, self.actual)
        metrics = {"spearman": ranked, "pearson": lambda each: pearson(self.answered, self.actual, each)}
        return {name: np.array([metrics[name](row * self.weights) for row in weights]) for name in names}

    def baseline(self):
        """The share of the words of both texts that both have (Jaccard 1901)."""
        pairs = zip(*(self.examples.column(name).to_pylist() for name in self.texts), strict=True)
        shared = np.array([_jaccard(*map(_words, pair)) for pair in pairs], np.float64)
        found = {
            "spearman": Ranked(shared, self.actual)(self.weights),
            "pearson": pearson(shared, self.actual, self.weights),
        }
        says = "the share of both texts' words that both have (Jaccard)"
        return {name: value for name, value in found.items() if self.known and np.isfinite(value)}, says

    def table(self):
        import pyarrow as pa

        truth = {SCORE: self.examples.column(SCORE)} if self.known else {}
        columns = {KEY: self.examples.column(KEY), **starts_of(self.examples, self.texts), **truth}
        return pa.table({**columns, "predicted": pa.array(self.answered), "loss": pa.array(self.loss)})

    def details(self, resamples, seed):
        return {}

    def remarks(self):
        return [] if self.known else ["the test split has no scores, so nothing is measured"]


def _places(values: np.ndarray) -> np.ndarray:
    """The place of each value in their order, from 0 to 1; equal ones share theirs."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[group] / max(len(values) - 1, 1)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / max(len(one | other), 1)
