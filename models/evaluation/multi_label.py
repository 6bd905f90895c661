"""Answers to multi-label classification, held against the truth label by label."""

from collections import Counter
from typing import Any, ClassVar

import numpy as np

from data.schema import LABEL, TEXT, TEXT_PAIR
from models.evaluation.base import Summed, resampled, weights_of


class MultiLabelJudgement(Summed):
    """Labels are right, wrong or missed each for itself; a label that the model does not know is missed.

    macro_f1 is the mean over the labels that are wanted or answered; exact_match wants a row's labels and no other.
    """

    higher: ClassVar[tuple[str, ...]] = ("micro_f1", "macro_f1", "precision", "recall", "exact_match")
    lower: ClassVar[tuple[str, ...]] = ()
    texts: ClassVar[tuple[str, ...]] = (TEXT, TEXT_PAIR)
    truth: ClassVar[tuple[str, ...]] = (LABEL,)
    slices: ClassVar[tuple[str, ...]] = (LABEL,)

    def __init__(self, answers, examples, train, labels):
        self.examples, self.train = examples, train
        self.actual = [row or [] for row in examples.column(LABEL).to_pylist()]
        self.labels = [*labels, *sorted({label for row in self.actual for label in row} - set(labels))]
        self.wanted = self._hot(self.actual)
        self.answers = self._hot([[label for label in row if label] for row in answers["labels"].tolist()])
        self.weights = weights_of(examples)
        self.statistics = self._statistics(self.answers)
        self.loss = (self.answers != self.wanted).sum(axis=1).astype(np.float64)

    @staticmethod
    def predictions(answers, labels):
        scores = answers["scores"].astype(float).round(6).tolist()
        return [
            {"labels": [label for label in row if label], "scores": dict(zip(labels, each, strict=True))}
            for row, each in zip(answers["labels"].tolist(), scores, strict=True)
        ]

    @staticmethod
    def of_sums(sums):
        counts = sums[..., :-2].reshape(*sums.shape[:-1], -1, 3)  # of each label: right, answered, wanted
        right, answered, wanted = np.moveaxis(counts, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            each = 2 * right / (answered + wanted)
            whole = right.sum(axis=-1), answered.sum(axis=-1), wanted.sum(axis=-1)
            occurs = answered + wanted > 0
            return {
                "micro_f1": 2 * whole[0] / (whole[1] + whole[2]),
                "macro_f1": np.where(occurs, np.nan_to_num(each), 0).sum(axis=-1) / occurs.sum(axis=-1),
                "precision": whole[0] / whole[1],
                "recall": whole[0] / whole[2],
                "exact_match": sums[..., -2] / sums[..., -1],
            }

    def baseline(self):
        """The labels that half of the training rows have, or else the commonest one, every time."""
        rows = [row or [] for row in self.train.column(LABEL).to_pylist()]
        counts = Counter(label for row in rows for label in row)
        common = [label for label, count in counts.most_common() if 2 * count >= len(rows)]
        common = common or [label for label, _ in counts.most_common(1)]
        answered = self._hot([common] * len(self.actual))
        return self.point(self._statistics(answered)), f"always {', '.join(map(repr, common)) or 'none'}, as in train"

    def details(self, resamples, seed):
        by_label: dict[str, Any] = {}
        for n, label in enumerate(self.labels):
            columns = [3 * n, 3 * n + 1, 3 * n + 2, -2, -1]
            found = resampled(self.of_sums, self.statistics[:, columns], resamples, seed)
            figures = {"f1": "micro_f1", "precision": "precision", "recall": "recall"}
            kept = {name: found[each] for name, each in figures.items() if each in found}
            by_label[label] = {**kept, "rows": int(self.wanted[:, n].sum())}
        return {"by_label": by_label}

    def groups(self, name):
        """label: the rows that have each label, and those without any."""
        if name != LABEL:
            return None
        order = np.argsort(-self.wanted.sum(axis=0), kind="stable")
        found = [(self.labels[n], np.flatnonzero(self.wanted[:, n])) for n in order if self.wanted[:, n].any()]
        none = np.flatnonzero(~self.wanted.any(axis=1))
        return [*found, *([("(none)", none)] if len(none) else [])]

    def shown(self):
        import pyarrow as pa

        answered = [[self.labels[n] for n in np.flatnonzero(row)] for row in self.answers]
        return {LABEL: self.examples.column(LABEL), "predicted": pa.array(answered, pa.list_(pa.string()))}

    def _hot(self, rows) -> np.ndarray:
        """<bool>[N, labels] of lists of labels; those that are no label of train or test are left out."""
        place = {label: n for n, label in enumerate(self.labels)}
        hot = np.zeros([len(rows), len(place)], bool)
        for n, row in enumerate(rows):
            hot[n, [place[label] for label in row if label in place]] = True
        return hot

    def _statistics(self, answered: np.ndarray) -> np.ndarray:
        counts = np.stack([answered & self.wanted, answered, self.wanted], axis=2).reshape(len(answered), -1)
        exact = (answered == self.wanted).all(axis=1)
        return np.column_stack([counts, exact, np.ones(len(answered))]).astype(np.float64) * self.weights[:, None]
