"""Tests `data/fields.py`: what each kind of field takes, and why it refuses the rest."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data.fields import check_field

TEXTS, LISTS = pa.string(), pa.list_(pa.string())


def check(kind, values, type=TEXTS, most=20):
    """The checked values, None for rows that are refused, and the first reason of each of those."""
    column, rejects = check_field("it", kind, pa.array(values, type), most)
    reasons: dict[int, str] = {}
    for mask, reason in rejects:
        for row, bad in enumerate(pc.fill_null(mask, True).to_pylist()):
            if bad:
                reasons.setdefault(row, reason)
    return [None if row in reasons else value for row, value in enumerate(column.to_pylist())], reasons


@pytest.mark.parametrize(
    "kind, value, type, found",
    [
        ("text", " a b ", TEXTS, " a b "),
        ("label", " yes ", TEXTS, "yes"),
        ("any", None, TEXTS, ""),
        ("number", "-1.5", TEXTS, -1.5),
        ("weight", "0", TEXTS, 0.0),
        ("tokens", ["a", "b"], LISTS, ["a", "b"]),
        ("tokens", "a  b", TEXTS, ["a", "b"]),
        ("tags", "O B-X", TEXTS, ["O", "B-X"]),
        ("labels", ["b ", "a", "b"], LISTS, ["b", "a"]),
        ("labels", "b, a", TEXTS, ["b", "a"]),
        ("labels", '["b, c", 1]', TEXTS, ["b, c", "1"]),
        ("labels", "", TEXTS, []),
        ("anys", [" ", "x"], LISTS, [" ", "x"]),
        ("anys", "one, or two", TEXTS, ["one, or two"]),
        ("anys", "", TEXTS, []),
    ],
)
def test_what_is_taken(kind, value, type, found):
    assert check(kind, [value], type) == ([found], {})


@pytest.mark.parametrize(
    "kind, value, type, reason",
    [
        ("text", " ", TEXTS, "it: empty"),
        ("text", None, TEXTS, "it: empty"),
        ("text", "x" * 21, TEXTS, "it: over 20 characters"),
        ("text", ["a"], LISTS, "it: a list where a text was wanted"),
        ("label", ["a", "b"], LISTS, "it: a list where one label was wanted"),
        ("number", "nan", TEXTS, "it: not a finite number"),
        ("number", ["1"], LISTS, "it: a list where a number was wanted"),
        ("weight", "-1", TEXTS, "it: not a number of 0 or more"),
        ("tokens", None, LISTS, "it: not a list"),
        ("tokens", [], LISTS, "it: empty"),
        ("tokens", ["New York"], LISTS, "it: one that is empty or holds white space"),
        ("tokens", ["a", None], LISTS, "it: one that is empty or holds white space"),
        ("tokens", ["x" * 10, "y" * 10], LISTS, "it: over 20 characters"),
        ("labels", "[1", TEXTS, "it: not a list"),
        ("labels", ["a", ""], LISTS, "it: an empty label"),
    ],
)
def test_what_is_refused(kind, value, type, reason):
    assert check(kind, [value], type) == ([None], {0: reason})


def test_no_row_is_no_trouble():
    for kind in ("text", "label", "labels", "tokens", "tags", "number", "weight", "any", "anys"):
        assert check(kind, []) == ([], {})
