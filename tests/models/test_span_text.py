"""Tests `models/span_text.py`."""

import pytest
import tensorflow as tf

from models.span_text import cut


@pytest.mark.parametrize(
    "text, start, end, wanted",
    [
        ("in Baghdad today", 2, 10, ("Baghdad", 3, 10)),
        ("añil y 𝒳 \u3000mar", 4, 10, ("y 𝒳", 5, 8)),
        ("whole", 0, 5, ("whole", 0, 5)),
        ("a  b", 1, 3, ("", 3, 3)),
        ("", 0, 0, ("", 0, 0)),
    ],
)
def test_spaces_around_a_span_are_no_part_of_it(text, start, end, wanted):
    found = cut(tf.constant([text]), tf.constant([start]), tf.constant([end]))
    assert (found[0].numpy()[0].decode(), *(int(each[0]) for each in found[1:])) == wanted
