"""Tests `models/writing.py`: where what is written ends."""

from functools import partial

import pytest

from data.tokenizers import TOKENIZERS
from models.writing import _encode, stops_of
from tests.contracts import tiny

TEXTS = ["one two three. one two. three!", "two one! one three two. one.", "a"] * 20


@pytest.mark.parametrize("kind", ["words", "wordpiece", "bpe", "sentencepiece"])
@pytest.mark.parametrize("stop", [".", "three", "two. one"])
def test_a_stop_text_is_found_wherever_it_stands(kind, stop):
    tokenizer = TOKENIZERS[kind].learn(TOKENIZERS[kind].count(TEXTS), vocabulary_size=300)
    stops = stops_of(partial(_encode, tokenizer), [stop.encode()], tokenizer.special.unknown)
    for text in ("one two. three. one", "three. one two. one"):
        ids = tokenizer.encode([text])[0].tolist()
        ends = [end for end in range(len(ids) + 1) if any(ids[:end][-len(each) :] == each for each in stops)]
        cuts = [text[: n + len(stop)] for n in range(len(text)) if text.startswith(stop, n)]
        assert [tokenizer.decode(ids[:end]).replace(" .", ".").strip() for end in ends] == cuts


def test_no_stop_text_stops_nothing():
    encode = partial(_encode, tiny.WORDS)
    assert stops_of(encode, [], 1) == stops_of(encode, [b""], 1) == []


def test_an_unknown_word_is_no_place_to_look_behind():
    """`a` and `agood` are both unknown: what follows the one is not what follows the other."""
    assert stops_of(partial(_encode, tiny.WORDS), [b"good film"], 1) == [tiny.WORDS.encode(["good film"])[0].tolist()]
