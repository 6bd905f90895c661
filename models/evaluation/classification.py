"""Answers to classification, one label a row, held against the truth."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from data.errors import StageError
from data.schema import KEY, LABEL, TEXT, TEXT_PAIR
from models import metrics
from models.evaluation.base import Judgement, interval, starts_of, weights_of

if TYPE_CHECKING:
    import pyarrow as pa

NO_LABEL = "(no label)"


class ClassificationJudgement(Judgement):
    """One label a row. A row whose label the model does not know counts as an error, but such a label is no class of
    its own in the averages over classes: one stray row must not halve the macro F1 of two labels.
    """

    higher: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "mcc", "auc")
    lower: ClassVar[tuple[str, ...]] = ("log_loss", "ece")
    texts: ClassVar[tuple[str, ...]] = (TEXT, TEXT_PAIR)
    truth: ClassVar[tuple[str, ...]] = (LABEL,)
    slices: ClassVar[tuple[str, ...]] = (LABEL,)

    def __init__(self, answers, examples, train, labels):
        self.examples, self.train, self.known = examples, train, list(labels)
        self.actual = _labels_of(examples)
        self.labels = self.known + sorted(set(self.actual) - set(self.known))
        self.classes = _indexes(self.actual, self.labels)
        self.answered = _indexes(answers["label"], self.known)
        self.scores = self._widened(_with_winner(answers["scores"], self.answered))
        self.weights = weights_of(examples)
        right = self.scores[np.arange(len(self.classes)), self.classes]
        self.loss = -np.log(np.maximum(right, np.finfo(np.float64).eps))

    @staticmethod
    def predictions(answers, labels):
        scores = answers["scores"].astype(float).round(6).tolist()
        named = (dict(zip(labels, row, strict=True)) for row in scores)
        return [{"label": label, "scores": row} for label, row in zip(answers["label"], named, strict=True)]

    def measure(self, resamples, seed, rows=None):
        rows = np.arange(len(self.classes)) if rows is None else rows
        arguments = self.classes[rows], self.scores[rows], self.weights[rows]
        found = metrics.bootstrap(self._metrics(), *arguments, resamples, seed)
        return {name: interval(*values) for name, values in found.items() if np.isfinite(values).all()}

    def at(self, weights, names):
        every = self._metrics()
        return {name: np.asarray(every[name](self.classes, self.scores, weights * self.weights)) for name in names}

    def right(self):
        return self.answered == self.classes

    def _metrics(self) -> dict[str, metrics.Metric]:
        known = len(self.known)

        def macro_f1(labels, scores, weights):
            touched = np.zeros((len(labels), len(self.labels)))
            touched[np.arange(len(labels)), labels] = touched[np.arange(len(labels)), scores.argmax(axis=1)] = 1
            occurs = (weights @ touched)[..., :known] > 0
            return metrics.f1(labels, scores, weights)[..., :known].sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1)

        return {
            "accuracy": metrics.accuracy,
            "macro_f1": macro_f1,
            "mcc": metrics.mcc,
            "auc": lambda labels, scores, weights: metrics.auc(labels, scores[:, :known], weights),
            "log_loss": metrics.log_loss,
            "ece": metrics.calibration_error,
        }

    def baseline(self):
        """The commonest label of the training split every time, with the labels' shares of it as scores."""
        trained = Counter(_labels_of(self.train))
        counts = np.array([trained[label] for label in self.known], np.float64)
        top, shares = int(np.argmax(counts)), counts / max(counts.sum(), 1.0)
        scores = self._widened(np.tile(shares, (len(self.classes), 1)))
        values = {name: float(metric(self.classes, scores, self.weights)) for name, metric in self._metrics().items()}
        says = f"always '{self.known[top]}', the commonest label of train ({shares[top]:.1%} of its rows)"
        return {name: value for name, value in values.items() if np.isfinite(value)}, says

    def table(self):
        import pyarrow as pa

        columns = {KEY: self.examples.column(KEY), **starts_of(self.examples, self.texts)}
        columns[LABEL] = self.examples.column(LABEL)
        columns["predicted"] = pa.array([self.known[i] for i in self.answered], pa.string())
        columns["scores"] = pa.array(list(self.scores[:, : len(self.known)].astype(np.float32)), pa.list_(pa.float32()))
        columns["loss"] = pa.array(self.loss)
        return pa.table(columns).replace_schema_metadata({"labels": json.dumps(self.known, ensure_ascii=False)})

    def details(self, resamples, seed):
        each = {"precision": metrics.precision, "recall": metrics.recall, "f1": metrics.f1}
        found = metrics.bootstrap(each, self.classes, self.scores, self.weights, resamples, seed)
        rows = np.bincount(self.classes, minlength=len(self.labels)).tolist()
        by_label = {
            label: {name: interval(*(v[i] for v in values)) for name, values in found.items()} | {"rows": rows[i]}
            for i, label in enumerate(self.labels)
        }
        return {
            "by_label": by_label,
            "confusion_matrix": {"rows": self.labels, "columns": self.known, "cells": self._confusion().tolist()},
            "calibration": self._calibration(),
        }

    def figures(self):
        from models import plots

        ece = float(metrics.calibration_error(self.classes, self.scores, self.weights))
        return {
            "confusion_matrix.png": plots.confusion_matrix(self._confusion(), self.labels, self.known),
            "reliability.png": plots.reliability(self._calibration(), ece),
        }

    def remarks(self):
        counts = Counter(self.actual)
        return [
            f"{rows} test rows have no label and count as errors"
            if label == NO_LABEL
            else f"{rows} test rows have the label '{label}', which the model does not know, and count as errors"
            for label, rows in ((label, counts[label]) for label in self.labels[len(self.known) :])
        ]

    def _widened(self, scores: np.ndarray) -> np.ndarray:
        """Scores <float64>[N, labels], 0 for the labels the model does not know."""
        return np.pad(scores, ((0, 0), (0, len(self.labels) - scores.shape[1])))

    def _confusion(self) -> np.ndarray:
        return metrics.confusion_matrix(self.classes, self.scores, self.weights)[:, : len(self.known)]

    def _calibration(self, bins: int = 15) -> list[dict[str, float]]:
        """The bins of the expected calibration error that have rows."""
        edges = np.linspace(0, 1, bins + 1)
        confidence = self.scores.max(axis=1)
        which = np.searchsorted(edges[1:-1], confidence)
        right = self.answered == self.classes
        groups = ((i, np.flatnonzero(which == i)) for i in range(bins))
        return [
            {
                "low": float(edges[i]),
                "high": float(edges[i + 1]),
                "rows": len(rows),
                "weight": float(self.weights[rows].sum()),
                "confidence": float(np.average(confidence[rows], weights=self.weights[rows])),
                "accuracy": float(np.average(right[rows], weights=self.weights[rows])),
            }
            for i, rows in groups
            if self.weights[rows].sum() > 0
        ]


def _labels_of(examples: "pa.Table") -> list[str]:
    return [label if label is not None else NO_LABEL for label in examples.column(LABEL).to_pylist()]


def _indexes(values: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    place = {label: i for i, label in enumerate(labels)}
    return np.array([place[value] for value in values], np.int64)


def _with_winner(scores: np.ndarray, answered: np.ndarray) -> np.ndarray:
    """Scores <float64>[N, C] whose highest is the answer, also where float32 made a tie of two logits.

    Raises StageError where the answer is no tie and still not the highest.
    """
    scores = scores.astype(np.float64)
    rows = np.flatnonzero(scores.argmax(axis=1) != answered)
    best = scores[rows].max(axis=1)
    if np.any(best - scores[rows, answered[rows]] > 1e-6):
        raise StageError("evaluator: the model answers a label that does not have its highest score; export it again")
    scores[rows, answered[rows]] = np.nextafter(best, 2.0)
    return scores
