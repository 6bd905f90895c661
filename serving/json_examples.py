"""Bodies of REST's classify and regress: JSON objects to serialised tf.train.Examples, as TensorFlow Serving does.

Source of every rule and text: tensorflow_serving/util/json_tensor.cc.
"""

import struct
from dataclasses import dataclass
from typing import Any

from tensorflow.core.example.example_pb2 import Example
from tensorflow.core.example.feature_pb2 import Feature

from serving.json_tensor import signature_name
from serving.json_text import invalid, is_64_bits, read, read_exactly, show
from serving.json_values import FLOAT, decode_base64, is_base64, lossless, type_name

KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
INFINITIES = struct.pack("<f", float("inf")), struct.pack("<f", float("-inf"))


@dataclass(frozen=True)
class ExamplesBody:
    """signature_name: "" if not given. examples: serialised tf.train.Examples, the context merged into each."""

    signature_name: str
    examples: list[bytes]


def parse_examples(body: bytes) -> ExamplesBody:
    """Reads a classify or regress body. Raises ServingError with TensorFlow Serving's text."""
    try:
        parsed = _examples(read(body))
    except OverflowError:  # a whole number of 400 digits, which Python's parser lets through
        return _examples(read_exactly(body))
    if any(infinity in example for example in parsed.examples for infinity in INFINITIES):
        read_exactly(body)  # refuses 1e999, which Python's parser reads as infinity
    return parsed


def _examples(document: Any) -> ExamplesBody:
    name = signature_name(document)
    # Serialised messages merge when joined.
    context = _example(document["context"]) if "context" in document else b""
    examples = document.get("examples")
    for wrong, message in (
        ("examples" not in document, "When method is classify, key 'examples' is expected and was not found"),
        (type(examples) is not list, "Expecting 'examples' value to be an list/array"),
        (examples == [], "'examples' value is an empty array"),
    ):
        if wrong:
            raise invalid(f"JSON Value: {show(document)} {message}")
    return ExamplesBody(name, [context + _example(example) for example in examples or []])


def _example(value: Any) -> bytes:
    if type(value) is not dict:
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    example = Example()
    for name, content in value.items():
        feature = example.features.feature[name]
        for element in content if type(content) is list else [content]:
            _add(element, name, feature)
    return example.SerializeToString()


def _add(value: Any, name: str, feature: Feature) -> None:
    kind, element = _element(value, name)
    known = feature.WhichOneof("kind") or kind
    if known != kind:
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {KINDS[known]}")
    if kind == "float_list":
        element = lossless(element, FLOAT)
    elif kind == "bytes_list":
        element = element if type(element) is bytes else decode_base64(element)
    elif not -(2**63) <= element < 2**63:
        raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    getattr(feature, kind).value.append(element)


def _element(value: Any, name: str) -> tuple[str, Any]:
    """The list of a Feature that a JSON value belongs to, and the value, not yet checked."""
    kind = type(value)
    if kind is float or (kind is int and not is_64_bits(value)):
        return "float_list", float(value)
    if kind in (bool, int):
        return "int64_list", int(value)
    if kind in (str, bytes):
        return "bytes_list", value.encode() if kind is str else value
    if is_base64(value):
        return "bytes_list", value
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
