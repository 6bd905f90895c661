"""Tests `data/words.py`: the same words in Python and in TensorFlow's ops, of every character that there is."""

import random
import sys
import unicodedata

import pytest
import tensorflow as tf

from data.words import GraphWords, words_of


@pytest.fixture(scope="module")
def graph():
    words = GraphWords()

    def ask(texts):
        found = words(tf.constant(texts, tf.string))
        flat, splits = [word.decode() for word in found.flat_values.numpy()], found.row_splits.numpy().tolist()
        return [flat[start:end] for start, end in zip(splits, splits[1:], strict=False)]

    return ask


def test_words_keep_their_marks_however_they_are_composed():
    assert words_of("Cafe\u0301, हिन्दी n_1") == ["café", "हिन्दी", "n_1"]
    assert words_of("café") == words_of("cafe\u0301")
    assert words_of("STRASSE ΟΔΟΣ") == words_of("straße οδος") == ["strasse", "οδοσ"]
    assert words_of(" ?\udcff ") == []


def test_the_graph_has_the_same_words_of_every_character(graph):
    letters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    texts = [f"a{letter}Z" for letter in letters]
    for text, found in zip(texts, graph([text.encode() for text in texts]), strict=True):
        assert found == words_of(text), hex(ord(text[1]))


def test_the_graph_composes_and_orders_marks_alike(graph):
    draw = random.Random(0)
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    marks = [letter for letter in every if unicodedata.combining(letter)]
    composed = [letter for letter in every if unicodedata.normalize("NFD", letter) != letter]
    texts = ["".join(draw.choices("aEñΣ한가 7", k=2) + draw.choices(marks, k=3)) for _ in range(20_000)]
    texts += [unicodedata.normalize("NFD", letter) for letter in composed]
    assert graph([text.encode() for text in texts]) == [words_of(text) for text in texts]


def test_what_is_no_utf8_parts_words_in_both(graph):
    texts = [b"plot\xffpan", b"\xc3(a\0b", b"", "año ".encode() * 20_000]
    assert graph(texts) == [words_of(text.decode("utf-8", "surrogateescape")) for text in texts]
