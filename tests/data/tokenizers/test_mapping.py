"""The character map changes every code point as told, and nothing else."""

import unicodedata

import pytest
import tensorflow as tf

from data.tokenizers.mapping import map_model, mapper

EVERY = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def changed(change, texts):
    return [text.decode() for text in mapper(map_model(change)).normalize(tf.constant(texts)).numpy()]


def every_third(character: str) -> str:
    """Something to do on all planes: nothing, one character, several, and the longest there may be."""
    return [character, "", "x", character, "ß→" + character, "é" * 31][ord(character) % 6]


@pytest.mark.parametrize("change", [str.lower, every_third])
def test_every_character_is_changed_as_told(change):
    unassigned = range(0x33480, 0xE0000)
    expected = [character if ord(character) in unassigned else change(character) for character in EVERY]
    assert changed(change, EVERY) == expected
    assert changed(change, ["".join(EVERY)]) == ["".join(expected)]


def test_nul_and_its_neighbours():
    assert changed(lambda c: {"\0": "zero", "\1": ""}.get(c, c), ["a\0b\1c", "\0", ""]) == ["azerobc", "zero", ""]


def test_nothing_to_change():
    assert changed(str, ["As it is.\0"]) == ["As it is.\0"]


def test_the_map_is_small():
    assert len(map_model(str.lower)) < 50_000
    assert len(map_model(lambda c: "" if unicodedata.category(c) == "Co" else c)) < 10_000  # of 137,468 alike
