"""Tests `data/windows.py`, and that `models/windows.py` cuts the same."""

import numpy as np
import pytest
import tensorflow as tf

from data.windows import cut, of_words, sliced, whole
from models import windows as graph

LENGTHS = np.array([0, 1, 7, 8, 9, 30])


@pytest.mark.parametrize("beside", [None, np.array([0, 3, 1, 50, 2, 4])], ids=["text", "pair"])
@pytest.mark.parametrize("stride", [1, 3, 100])
def test_windows_cover_every_token_and_overlap(beside, stride):
    found = cut(LENGTHS, beside, 10, stride)
    for row, length in enumerate(LENGTHS):
        starts, sizes = found.starts[found.owner == row], found.sizes[found.owner == row]
        ends = starts + sizes
        assert starts[0] == 0 and ends[-1] == length and np.all(starts[1:] <= ends[:-1])
        assert np.all(np.diff(starts) <= stride) and (sizes[:-1] == sizes[0]).all()
    in_graph = graph.cut(
        tf.constant(LENGTHS, tf.int32), beside if beside is None else tf.constant(beside, tf.int32), 10, stride
    )
    for ours, theirs in zip(found, in_graph, strict=True):
        assert np.array_equal(ours, theirs)


def test_without_a_stride_there_is_one_window_of_the_start():
    found = graph.cut(tf.constant([0, 30]), None, 10, 0)
    assert found.owner.numpy().tolist() == [0, 1] and found.sizes.numpy().tolist() == [0, 8]


def test_a_window_leaves_packing_nothing_to_cut():
    """Whatever the special tokens, question and window fit beside each other."""
    from models.packing import SCHEMES, pack
    from tests.contracts import tiny

    for scheme in SCHEMES:
        for question in (1, 5, 6, 7, 40):
            for most in (10, 11):
                found = cut(np.array([50]), np.array([question]), most, 2)
                size = int(found.sizes[0])
                batch = {"ids": np.full([1, question], 5, np.int32), "length": np.array([question], np.int32)}
                batch |= {"ids_pair": np.full([1, size], 6, np.int32), "length_pair": np.array([size], np.int32)}
                packed = pack(batch, tiny.VOCABULARY, most, scheme)
                assert np.count_nonzero(packed["ids"] == 6) == size


def test_rows_and_words_are_cut_alike():
    rows = [b"a bb ccc dd e", b"", b"ff g", b"h"]
    data, splits = np.frombuffer(b"".join(rows), np.uint8), np.cumsum([0, *map(len, rows)])
    counts = np.array([len(row.split()) for row in rows])
    found = cut(counts, None, 4, 1)
    values, ends = sliced(data, splits, of_words(data, splits, found))
    texts = [bytes(values[start:end]) for start, end in zip(ends, ends[1:], strict=False)]
    assert texts == [b"a bb", b"bb ccc", b"ccc dd", b"dd e", b"", b"ff g", b"h"]
    ids, ends = sliced(np.arange(8), np.cumsum([0, *counts]), found)
    assert [ids[start:end].tolist() for start, end in zip(ends, ends[1:], strict=False)][:4] == [
        [0, 1],
        [1, 2],
        [2, 3],
        [3, 4],
    ]
    values, ends = sliced(data, splits, whole(splits, found))
    assert bytes(values[: ends[1]]) == rows[0] == bytes(values[ends[3] : ends[4]])


def test_ragged_rows_are_taken_in_the_graph():
    rows = tf.ragged.constant([[1, 2, 3, 4], [], [5]])
    found = graph.cut(tf.constant([4, 0, 1]), None, 5, 1)
    assert graph.take(rows, found).to_list() == [[1, 2, 3], [2, 3, 4], [], [5]]
