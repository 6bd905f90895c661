"""Tests `models/ranking.py`: rankings in TensorFlow's ops are those that their definitions give."""

import numpy as np
import pytest
import tensorflow as tf

from data.bm25 import weigh
from models.ranking import DEPTH, Ranker
from tests.plain_ranking import plain

HOWS = "vectors", "bm25", "rrf", "sum"


def corpus(documents):
    """Texts of few words and vectors of few values, both exact in float32, so that much is equal."""
    draw = np.random.default_rng(0)
    words = ["año", "Café", "cafe\u0301", "pan", "7", "42", "straße", "STRASSE", "mar_1", "ΟΔΟΣ", "हिन्दी", "luz"]
    texts = [" ".join(draw.choice(words, draw.integers(1, 6))) for _ in range(documents)]
    vectors = draw.integers(-1, 2, [documents, 4]).astype(np.float32)
    return texts, vectors


def ranked(ranker, how, queries, vectors, k, weight):
    if how == "vectors":
        return ranker.by_vectors(vectors, k)
    if how == "bm25":
        return ranker.by_words(queries, k)
    if how == "sum":
        return ranker.by_sum(queries, vectors, weight, k)
    scores, near = ranker.by_vectors(vectors, DEPTH)
    return ranker.by_ranks(queries, tf.where(scores > float("-inf"), near, -1), k)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("documents", [3, 60, 1200])
def test_each_ranking_is_its_definition_with_ties_in_order(how, documents):
    texts, vectors = corpus(documents)
    ranker = Ranker(vectors, weigh(texts), [str(n) for n in range(documents)], texts)
    queries = ["CAFÉ 42 pan", "pan pan strasse", "οδος, हिन्दी!", "nothing known", "", "mar_1 7 7 7 año"]
    asked = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [-1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, -1]], np.float32)
    for k, weight in ((7, 0.5), (2000, 0.25)):
        scores, places = (each.numpy() for each in ranked(ranker, how, queries, asked, k, weight))
        assert scores.shape == places.shape == (len(queries), min(k, documents))
        for n, query in enumerate(queries):
            wanted = plain(how, query, asked[n], vectors, texts, k, weight)
            hit = np.isfinite(scores[n])
            assert places[n][hit].tolist() == [place for place, _ in wanted], query
            np.testing.assert_allclose(scores[n][hit], [score for _, score in wanted], rtol=1e-12)
            assert not hit[len(wanted) :].any()


def test_documents_without_any_word_are_ranked_by_vectors():
    ranker = Ranker(np.eye(2, dtype=np.float32), weigh(["?", "!"]), ["a", "b"], ["?", "!"])
    assert ranker.by_words(["pan ?"], 2)[0].numpy().tolist() == [[float("-inf")] * 2]
    assert ranker.by_ranks(["pan ?"], [[1, 0]], 2)[1].numpy().tolist() == [[1, 0]]
    assert ranker.by_ranks(tf.zeros([0], tf.string), tf.zeros([0, 2], tf.int32), 2)[0].shape == (0, 2)


def test_a_word_said_often_costs_its_postings_once(monkeypatch):
    texts, vectors = corpus(60)
    ranker = Ranker(vectors, weigh(texts), texts, texts)
    read = []
    summed = tf.math.unsorted_segment_sum
    monkeypatch.setattr(
        tf.math, "unsorted_segment_sum", lambda gain, *how: read.append(len(gain)) or summed(gain, *how)
    )
    few, many = (ranker._shared(tf.constant([query])) for query in ("pan", "pan " * 1000))
    np.testing.assert_allclose(many, few * 1000)
    assert read[0] == read[1] == sum("pan" in text.split() for text in texts)
