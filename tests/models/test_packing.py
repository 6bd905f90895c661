"""Tests `models/packing.py`."""

import numpy as np
import pytest
import tensorflow as tf

from models.families.base import Vocabulary
from models.packing import pack

VOCABULARY = Vocabulary(30, pad=0, unknown=1, start=2, end=3)
SINGLE = {"ids": np.array([[7, 8, 9], [5, 0, 0], [0, 0, 0]], np.int32), "length": np.array([3, 1, 0], np.int32)}
PAIR = {**SINGLE, "ids_pair": np.array([[11, 12], [13, 0], [14, 15]], np.int32), "length_pair": np.array([2, 1, 2])}
PAIR["length_pair"] = PAIR["length_pair"].astype(np.int32)


def packed(batch, max_tokens=16, special_tokens="bert", vocabulary=VOCABULARY):
    """ids with `.` where the mask is False, and segment ids, as strings a row."""
    out = {k: v.numpy() for k, v in pack(batch, vocabulary, max_tokens, special_tokens).items()}
    assert out["mask"].dtype == bool and out["ids"].dtype == out["segment_ids"].dtype == np.int32
    assert (out["ids"][~out["mask"]] == vocabulary.pad).all()
    shown = np.where(out["mask"], out["ids"].astype(str), ".")
    return [" ".join(row) for row in shown], ["".join(map(str, row)) for row in out["segment_ids"]]


def test_a_text_gets_start_and_end():
    assert packed(SINGLE) == (["2 7 8 9 3", "2 5 3 . .", "2 3 . . ."], ["00000"] * 3)


def test_a_text_of_a_family_without_specials_stays_as_it_is():
    assert packed(SINGLE, special_tokens="") == (["7 8 9", "5 . .", ". . ."], ["000"] * 3)


def test_a_pair_gets_start_separator_and_end():
    ids, segments = packed(PAIR)
    assert ids == ["2 7 8 9 3 11 12 3", "2 5 3 13 3 . . .", "2 3 14 15 3 . . ."]
    assert segments == ["00000111", "00011000", "00111000"]


def test_a_pair_without_specials_is_parted_by_end_or_unknown_or_pad():
    ids, segments = packed(PAIR, special_tokens="")
    assert ids == ["7 8 9 3 11 12", "5 3 13 . . .", "3 14 15 . . ."] and segments == ["000011", "001000", "011000"]
    assert packed(PAIR, special_tokens="", vocabulary=Vocabulary(30, 0, 1))[0][0] == "7 8 9 1 11 12"
    assert packed(PAIR, special_tokens="", vocabulary=Vocabulary(30, 0))[0][0] == "7 8 9 0 11 12"


def test_roberta_puts_two_ends_between_a_text_and_its_pair():
    assert packed(SINGLE, special_tokens="roberta")[0] == ["2 7 8 9 3", "2 5 3 . .", "2 3 . . ."]
    ids, segments = packed(PAIR, special_tokens="roberta")
    assert ids == ["2 7 8 9 3 3 11 12 3", "2 5 3 3 13 3 . . .", "2 3 3 14 15 3 . . ."]
    assert segments == ["000000111", "000011000", "000111000"]
    assert packed(PAIR, 7, "roberta")[0] == ["2 7 8 3 3 11 3", "2 5 3 3 13 3 .", "2 3 3 14 15 3 ."]


def test_t5_puts_an_end_after_each_text():
    vocabulary = VOCABULARY._replace(start=None)  # its tokenizer has none
    assert packed(SINGLE, special_tokens="t5", vocabulary=vocabulary)[0] == ["7 8 9 3", "5 3 . .", "3 . . ."]
    ids, segments = packed(PAIR, special_tokens="t5", vocabulary=vocabulary)
    assert ids == ["7 8 9 3 11 12 3", "5 3 13 3 . . .", "3 14 15 3 . . ."]
    assert segments == ["0000111", "0011000", "0111000"]


def test_a_long_text_keeps_its_start_and_the_end_token():
    assert packed(SINGLE, max_tokens=4)[0] == ["2 7 8 3", "2 5 3 .", "2 3 . ."]


def one_by_one(first: int, second: int, room: int) -> tuple[int, int]:
    """The published rule: take from the longer text, from the second when they are equal, until both fit."""
    while first + second > room:
        first, second = (first - 1, second) if first > second else (first, second - 1)
    return first, second


@pytest.mark.parametrize("room", range(2, 9))
def test_pairs_are_cut_longest_first(room):
    lengths = np.array([(a, b) for a in range(7) for b in range(7)], np.int32)
    ids = np.tile(np.arange(10, 16, dtype=np.int32), (len(lengths), 1))
    batch = {"ids": ids, "ids_pair": ids + 10, "length": lengths[:, 0], "length_pair": lengths[:, 1]}
    out = pack(batch, VOCABULARY, room + 3, "bert")
    kept = [((row >= 10) & (row < 20), row >= 20) for row in out["ids"].numpy()]
    assert [(int(a.sum()), int(b.sum())) for a, b in kept] == [one_by_one(*each, room) for each in lengths.tolist()]


@pytest.mark.parametrize("batch, special_tokens, width", [(SINGLE, "bert", 5), (SINGLE, "", 3), (PAIR, "bert", 8)])
def test_static_shapes_in_give_static_shapes_out_and_dynamic_ones_the_same_answer(batch, special_tokens, width):
    def run(batch):
        return pack(batch, VOCABULARY, 16, special_tokens)

    static = tf.function(run, jit_compile=True).get_concrete_function(batch)
    assert {tuple(shape) for shape in static.output_shapes.values()} == {(3, width)}
    anything = {name: tf.TensorSpec([None] * array.ndim, tf.int32) for name, array in batch.items()}
    dynamic = tf.function(run, input_signature=[anything])
    for name, expected in run(batch).items():
        assert np.array_equal(dynamic(batch)[name], expected) and np.array_equal(static(batch)[name], expected)


def test_only_core_ops_are_used():
    """TF Serving 2.18 and 2.19 do not link TF Text's trimmers."""
    graph = tf.function(lambda batch: pack(batch, VOCABULARY, 16, "bert")).get_concrete_function(PAIR).graph
    assert not {op.type for op in graph.get_operations() if ">" in op.type or "Ragged" in op.type}
