"""Tests `components/slices.py`: which rows are measured apart."""

from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.slices import groups_of
from models.evaluation import JUDGES

TRAIN = ["good food", "The food was Good, and very hot", "café", "a b c d e f g h"]
TEST = [
    "GOOD food!",  # nothing new
    "a b c d e f g h new food",  # a tenth is new
    "new food",  # half of it
    "",
    "cafe\u0301 no más",  # letters apart from their accents are other letters
    "It doesn't work",
    "Nunca",
]


class Rows(SimpleNamespace):
    def shards(self, split):
        return [self.place] if split == "train" else []


@pytest.fixture
def examples(tmp_path):
    place = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": TRAIN, "text_pair": [None, "", "pair", None]}), place)
    return [Rows(place=place, properties={"columns": ["text", "text_pair"]})]


def groups(name, examples, texts=("text", "text_pair"), **columns):
    judged = SimpleNamespace(texts=texts, groups=lambda name: None)
    found = groups_of(name, judged, pa.table({"text": TEST, **columns}), examples)
    return {value: list(map(int, rows)) for value, rows in found}


def test_unknown_words_are_those_of_no_training_text(examples):
    assert groups("unknown_words", examples) == {"none": [0, 3], "up to 10%": [1], "more": [2, 4, 5, 6]}
    beside = groups("unknown_words", examples, text_pair=["pair", "new", *[None] * 5])
    assert beside == {"none": [0, 3], "more": [1, 2, 4, 5, 6]}


@pytest.mark.parametrize("name", ["length", "unknown_words"])
def test_the_places_of_words_are_no_text(name, examples):
    pair = {"text_pair": ["pair", *[None] * 6]}
    places = {"place": [f"{10**n}:{10**n + 1}" for n in range(7)], "place_pair": ["0:4"] * 7}
    texts = JUDGES["word_in_context"].texts
    assert groups(name, examples, texts, **pair, **places) == groups(name, examples, **pair)


def test_words_that_deny_in_english_and_spanish(examples):
    assert groups("negation", examples) == {"yes": [4, 5, 6], "no": [0, 1, 2, 3]}
