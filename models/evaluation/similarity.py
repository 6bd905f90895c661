"""Answers to similarity, held against the scores that people gave, or against which texts belong together."""

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from data.schema import KEY, SCORE, TEXT, TEXT_PAIR
from models.correlation import Ranked, pearson
from models.evaluation.base import Judgement, interval, starts_of, weights_of
from models.evaluation.own_pairs import OwnPairs


class SimilarityJudgement(Judgement):
    """Whether pairs stand in the order of their scores (Spearman) and on a line with them (Pearson).

    Without scores in the test split: mrr, the mean reciprocal rank of each text's own pair among the split's pairs, by
    the cosines of a bi-encoder's vectors. A cross-encoder has none, and then there is nothing to measure.
    """

    higher: ClassVar[tuple[str, ...]] = ("spearman", "pearson", "mrr")
    lower: ClassVar[tuple[str, ...]] = ()
    texts: ClassVar[tuple[str, ...]] = (TEXT, TEXT_PAIR)
    truth: ClassVar[tuple[str, ...]] = (SCORE,)

    def __init__(self, answers, examples, train, labels):
        self.examples, self.answered = examples, answers["score"].astype(np.float64)
        self.known = SCORE in examples.column_names
        self.actual = examples.column(SCORE).to_numpy() if self.known else np.zeros(len(examples))
        self.weights = weights_of(examples)
        self.written = [examples.column(name).to_pylist() for name in self.texts]
        text, pair = (answers.get(f"{name}_vector") for name in self.texts)
        self.pairs = OwnPairs(*self.written) if not self.known and text is not None else None
        self.rank = np.full(len(examples), np.nan)
        if self.known:
            self.loss = np.abs(_places(self.answered) - _places(self.actual))
        elif self.pairs:
            self.rank = self.pairs.ranks(lambda rows, others: text[rows] @ pair[others].T)
            self.loss = 1 - 1 / self.rank
        else:
            self.loss = np.zeros(len(examples))

    @staticmethod
    def predictions(answers, labels):
        return [{"score": round(score, 6)} for score in answers["score"].astype(float).tolist()]

    @classmethod
    def vectors_of(cls, columns):
        return () if SCORE in columns else cls.texts

    def measure(self, resamples, seed, rows=None):
        rows = np.arange(len(self.actual)) if rows is None else rows
        metrics, weights = _metrics(self.answered[rows], self.actual[rows], self.rank[rows]), self.weights[rows]
        generator = np.random.default_rng(seed)
        drawn = [
            np.bincount(generator.integers(0, len(rows), len(rows)), minlength=len(rows)) for _ in range(resamples)
        ]
        found = {}
        for name, metric in metrics.items():
            value = metric(weights)
            spread = np.array([metric(weights * counts) for counts in drawn if np.isfinite(value)])
            spread = spread[np.isfinite(spread)]
            if len(spread):
                found[name] = interval(value, *np.percentile(spread, [2.5, 97.5]))
        return found

    def at(self, weights, names):
        metrics = _metrics(self.answered, self.actual, self.rank)
        return {name: np.array([metrics[name](row * self.weights) for row in weights]) for name in names}

    def baseline(self):
        """The share of the words of both texts that both have (Jaccard 1901)."""
        words = _SharedWords(*self.written)
        rank = self.pairs.ranks(words.of) if self.pairs else self.rank
        metrics = _metrics(words.of_own(), self.actual, rank)
        found = {name: metric(self.weights) for name, metric in metrics.items()}
        says = "the share of both texts' words that both have (Jaccard)"
        return {name: value for name, value in found.items() if np.isfinite(value)}, says

    def table(self):
        import pyarrow as pa

        truth = {SCORE: self.examples.column(SCORE)} if self.known else {}
        columns = {KEY: self.examples.column(KEY), **starts_of(self.examples, self.texts), **truth}
        rank = {"rank": pa.array(self.rank)} if self.pairs else {}
        return pa.table({**columns, "predicted": pa.array(self.answered), **rank, "loss": pa.array(self.loss)})

    def details(self, resamples, seed):
        """Of how many pairs each text's own is one: the more, the lower is mrr."""
        return {"candidates": len(self.pairs.candidates)} if self.pairs else {}

    def remarks(self):
        if self.known or self.pairs:
            return []
        return [
            "nothing is measured: the test split has no scores, and a cross-encoder gives no vectors "
            "by which each text's own pair could be ranked"
        ]


def _metrics(answered: np.ndarray, actual: np.ndarray, rank: np.ndarray) -> dict[str, Callable[[np.ndarray], float]]:
    """Each metric of rows' weights <float64>[n]; NaN where there is nothing to measure."""
    return {
        "spearman": Ranked(answered, actual),
        "pearson": lambda weights: pearson(answered, actual, weights),
        "mrr": lambda weights: float(weights @ (1 / rank) / weights.sum()) if weights.any() else float("nan"),
    }


def _places(values: np.ndarray) -> np.ndarray:
    """The place of each value in their order, from 0 to 1; equal ones share theirs."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[group] / max(len(values) - 1, 1)


class _SharedWords:
    """The share of the words of a text and a pair that both have, of any two of texts and pairs <str>[N]."""

    def __init__(self, texts: Sequence[str], pairs: Sequence[str]):
        from scipy.sparse import csr_matrix

        words = [set(re.findall(r"\w+", text.lower())) for text in (*texts, *pairs)]
        self.sizes = np.array([len(each) for each in words]).reshape(2, -1)
        place: dict[str, int] = {}
        columns = [place.setdefault(word, len(place)) for each in words for word in each]
        rows = np.repeat(np.arange(len(words)), self.sizes.ravel())
        having = csr_matrix((np.ones(len(rows)), (rows, columns)), (len(words), max(len(place), 1)))
        self.text, self.pair = having[: len(texts)], having[len(texts) :]

    def of(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """<float64>[n, m] of texts <int>[n] and pairs <int>[m]."""
        shared = (self.text[rows] @ self.pair[others].T).toarray()
        return shared / np.maximum(self.sizes[0, rows, None] + self.sizes[1, others] - shared, 1)

    def of_own(self) -> np.ndarray:
        """<float64>[N] of each text and its own pair."""
        shared = np.asarray(self.text.multiply(self.pair).sum(axis=1)).ravel()
        return shared / np.maximum(self.sizes.sum(axis=0) - shared, 1)
