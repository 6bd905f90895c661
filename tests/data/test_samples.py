"""Tests `data/samples/`: the files are what the grammar writes, and what the README says of them."""

import csv
import io
import re

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from data.samples.opiniones import grammar
from data.samples.opiniones.grammar import HEADER, HERE, NEGATIVE, PLANTED, POSITIVE, SPANS

both_spans = pytest.mark.parametrize("number", SPANS)


def whole(row: list[str]) -> bool:
    return len(row) == len(HEADER) and row[1].strip() != "" and row[2] != "" and "\ufffd" not in row[1]


def read(number: int) -> tuple[list[list[str]], list[list[str]]]:
    """(good, broken) rows of a span; bytes that are no UTF-8 show as U+FFFD."""
    text = (HERE / f"span-{number}.csv").read_bytes().decode("utf-8", errors="replace")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == list(HEADER)
    return [row for row in rows if whole(row)], [row for row in rows if not whole(row)]


@both_spans
def test_the_grammar_writes_the_same_bytes(number):
    assert grammar.file_bytes(SPANS[number]) == (HERE / f"span-{number}.csv").read_bytes(), (
        "run `python -m data.samples.opiniones.grammar` and commit what it writes"
    )


@both_spans
def test_rows_and_labels(number):
    good, broken = read(number)
    assert len(broken) == PLANTED
    assert len(good) + len(broken) == SPANS[number].rows
    assert PLANTED / SPANS[number].rows <= 0.005  # max_rejected = 0.01 must pass
    assert {row[2] for row in good} == {POSITIVE, NEGATIVE}
    assert sum(row[2] == POSITIVE for row in good) / len(good) == pytest.approx(SPANS[number].positive, abs=0.03)
    assert len({row[0] for row in good}) == len(good)
    assert len({row[1] for row in good}) > 0.99 * len(good)


@both_spans
def test_every_planted_row_is_broken_in_its_own_way(number):
    _, broken = read(number)
    assert sorted(len(row) for row in broken) == [1, 2, 3, 4, 4, 4, 4, 5]
    assert sum(len(row) > 1 and row[1] == "" for row in broken) == 1
    assert sum(len(row) > 1 and row[1] != "" and row[1].isspace() for row in broken) == 1
    assert sum(len(row) == 4 and row[2] == "" for row in broken) == 1
    assert sum(len(row) == 4 and "\ufffd" in row[1] for row in broken) == 1
    assert broken[-1][0] == str(SPANS[number].rows)  # the quote that never closes swallows no other row


@both_spans
def test_texts_are_whole_sentences(number):
    good, _ = read(number)
    texts = [row[1] for row in good]
    assert not [text for text in texts if re.search(r"[{}|]|  | [.,;:?!]|\.\.", text)]
    assert not [text for text in texts if text[-1] not in ".?!" or text[0].islower()]
    assert not [text for text in texts if re.search(r"\b(de|a) el\b|\b(las?|el|los) [.,;]", text, re.IGNORECASE)]
    assert 3 <= sum("\n" in text for text in texts) <= 40
    assert sum('"' in text for text in texts) > 50
    assert max(len(text.split()) for text in texts) <= 65


def test_span_2_has_drifted():
    (first, _), (second, _) = read(1), read(2)
    products = {row[3] for row in first}
    new = [row for row in second if row[3] not in products]
    assert 0.3 < len(new) / len(second) < 0.7
    words = [sum(len(row[1].split()) for row in rows) / len(rows) for rows in (first, second)]
    assert 19 < words[0] < 26
    assert words[1] > 1.2 * words[0]


def test_the_order_of_the_words_decides():
    """Single words must not give the label away: a bag of them stays far below what an LSTM reaches."""
    good, _ = read(1)
    cut = int(0.9 * len(good))
    texts, labels = [row[1] for row in good], [row[2] for row in good]
    bag = CountVectorizer()
    model = LogisticRegression(max_iter=1000).fit(bag.fit_transform(texts[:cut]), labels[:cut])
    assert 0.6 < model.score(bag.transform(texts[cut:]), labels[cut:]) < 0.8


@pytest.mark.parametrize(
    ("adjective", "article", "form"),
    [
        ("pésimo", "el", "pésimo"),
        ("pésimo", "la", "pésima"),
        ("pésimo", "los", "pésimos"),
        ("pésimo", "las", "pésimas"),
        ("excelente", "la", "excelente"),
        ("excelente", "las", "excelentes"),
        ("genial", "los", "geniales"),
        ("atroz", "la", "atroz"),
        ("atroz", "las", "atroces"),
    ],
)
def test_adjectives_agree(adjective, article, form):
    assert grammar.agree(adjective, article) == form


def test_reversal_keeps_the_label():
    """{-rule} asks for the other polarity at every depth, so two of them cancel out."""
    rules = {
        "outer": ["{-inner}"],
        "inner": ["{-adjective} / {+adjective}"],
        "adjective": [["bueno"], ["malo"]],
    }
    domain = {"products": ["el móvil"], "aspects": {"la pantalla": [["brilla"], ["falla"]]}}
    review = grammar.Review(grammar.Chance(0), rules | {"start": ["{new}{outer}"]}, domain)
    assert review.write("start", True) == "buena / mala"
