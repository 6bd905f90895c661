"""Tests `data/samples/sentidos/`: the file is what the grammar writes, and the word alone tells nothing."""

import csv
import io
from collections import Counter

from data.samples.sentidos.grammar import HEADER, HERE, ROWS, file_bytes


def rows():
    return list(csv.DictReader(io.StringIO((HERE / "pairs.csv").read_text("utf-8"))))


def test_the_grammar_writes_the_same_bytes():
    assert file_bytes() == (HERE / "pairs.csv").read_bytes(), (
        "run `python -m data.samples.sentidos.grammar` and commit what it writes"
    )


def test_places_are_the_words_and_each_word_has_both_labels_as_often():
    found = rows()
    assert len(found) == ROWS and tuple(found[0]) == HEADER
    for row in found:
        for text, place in ((row["texto"], row["lugar"]), (row["otro"], row["otro_lugar"])):
            start, end = map(int, place.split(":"))
            assert text[start:end] == row["palabra"] and text[0].isupper() and text.endswith(".")
        assert row["texto"] != row["otro"]
    counts = Counter((row["palabra"], row["mismo"]) for row in found)
    assert len(counts) == 20 and set(counts.values()) == {ROWS // 20}
