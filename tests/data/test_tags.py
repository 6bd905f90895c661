"""Schemes of tags, from one to another; spans against seqeval's, on the real corpora too."""

from pathlib import Path

import numpy as np
import pytest
from seqeval.metrics.sequence_labeling import get_entities

from data.tags import Span, allowed, scheme_of, spans, to_bio

CORPORA = Path(__file__).parents[3] / "shared" / "data"
IOB1 = ["I-ORG", "O", "I-PER", "I-PER", "B-PER", "I-LOC"]
BIO = ["B-ORG", "O", "B-PER", "I-PER", "B-PER", "B-LOC"]
BIOES = ["S-ORG", "O", "B-PER", "E-PER", "S-PER", "S-LOC"]
BILOU = ["U-ORG", "O", "B-PER", "L-PER", "U-PER", "U-LOC"]


@pytest.mark.parametrize(("tags", "scheme"), [(IOB1, "iob1"), (BIO, "bio"), (BIOES, "bioes"), (BILOU, "bioes")])
def test_every_scheme_becomes_bio(tags, scheme):
    assert scheme_of([["O"], tags]) == scheme
    assert to_bio(tags, scheme) == BIO


def test_tags_without_spans_stay():
    assert scheme_of([["NOUN", "VERB"]]) == scheme_of([["B-", "X-"]]) == scheme_of([["O", "O"], []]) == "plain"
    assert to_bio(["NOUN", "O"], "plain") == ["NOUN", "O"]


def test_spans():
    assert spans(BIO) == [Span("ORG", 0, 1), Span("PER", 2, 4), Span("PER", 4, 5), Span("LOC", 5, 6)]
    assert spans(["I-PER", "I-LOC", "O", "I-LOC"]) == [Span("PER", 0, 1), Span("LOC", 1, 2), Span("LOC", 3, 4)]
    assert spans([]) == spans(["O"]) == []


def test_spans_are_those_of_seqeval():
    random = np.random.default_rng(0)
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    for _ in range(300):
        tags = random.choice(labels, random.integers(1, 9)).tolist()
        assert [(s.kind, s.start, s.end - 1) for s in spans(tags)] == get_entities(tags)


def test_what_may_follow_what():
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    transitions, start, end = allowed(labels)
    assert start == [True, True, False, True, False] and all(end)
    may = {(a, b) for i, a in enumerate(labels) for j, b in enumerate(labels) if transitions[i][j]}
    assert {a for a, b in may if b == "I-PER"} == {"B-PER", "I-PER"}
    assert {a for a, b in may if b == "O"} == set(labels)
    assert all(map(all, allowed(["NOUN", "VERB"])[0]))


@pytest.mark.skipif(not CORPORA.exists(), reason="wants the corpora in ../shared/data")
def test_real_schemes():
    def rows(path: str) -> list[list[str]]:
        blocks = (CORPORA / path).read_text().split("\n\n")
        return [[line.split()[-1] for line in b.splitlines()] for b in blocks if b.strip() and "-DOCSTART-" not in b]

    english, spanish = rows("conll2003_en/eng.testa"), rows("conll2002_es/esp.testa")
    assert (scheme_of(english), scheme_of(spanish)) == ("iob1", "bio")
    assert (
        sum(len(spans(to_bio(tags, "iob1"))) for tags in english) == 5942
    )  # Tjong Kim Sang and De Meulder 2003, table 2
    assert sum(len(spans(tags)) for tags in spanish) == 4352  # Tjong Kim Sang 2002, table 1
