"""Tests `models/ngrams.py` against `data/ngrams.py`, and word n-grams against the loop of fastText's dictionary.cc."""

import numpy as np
import pytest
import tensorflow as tf

from data import ngrams as bulk
from models import ngrams

WORDS = [w.encode() for w in ["where", "él", "日本語", "a", "ñandú-x", "</s>", "x" * 16, "🎬🎬"]] + [
    b"",
    b"\xc3\xb1"[:1],
]
WIDTH = 16


def table(words=WORDS) -> np.ndarray:
    made = np.zeros([len(words), WIDTH], np.uint8)
    for row, word in zip(made, words, strict=True):
        row[: len(word)] = np.frombuffer(word, np.uint8)
    return made


@pytest.mark.parametrize("jit_compile", [False, True])
def test_words(jit_compile):
    found = tf.function(ngrams.word_hashes, jit_compile=jit_compile)(table())
    assert found.numpy().tolist() == bulk.word_hashes(WORDS).tolist()
    assert ngrams.word_hashes(table().reshape(2, 5, WIDTH)).shape == (2, 5)


@pytest.mark.parametrize("shortest, longest", [(3, 6), (1, 2), (2, 2)])
def test_characters(shortest, longest):
    hashes, owners = ngrams.character_ngrams(tf.constant(table()), shortest, longest)
    expected, splits = bulk.character_ngrams(WORDS, shortest, longest)
    for row in range(len(WORDS)):
        found = hashes.numpy()[owners.numpy() == row]
        assert sorted(found) == sorted(expected[splits[row] : splits[row + 1]]), WORDS[row]


def slow_word_ngrams(words: list[bytes], longest: int, buckets: int) -> list[int]:
    """dictionary.cc's addWordNgrams."""
    hashes = [int(h) - (1 << 32) if h >> 31 else int(h) for h in bulk.word_hashes(words)]  # int32
    found = []
    for i in range(len(words)):
        h = hashes[i] % (1 << 64)
        for j in range(i + 1, min(len(words), i + longest)):
            h = (h * 116049371 + hashes[j]) % (1 << 64)
            found.append(h % buckets)
    return found


@pytest.mark.parametrize("longest", [1, 2, 4])
def test_words_together(longest):
    rows = tf.constant(np.stack([table(), table(WORDS[::-1])]))
    keep = np.ones([2, len(WORDS)], bool)
    keep[1, 6] = keep[1, 9] = False
    found = ngrams.word_ngrams(rows, keep, longest, 1000)
    assert len(found) == longest - 1
    first = [bucket.numpy()[0][inside.numpy()[0]].tolist() for bucket, inside in found]
    second = [bucket.numpy()[1][inside.numpy()[1]].tolist() for bucket, inside in found]
    assert sorted(sum(first, [])) == sorted(slow_word_ngrams(WORDS, longest, 1000))
    parts = WORDS[::-1][:6], WORDS[::-1][7:9]  # none runs across what is no word
    assert sorted(sum(second, [])) == sorted(sum((slow_word_ngrams(part, longest, 1000) for part in parts), []))
