"""Answers to word_in_context, beside the rule that equal forms mean the same."""

from collections import Counter
from typing import ClassVar

import numpy as np

from data.schema import LABEL, TEXT, TEXT_PAIR
from models.evaluation.classification import ClassificationJudgement

PLACE, PLACE_PAIR = "place", "place_pair"
FORM = "form"


class WordInContextJudgement(ClassificationJudgement):
    """As classification."""

    truth: ClassVar[tuple[str, ...]] = (LABEL, TEXT, TEXT_PAIR, PLACE, PLACE_PAIR)
    slices: ClassVar[tuple[str, ...]] = (LABEL, FORM)

    @staticmethod
    def predictions(answers, labels):
        cosines = answers["cosine"].astype(float).round(6).tolist()
        found = ClassificationJudgement.predictions(answers, labels)
        return [{**each, "cosine": cosine} for each, cosine in zip(found, cosines, strict=True)]

    def table(self):
        """With the places, which are none of `texts`: slices count the words of those."""
        found = super().table()
        for name in (PLACE, PLACE_PAIR):
            found = found.append_column(name, self.examples.column(name))
        return found

    def baseline(self):
        """The label that is commoner in train where the two forms of a word are equal, there; the one that is commoner
        where they differ, elsewhere. Where train has no such difference, its commonest label."""
        counts = {True: Counter[str](), False: Counter[str]()}
        for equal, label in zip(_equal_forms(self.train), self.train.column(LABEL).to_pylist(), strict=True):
            counts[equal][label] += 1
        rule = {equal: _commoner(counts[equal], counts[not equal], self.known) for equal in counts}
        scores = np.full([len(self.classes), len(self.known)], 1e-3 / len(self.known))
        answered = [self.known.index(rule[equal]) for equal in _equal_forms(self.examples)]
        scores[np.arange(len(scores)), answered] += 1 - 1e-3
        scores = self._widened(scores)
        values = {name: float(metric(self.classes, scores, self.weights)) for name, metric in self._metrics().items()}
        says = f"'{rule[True]}' where the two forms of the word are equal, else '{rule[False]}', as in train"
        return {name: value for name, value in values.items() if np.isfinite(value)}, says

    def groups(self, name):
        """form: the rows whose two forms of the word are equal, and the others."""
        if name != FORM:
            return None
        equal = np.array(_equal_forms(self.examples), bool)
        parts = ("equal", np.flatnonzero(equal)), ("different", np.flatnonzero(~equal))
        return [(value, rows) for value, rows in parts if len(rows)]


def _commoner(here: Counter[str], there: Counter[str], known: list[str]) -> str:
    """The label whose share here is most above that there; the commonest where one of them has no rows."""
    if not here.total() or not there.total():
        return max(known, key=lambda label: here[label] + there[label])
    return max(known, key=lambda label: here[label] / here.total() - there[label] / there.total())


def _equal_forms(rows) -> list[bool]:
    columns = (rows.column(name).to_pylist() for name in (TEXT, PLACE, TEXT_PAIR, PLACE_PAIR))
    return [_form(*row[:2]) == _form(*row[2:]) for row in zip(*columns, strict=True)]


def _form(text: str, span: str) -> str:
    start, _, end = span.partition(":")
    return (text[int(start) : int(end)] if start.strip().isdecimal() and end.strip().isdecimal() else text).lower()
