"""Tests serving/json_text.py: RapidJSON's grammar, errors and offsets, and the digits of numbers."""

import json
import math
import random

import numpy as np
import pytest

from serving.errors import ServingError
from serving.json_text import SHOWN, decimals, read, read_exactly, show, string

WRONG = [
    # (text, RapidJSON's message, offset in bytes)
    (b"  ", "The document is empty.", 2),
    (b"x", "Invalid value.", 0),
    (b"nul", "Invalid value.", 3),
    (b"tru\xc3", "Invalid value.", 3),
    (b"-x", "Invalid value.", 1),
    (b"01", "The document root must not be followed by other values.", 1),
    (b"{} {}", "The document root must not be followed by other values.", 3),
    (b"{", "Missing a name for object member.", 1),
    (b"{1:2}", "Missing a name for object member.", 1),
    (b'{"a" 1}', "Missing a colon after a name of object member.", 5),
    (b'{"a":1 "b"}', "Missing a comma or '}' after an object member.", 7),
    (b'{"a":}', "Invalid value.", 5),
    (b"[1 2]", "Missing a comma or ']' after an array element.", 3),
    (b"[1,]", "Invalid value.", 3),
    ('"ñ'.encode(), "Missing a closing quotation mark in string.", 3),
    (b'"a\nb"', "Invalid escape character in string.", 2),
    (b'"a\\x"', "Invalid escape character in string.", 2),
    (b'"a\\u12G4"', "Incorrect hex digit after \\u escape in string.", 2),
    (b'"\\ud83d!"', "The surrogate pair in string is invalid.", 1),
    (b'"\\ud83d\\u0041"', "The surrogate pair in string is invalid.", 1),
    (b"[1.]", "Miss fraction part in number.", 3),
    (b"[1e]", "Miss exponent in number.", 3),
    (b"[1e+]", "Miss exponent in number.", 4),
    (b"[ -1e999]", "Number too big to be stored in double.", 2),
    (b"9" * 400, "Number too big to be stored in double.", 0),
    (300 * b"[", "Lists and objects nested deeper than 256.", 256),
]
TAKEN = [
    # What Python's parser refuses or reads otherwise.
    (b"[Inf, -Inf, -Infinity]", [math.inf, -math.inf, -math.inf]),
    (b"\xef\xbb\xbf[1]", [1]),
    (b"[1]\0rubbish", [1]),
    (b'"a\xffb"', b"a\xffb"),
    (b'"\\udc80"', b"\xed\xb2\x80"),
    (str(2**64).encode(), float(2**64)),
    (str(2**64 - 1).encode(), 2**64 - 1),
    (str(-(2**63)).encode(), -(2**63)),
]


@pytest.mark.parametrize(("text", "message", "offset"), WRONG, ids=[str(case[0][:12]) for case in WRONG])
def test_errors_and_their_offsets(text, message, offset):
    for reader in (read, read_exactly):
        if reader is read and text in (b"[ -1e999]", b"9" * 400):
            continue  # seen when the value is used: see test_json_tensor.py
        with pytest.raises(ServingError) as caught:
            reader(text)
        assert caught.value.code.name == "INVALID_ARGUMENT"
        assert caught.value.message == f"JSON Parse error: {message} at offset: {offset}"


@pytest.mark.parametrize(("text", "value"), TAKEN, ids=[str(case[0][:12]) for case in TAKEN])
def test_what_rapidjson_takes(text, value):
    assert read_exactly(text) == value
    assert type(read_exactly(text)) is type(value)
    if value not in (2.0**64, 2**64 - 1, -(2**63)):
        assert read(text) == value


def test_nothing_at_all():
    with pytest.raises(ServingError, match="^JSON Parse error: The document is empty$"):
        read(b"")


def test_a_surrogate_pair_is_read_at_once_and_exactly():
    text = json.dumps({"a": ["😀", "\\ud800"]}).encode()
    assert read(text) == read_exactly(text) == {"a": ["😀", "\\ud800"]}


def test_both_readers_agree():
    """Over damaged texts: the same value, or both refuse; Python's parser may refuse more."""
    chance = random.Random(0)
    seed = (
        b'{"instances": ["a\\u00e9\\ud83d\\ude00", 1.5, -2, 1e3, {"b64": "aGk="}, [true, null], NaN], "x": {}, "y": []}'
    )
    agreed = 0
    for _ in range(3000):
        text = bytearray(seed)
        for _ in range(chance.randint(1, 2)):
            text[chance.randrange(len(text))] = chance.choice(b'"{}[]:,\\u01e9.-+tfn ')
        try:
            found = json.loads(text)
        except ValueError:
            continue
        try:
            exact = read_exactly(bytes(text))
        except ServingError as error:
            assert "surrogate" in error.message
            continue
        assert json.dumps(found) == json.dumps(exact, default=lambda raw: raw.decode("utf-8", "surrogatepass"))
        agreed += 1
    assert agreed > 100


def test_decimals_of_floats():
    values = [9e6, 999999, 0.5, 0.0003, 3e-5, 555557.5, 1 / 3, 0.2, -0.0, 16777216, 3.4028235e38, 1.2345678e-30]
    wanted = ["9e+06", "999999.0", "0.5", "0.0003", "3e-05", "555557.5", "0.333333343", "0.2", "-0.0", "16777216.0"]
    assert decimals(np.array(values, np.float32)) == [*wanted, "3.40282347e+38", "1.23456783e-30"]
    assert decimals(np.array([1 / 3, 0.1, np.nan, np.inf, -np.inf])) == [
        "0.33333333333333331", "0.1", "NaN", "Infinity", "-Infinity",
    ]  # fmt: skip


def test_decimals_read_back_as_the_same():
    values = np.random.default_rng(0).integers(0, 2**32, 20_000, np.uint32).view(np.float32)
    values = values[np.isfinite(values)]
    assert np.array([float(text) for text in decimals(values)], np.float32).tobytes() == values.tobytes()


def test_values_in_errors():
    assert show({"a": [1, "ñ"]}) == '{\n    "a": [\n        1,\n        "ñ"\n    ]\n}'
    assert show(1.0) == "1.0"
    assert len(show(["x" * 100] * 1000)) == SHOWN + len(" ...")


def test_strings_keep_their_bytes():
    text = 'a"\\\n\x01ñ😀'
    assert json.loads(string(text.encode())) == text
    assert string(b"\xff\xc3").encode("utf-8", "surrogateescape") == b'"\xff\xc3"'
