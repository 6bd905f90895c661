"""Tests serving/json_tensor.py, json_values.py and json_examples.py, where a server's answer would not show it."""

from types import SimpleNamespace

import numpy as np
import pytest
from tensorflow.core.example.example_pb2 import Example

from serving.errors import ServingError
from serving.json_examples import parse_examples
from serving.json_tensor import MAX_RANK, parse_predict
from serving.json_values import NUMPY, decode_base64

INT64, FLOAT, DOUBLE, STRING, HALF = 9, 1, 2, 7, 19


def parse(body, **dtypes):
    inputs = {name: SimpleNamespace(dtype=dtype) for name, dtype in dtypes.items()}
    return parse_predict(body if isinstance(body, bytes) else body.encode(), lambda name: inputs)


@pytest.mark.parametrize("dtype", sorted(set(NUMPY) - {STRING}))
@pytest.mark.parametrize("key", ["inputs", "instances"])
def test_dtypes_and_shapes(dtype, key):
    values = "[[true], [false]]" if dtype == 10 else "[[1], [0]]"
    found = parse(f'{{"{key}": {values}}}', x=dtype)
    assert found.row == (key == "instances")
    assert found.inputs["x"].dtype == NUMPY[dtype]
    assert found.inputs["x"].tolist() == [[1], [0]]


def test_strings_are_bytes_in_objects():
    found = parse('{"instances": ["ñ", {"b64": "/w=="}]}', x=STRING).inputs["x"]
    assert found.dtype == object
    assert found.tolist() == ["ñ".encode(), b"\xff"]


def test_strings_that_are_not_utf8_arrive_as_they_are():
    assert parse(b'{"inputs": "a\xff"}', x=STRING).inputs["x"].item() == b"a\xff"


def test_empty_lists_keep_their_shape():
    assert parse('{"instances": [[], []]}', x=INT64).inputs["x"].shape == (2, 0)
    assert parse('{"inputs": []}', x=STRING).inputs["x"].shape == (0,)
    assert parse('{"instances": [{"b": [[]], "a": ""}]}', a=STRING, b=FLOAT).inputs["b"].shape == (1, 1, 0)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400, "9" * 5000])
def test_numbers_beyond_double(number):
    wanted = "Number too big to be stored in double. at offset"
    with pytest.raises(ServingError, match=wanted):
        parse(f'{{"inputs": {number}}}', x=FLOAT)
    with pytest.raises(ServingError, match=wanted):
        parse_examples(f'{{"examples": [{{"x": {number}}}]}}'.encode())


def test_infinity_is_no_such_number():
    assert parse('{"inputs": [Infinity, -Inf]}', x=FLOAT).inputs["x"].tolist() == [np.inf, -np.inf]


def test_whole_numbers_beyond_64_bits_are_decimal():
    assert parse(f'{{"inputs": {2**64}}}', x=FLOAT).inputs["x"] == np.float32(2**64)
    with pytest.raises(ServingError, match="not of expected type: int64"):
        parse(f'{{"inputs": {2**64}}}', x=INT64)


@pytest.mark.parametrize(("dtype", "bits"), [(FLOAT, 24), (DOUBLE, 53)])
def test_the_largest_whole_number_for_a_float(dtype, bits):
    largest = 2**bits - 1
    assert parse(f'{{"inputs": [{largest}, {-largest}]}}', x=dtype).inputs["x"].tolist() == [largest, -largest]
    for number in (largest + 1, -largest - 1):
        with pytest.raises(ServingError, match="without loss of precision"):
            parse(f'{{"inputs": {number}}}', x=dtype)


@pytest.mark.parametrize("key", ["inputs", "instances"])
def test_ranks(key):
    lists = MAX_RANK - 1 if key == "inputs" else MAX_RANK
    assert parse(f'{{"{key}": {lists * "["}"a"{lists * "]"}}}', x=STRING).inputs["x"].ndim == lists
    with pytest.raises(ServingError, match="at most 32 dimensions"):
        parse(f'{{"{key}": {60 * "["}"a"{60 * "]"}}}', x=STRING)


def test_an_empty_list_of_a_dtype_without_json():
    with pytest.raises(ServingError, match="to type: half") as caught:
        parse('{"inputs": []}', x=HALF)
    assert caught.value.code.name == "UNIMPLEMENTED"


def test_a_signature_without_inputs():
    with pytest.raises(ServingError, match="Failed to get input map for signature: DEFAULT"):
        parse('{"inputs": []}')


def test_slow_and_fast_agree():
    """A value that only the walk can take (here base64, and a large float) changes nothing for its neighbours."""
    slow = parse('{"instances": [{"a": 1, "b": "x"}, {"a": 1e30, "b": {"b64": "eQ=="}}]}', a=FLOAT, b=STRING).inputs
    assert slow["a"].tolist() == [1, np.float32(1e30)]
    assert slow["b"].tolist() == [b"x", b"y"]


@pytest.mark.parametrize(
    ("text", "data"), [("aGVsbG8=", b"hello"), ("aGVsbG8", b"hello"), (" aGVs\nbG8. ", b"hello"), ("", b"")]
)
def test_base64_as_absl_reads_it(text, data):
    assert decode_base64({"b64": text}) == data


@pytest.mark.parametrize("text", ["a", "aGVsbG8==", "====", "aG-_", "aGV=sbG8", "ñ"])
def test_what_absl_refuses(text):
    with pytest.raises(ServingError, match="Unable to base64 decode"):
        decode_base64({"b64": text})


def test_examples():
    found = parse_examples(
        b'{"signature_name": "s", "context": {"q": "z"}, '
        b'"examples": [{"a": [1, true], "b": 1.5, "c": [], "d": ["x", {"b64": "/w=="}]}, {"b": NaN}]}'
    )
    first, second = (Example.FromString(example).features.feature for example in found.examples)
    assert found.signature_name == "s"
    assert first["q"].bytes_list.value == second["q"].bytes_list.value == [b"z"]
    assert first["a"].int64_list.value == [1, 1]
    assert first["b"].float_list.value == [1.5]
    assert first["c"].WhichOneof("kind") is None
    assert first["d"].bytes_list.value == [b"x", b"\xff"]
    assert np.isnan(second["b"].float_list.value[0])
