"""Tests `data/minhash.py`: signatures agree as far as texts do, and the index finds what is alike."""

import numpy as np

from data.minhash import PLACES, SHINGLE, Index, normalised
from data.minhash import signatures as signatures_of

BASE = "the committee met on tuesday to discuss the proposed changes to the schedule of the autumn conference"


def signatures(texts: list[str]) -> np.ndarray:
    return signatures_of(normalised(texts))


def jaccard(one: str, other: str) -> float:
    shingles = [{text.encode()[n : n + SHINGLE] for n in range(len(text) - SHINGLE + 1)} for text in (one, other)]
    return len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])


def test_signatures_estimate_the_jaccard_similarity_of_shingles():
    random, words = np.random.default_rng(0), BASE.split()
    others = []
    for changes in range(0, 12):
        changed = list(words)
        for place in random.choice(len(words), changes, replace=False):
            changed[place] = f"word{place}"
        others.append(" ".join(changed))
    found = signatures([BASE, *others])
    assert found.shape == (13, PLACES) and found.dtype == np.uint32
    errors = [(found[0] == mine).mean() - jaccard(BASE, text) for mine, text in zip(found[1:], others, strict=True)]
    assert np.abs(errors).max() < 0.2 and abs(np.mean(errors)) < 0.05


def test_case_white_space_and_spelling_of_letters_make_no_difference():
    found = signatures(["Una  canción\tnueva", "una cancio\u0301n nueva", "x", "", "una canción nueva"])
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[4])
    assert not np.array_equal(found[2], found[3])


def test_a_text_is_the_same_alone_and_among_others():
    texts = [BASE, "x", "", "short", "una canción"]
    assert np.array_equal(signatures(texts), np.concatenate([signatures([text]) for text in texts]))


def test_the_index_finds_the_likest_and_nothing_where_there_is_none():
    index = Index(signatures([BASE, "something else altogether, about quite other things"]))
    found = index.likeness(signatures([BASE.upper(), BASE + " again", "no likeness to anything that is known here"]))
    assert found[0] == 1 and 0.8 < found[1] < 1 and found[2] == 0
    assert not Index(signatures([BASE])[:0]).likeness(signatures([BASE])).any()
