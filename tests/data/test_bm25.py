"""Tests `data/bm25.py`."""

import math

import numpy as np

from data.bm25 import weigh

TEXTS = ["El gato come", "el perro, el PERRO come", "", "otro gato más largo que el perro"]


def by_hand(word, text, k1, b):
    """The formula, of one word in one text."""
    texts = [t.lower().replace(",", "").split() for t in TEXTS]
    words, mean = text.lower().replace(",", "").split(), sum(map(len, texts)) / len(texts)
    having, often = sum(word in t for t in texts), words.count(word)
    idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
    return often and idf * often * (k1 + 1) / (often + k1 * (1 - b + b * len(words) / mean))


def test_weights_are_the_formulas():
    for k1, b in ((1.2, 0.75), (0.9, 0.0), (2.0, 1.0)):
        words, weights = weigh(TEXTS, k1, b)
        assert words == ["el", "gato", "come", "perro", "otro", "más", "largo", "que"]
        wanted = [[by_hand(word, text, k1, b) for text in TEXTS] for word in words]
        np.testing.assert_allclose(weights.toarray(), wanted, rtol=1e-6)
        assert weights.nnz == 13
    words, weights = weigh(["?", ""])
    assert words == [] and weights.shape == (0, 2)
