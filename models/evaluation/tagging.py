"""Answers to tagging, held against the truth word by word and span by span."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from data.schema import LABEL, TEXT
from data.tags import OUTSIDE, spans
from models.evaluation.base import Summed, resampled, weights_of

TYPE = "entity_type"
NONE = "(none)"


class TaggingJudgement(Summed):
    """Spans count where type, start and end are right, as in CoNLL (conlleval, seqeval); words by their tag.

    Words are those of the examples; a word's tag is what the answer says of its first character. Tags without spans,
    such as parts of speech, are measured by accuracy alone.
    """

    higher: ClassVar[tuple[str, ...]] = ("span_f1", "precision", "recall", "accuracy")
    lower: ClassVar[tuple[str, ...]] = ()
    texts: ClassVar[tuple[str, ...]] = (TEXT,)
    truth: ClassVar[tuple[str, ...]] = (TEXT, LABEL)
    slices: ClassVar[tuple[str, ...]] = (TYPE,)

    def __init__(self, answers, examples, train, labels):
        self.examples, self.train = examples, train
        self.has_spans = any(label[:2] in ("B-", "I-") for label in labels)
        self.actual = examples.column(LABEL).to_pylist()
        texts = examples.column(TEXT).to_pylist()
        self.answered = [
            _tags_of_words(text, found, self.has_spans) for text, found in zip(texts, _found(answers), strict=True)
        ]
        self.weights = weights_of(examples)
        self.statistics = self._statistics(self.answered)
        right, answered, wanted, words, exact = (self.statistics / np.maximum(self.weights[:, None], 1e-300)).T
        self.loss = (answered - right) + (wanted - right) if self.has_spans else words - exact

    @staticmethod
    def predictions(answers, labels):
        return [{"entities" if "type" in answers else "tokens": found} for found in _found(answers)]

    @staticmethod
    def of_sums(sums):
        right, answered, wanted, words, exact = np.moveaxis(sums, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "span_f1": np.where(answered + wanted > 0, 2 * right / (answered + wanted), np.nan),
                "precision": right / answered,
                "recall": right / wanted,
                "accuracy": exact / words,
            }

    def baseline(self):
        """Each word's commonest tag of the training split, the commonest of all for the others."""
        seen: dict[str, Counter[str]] = {}
        every: Counter[str] = Counter()
        texts, tags = self.train.column(TEXT).to_pylist(), self.train.column(LABEL).to_pylist()
        for text, row in zip(texts, tags, strict=True):
            for word, tag in zip(text.split(" "), row, strict=True):
                seen.setdefault(word, Counter())[tag] += 1
                every[tag] += 1
        common = every.most_common(1)[0][0] if every else OUTSIDE
        known = {word: counts.most_common(1)[0][0] for word, counts in seen.items()}
        rows = self.examples.column(TEXT).to_pylist()
        answered = [[known.get(word, common) for word in text.split(" ")] for text in rows]
        says = f"each word's commonest tag in train, '{common}' for words that are not there"
        return self.point(self._statistics(answered)), says

    def details(self, resamples, seed):
        """seqeval's report, and each type's figures with intervals."""
        if not self.has_spans:
            return {}
        from seqeval.metrics import classification_report

        report = classification_report(self.actual, self.answered, output_dict=True, zero_division=0)
        kinds = sorted({span.kind for row in self.actual for span in spans(row)})
        by_type: dict[str, Any] = {}
        for kind in kinds:
            found = resampled(self.of_sums, self._statistics(self.answered, kind), resamples, seed)
            found.pop("accuracy", None)
            wanted = sum(span.kind == kind for row in self.actual for span in spans(row))
            by_type[kind] = {**found, "spans": wanted}
        plain = {name: {key: float(value) for key, value in figures.items()} for name, figures in report.items()}
        return {"by_type": by_type, "seqeval": plain}

    def groups(self, name):
        """entity_type: the rows that have a span of each type, and those without any."""
        if name != TYPE:
            return None
        kinds = [{span.kind for span in spans(row)} or {NONE} for row in self.actual] if self.has_spans else []
        counts = Counter(kind for row in kinds for kind in row)
        return [(kind, np.flatnonzero([kind in row for row in kinds])) for kind, _ in counts.most_common()]

    def shown(self):
        import pyarrow as pa

        return {LABEL: self.examples.column(LABEL), "predicted": pa.array(self.answered, pa.list_(pa.string()))}

    def _statistics(self, answered: Sequence[Sequence[str]], kind: str = "") -> np.ndarray:
        """Of each row <float64>[N, 5], times its weight: spans (of `kind`, or any) that are right, answered and wanted,
        words, and words whose tag is right."""
        counts = [
            (*_span_counts(truth, tags, kind), len(truth), sum(map(str.__eq__, truth, tags)))
            for truth, tags in zip(self.actual, answered, strict=True)
        ]
        return np.array(counts, np.float64).reshape(-1, 5) * self.weights[:, None]


def _span_counts(truth: Sequence[str], answered: Sequence[str], kind: str) -> tuple[int, int, int]:
    wanted, found = ({span for span in spans(tags) if kind in ("", span.kind)} for tags in (truth, answered))
    return len(wanted & found), len(found), len(wanted)


def _found(answers) -> list[list[dict[str, Any]]]:
    """What was answered of each row: entities {type, text, score, start, end}, or tokens {tag, score, start, end}."""
    names = [name for name in ("type", "tag", "text", "score", "start", "end") if name in answers]
    columns = [answers[name].astype(float).round(6) if name == "score" else answers[name] for name in names]
    rows = zip(*(column.tolist() for column in columns), answers["length"].tolist(), strict=True)
    return [
        [dict(zip(names, each, strict=True)) for each in list(zip(*lists, strict=True))[:length]]
        for *lists, length in rows
    ]


def _tags_of_words(text: str, found: Iterable[dict[str, Any]], has_spans: bool) -> list[str]:
    """The tags of the words of `text`, which have a space between them."""
    words, tags, place = text.split(" "), [], 0
    found, last = list(found), None
    for word in words:
        here = next((n for n, each in enumerate(found) if each["start"] <= place < each["end"]), None)
        if here is None:
            tags.append(OUTSIDE)
        else:
            prefix = "I" if here == last else "B"
            tags.append(f"{prefix}-{found[here]['type']}" if has_spans else found[here]["tag"])
        last, place = here, place + len(word) + 1
    return tags
