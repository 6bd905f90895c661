"""Tests `data/bm25.py` and `data/ranking.py`."""

import math

import numpy as np

from data.bm25 import Bm25, words_of
from data.ranking import best, reciprocal_ranks, weighted_sum

TEXTS = ["El gato come", "el perro, el PERRO come", "", "otro gato más largo que el perro"]


def by_hand(query, text, k1, b):
    """The formula, word by word."""
    texts = [t.lower().replace(",", "").split() for t in TEXTS]
    words, mean = text.lower().replace(",", "").split(), sum(map(len, texts)) / len(texts)
    total = 0.0
    for word in query.split():
        having, often = sum(word in t for t in texts), words.count(word)
        if having and often:
            idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            total += idf * often * (k1 + 1) / (often + k1 * (1 - b + b * len(words) / mean))
    return total


def test_scores_are_the_formulas_and_are_kept(tmp_path):
    for k1, b in ((1.2, 0.75), (0.9, 0.0), (2.0, 1.0)):
        index = Bm25.of(TEXTS, k1, b)
        index.save(tmp_path)
        for query in ("perro", "el gato", "perro perro come", "nadie", ""):
            wanted = [by_hand(query, text, k1, b) for text in TEXTS]
            np.testing.assert_allclose(index.scores(query), wanted, rtol=1e-6)
            assert np.array_equal(Bm25.load(tmp_path).scores(query), index.scores(query))


def test_words_keep_their_marks_however_they_are_composed():
    assert words_of("Cafe\u0301, हिन्दी n_1") == ["café", "हिन्दी", "n_1"]
    assert words_of("café") == words_of("cafe\u0301")


def test_best_are_the_highest_and_the_first_of_equals():
    assert best(np.array([1.0, 3.0, 2.0, 3.0, 3.0]), 2).tolist() == [1, 3]
    assert best(np.array([1.0, 3.0]), 5).tolist() == [1, 0]
    assert best(np.zeros(0), 5).tolist() == []


def test_fusions_are_their_definitions():
    fused = reciprocal_ranks([np.array([2, 0]), np.array([2])], 4)
    np.testing.assert_allclose(fused, [1 / 62, 0, 2 / 61, 0])
    np.testing.assert_allclose(weighted_sum([np.array([-1.0, 1.0]), np.array([0.0, 4.0])], [0.25, 0.75]), [0.0, 1.0])
    np.testing.assert_allclose(weighted_sum([np.array([0.0, 1.0]), np.array([8.0, 0.0])], [0.25, 0.75]), [0.75, 0.25])
    np.testing.assert_allclose(weighted_sum([np.array([0.8, 0.9, 0.85])], [1.0]), [0.0, 1.0, 0.5])
    np.testing.assert_allclose(weighted_sum([np.array([0.5, 0.5])], [1.0]), [0.0, 0.0])
