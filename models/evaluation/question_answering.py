"""Answers to questions, held against the gold answers by SQuAD's own definitions."""

from typing import Any, ClassVar

import numpy as np

from data.schema import TEXT, TEXT_PAIR
from models import squad
from models.evaluation.base import Summed, weights_of

ANSWERS = "answers"
ANSWERED = "has_answer"


class QuestionAnsweringJudgement(Summed):
    """exact_match and f1 as shares of 1, over all questions; of those that have an answer, and those that have none."""

    higher: ClassVar[tuple[str, ...]] = (
        "exact_match",
        "f1",
        "has_answer_exact_match",
        "has_answer_f1",
        "no_answer_accuracy",
    )
    lower: ClassVar[tuple[str, ...]] = ()
    texts: ClassVar[tuple[str, ...]] = (TEXT, TEXT_PAIR)
    truth: ClassVar[tuple[str, ...]] = (ANSWERS,)
    slices: ClassVar[tuple[str, ...]] = (ANSWERED,)

    def __init__(self, answers, examples, train, labels):
        self.examples = examples
        every = [[answer for answer in row or () if answer] for row in examples.column(ANSWERS).to_pylist()]
        # As in evaluate-v2.0.py: one of articles and punctuation alone is none, unless nothing else is wanted.
        self.actual = [[answer for answer in row if squad.normalized(answer)] for row in every]
        self.has = np.array([bool(row) for row in every], bool)
        self.answers = list(answers["answer"])
        self.no_answer = answers["no_answer"].astype(np.float64)
        self.weights = weights_of(examples)
        self.statistics = self._statistics(self.answers)
        self.loss = 1.0 - self._scores(self.answers)[:, 1]

    @staticmethod
    def predictions(answers, labels):
        columns = {name: answers[name].tolist() for name in ("answer", "start", "end")}
        columns |= {name: answers[name].astype(float).round(6).tolist() for name in ("score", "no_answer")}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    @staticmethod
    def of_sums(sums):
        exact, f1, exact_has, f1_has, has, none_right, none, total = np.moveaxis(sums, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "exact_match": exact / total,
                "f1": f1 / total,
                "has_answer_exact_match": exact_has / has,
                "has_answer_f1": f1_has / has,
                "no_answer_accuracy": none_right / none,
            }

    def baseline(self):
        """A sliding window over each context."""
        questions, contexts = (self.examples.column(name).to_pylist() for name in (TEXT, TEXT_PAIR))
        window = squad.SlidingWindow(contexts)
        answered = [window.answer(*pair) for pair in zip(questions, contexts, strict=True)]
        says = "the run of words that shares most with the question in a sliding window (Richardson et al. 2013)"
        return self.point(self._statistics(answered)), says

    def details(self, resamples, seed):
        """The figures under the names, and in the per cent, of evaluate-v2.0.py; and the thresholds on no_answer that
        would have given the highest exact match and F1."""
        every, both = self._scores(self.answers), (("exact", 0), ("f1", 1))
        official: dict[str, Any] = {name: 100 * float(every[:, n].mean()) for name, n in both}
        for prefix, rows in (("HasAns", self.has), ("NoAns", ~self.has)):
            if rows.any():
                official |= {f"{prefix}_{name}": 100 * float(every[rows, n].mean()) for name, n in both}
                official[f"{prefix}_total"] = int(rows.sum())
        found: dict[str, Any] = {"squad": {**official, "total": len(every)}}
        if not self.has.all() and all(self.answers):
            found["best_no_answer"] = {name: self._best_threshold(every[:, n]) for name, n in both}
        return found

    def groups(self, name):
        if name != ANSWERED:
            return None
        parts = ("yes", np.flatnonzero(self.has)), ("no", np.flatnonzero(~self.has))
        return [(value, rows) for value, rows in parts if len(rows)]

    def shown(self):
        import pyarrow as pa

        return {ANSWERS: self.examples.column(ANSWERS), "predicted": pa.array(self.answers, pa.string())}

    def _scores(self, answered) -> np.ndarray:
        """exact match and F1 <float64>[N, 2]."""
        rows = list(zip(answered, self.actual, strict=True))
        return np.array([(squad.exact_match(*row), squad.f1(*row)) for row in rows], np.float64).reshape(-1, 2)

    def _statistics(self, answered) -> np.ndarray:
        scores, has = self._scores(answered), self.has.astype(np.float64)
        exact = scores[:, 0]
        columns = exact, scores[:, 1], exact * has, scores[:, 1] * has, has, exact * (1 - has), 1 - has
        return np.column_stack([*columns, np.ones(len(has))]) * self.weights[:, None]

    def _best_threshold(self, scores: np.ndarray) -> dict[str, float]:
        """Answers above a threshold of no_answer become none: which one scores best, of a model that always answers."""
        order = np.argsort(self.no_answer, kind="stable")
        gained = np.concatenate([[0.0], np.cumsum(np.where(self.has, scores, -1.0)[order])]) + (~self.has).sum()
        best = int(np.argmax(gained))
        return {
            "threshold": float(self.no_answer[order][best - 1]) if best else 0.0,
            "value": gained[best] / len(order),
        }
