# ruff: noqa: E501  a case a line
"""REST's conformance cases, re-written from TensorFlow Serving's http_rest_api_handler_test.cc, json_tensor_test.cc,
http_rest_api_util_test.cc and tensorflow_model_server_test.py, and put to a server over the wire.

A case: name, path (after /v1/models/), body (None: a GET; bytes and str as they are), and what must come back: JSON
compared by value, `Text` found in the body as it is, or `Error` (status, part of the message).
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from tests.serving.conformance_models import HALF, LABEL, TYPES, VERSION


@dataclass(frozen=True)
class Error:
    status: int
    part: str


@dataclass(frozen=True)
class Text:
    text: str


INVALID = 400
PREDICT, ECHO = f"{HALF}:predict", f"{TYPES}:predict"
VERSION_PATH, LABEL_PATH = f"{HALF}/versions/{VERSION}", f"{HALF}/labels/{LABEL}"
REGRESS = {"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}]}
CLASSIFY = {"signature_name": "classify_x_to_y"}
STATUS = {
    "model_version_status": [
        {"version": str(VERSION), "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
}
SEVERAL = {
    "int_tensor": [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]],
    "str_tensor": [["foo", "bar"], ["baz", "bat"]],
    "float_tensor": [[1.0], [2.0]],
    "dbl_tensor": [8.0, 9.0],
}
ROWS = [dict(zip(SEVERAL, values, strict=True)) for values in zip(*SEVERAL.values(), strict=True)]


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def echo(signature: str, **members: Any) -> dict[str, Any]:
    return {"signature_name": signature, **members}


def wrong(signature: str, *instances: Any) -> str:
    """A body of instances, each the text of a JSON value."""
    return f'{{"signature_name": "{signature}", "instances": [{", ".join(map(str, instances))}]}}'


PATHS = [
    # (method, path, status, part of the message)
    ("GET", "/v1/foo", INVALID, "Malformed request: GET /v1/foo"),
    ("POST", "/v1/foo", INVALID, "Malformed request: POST /v1/foo"),
    ("GET", "/v1/models", INVALID, "Missing model name in request."),
    ("GET", "/v1/models/debug/model_name", INVALID, "Malformed request"),
    ("POST", "/v1/models", INVALID, "Malformed request"),
    ("GET", "/v1/models/foo:predict", INVALID, "Malformed request"),
    ("GET", "/v1/models/foo/version/50:predict", INVALID, "Malformed request"),
    ("POST", "/v1/models/foo/version/50:regress", INVALID, "Malformed request"),
    ("POST", "/v1/models/foo/versions/HELLO:regress", INVALID, "Malformed request"),
    ("POST", "/v1/models/foo/metadata", INVALID, "Malformed request"),
    ("POST", "/v1/models/foo/label/some_label:regress", INVALID, "Malformed request"),
    ("POST", "/v1/models/foo/versions/50/labels/some_label:regress", INVALID, "Malformed request"),
    ("PUT", f"/v1/models/{PREDICT}", INVALID, "Malformed request: PUT"),
    ("DELETE", f"/v1/models/{HALF}", INVALID, "Malformed request: DELETE"),
    ("POST", f"/v1/models/{HALF}:PREDICT", INVALID, "Malformed request"),
    ("GET", "/v1/models/no%2Fsuch%21", 404, "Could not find any versions of model no/such!"),
    ("GET", f"/v1/models/{HALF}/versions/9", 404, f"Could not find version 9 of model {HALF}"),
    ("GET", "/v1/models/foo/metadata", 404, "Servable not found for request: Latest(foo)"),
]

HANDLER = [
    ("unknown model", "foo:predict", {"instances": [1]}, Error(404, "Servable not found for request: Latest(foo)")),
    ("unknown model and version", "foo/versions/50:predict", {"instances": [1]}, Error(404, "Specific(foo, 50)")),
    ("unknown version", f"{HALF}/versions/99:predict", {"instances": [1]}, Error(404, f"Specific({HALF}, 99)")),
    ("empty document", PREDICT, "", Error(INVALID, "JSON Parse error: The document is empty")),
    ("not JSON", PREDICT, "instances = [1, 2]", Error(INVALID, "JSON Parse error: Invalid value. at offset: 0")),
    ("wrong type", PREDICT, {"instances": ["x", "y"]}, Error(INVALID, "not of expected type: float")),
    (
        "unknown label",
        f"{HALF}/labels/none:predict",
        {"instances": [1]},
        Error(INVALID, "Unrecognized servable version label: none"),
    ),
    (
        "signature_name a number",
        PREDICT,
        {"signature_name": 100},
        Error(INVALID, "'signature_name' key must be a string value."),
    ),
    (
        "unknown signature",
        PREDICT,
        echo("x", instances=[1]),
        Error(INVALID, 'Serving signature name: "x" not found in signature def'),
    ),
    ("not an object", PREDICT, [1], Error(INVALID, "Is not object")),
    ("predict", PREDICT, {"instances": [[1.0, 2.0], [3.0, 4.0]]}, {"predictions": [[2.5, 3.0], [3.5, 4.0]]}),
    ("predict, version", f"{VERSION_PATH}:predict", {"instances": [1.0, 2.0]}, {"predictions": [2.5, 3.0]}),
    ("predict, label", f"{LABEL_PATH}:predict", {"instances": [1.0, 2.0]}, {"predictions": [2.5, 3.0]}),
    (
        "predict, signature",
        f"{VERSION_PATH}:predict",
        echo("serving_default", instances=[3.0, 4.0]),
        {"predictions": [3.5, 4.0]},
    ),
    (
        "predict, columns",
        f"{VERSION_PATH}:predict",
        echo("serving_default", inputs=[3.0, 4.0]),
        {"outputs": [3.5, 4.0]},
    ),
    ("predict, columns, named", PREDICT, {"inputs": {"x": [[3.0], [4.0]]}}, {"outputs": [[3.5], [4.0]]}),
    ("regress", f"{HALF}:regress", REGRESS, {"results": [42]}),
    ("regress, version", f"{VERSION_PATH}:regress", REGRESS, {"results": [42]}),
    ("regress, label", f"{LABEL_PATH}:regress", REGRESS, {"results": [42]}),
    (
        "regress, unknown signature",
        f"{HALF}:regress",
        {**REGRESS, "signature_name": "x"},
        Error(INVALID, "No signature was found with the name: x"),
    ),
    ("classify", f"{HALF}:classify", {**CLASSIFY, "examples": [{"x": 20.0}]}, {"results": [[["", 12]]]}),
    ("classify, label", f"{LABEL_PATH}:classify", {**CLASSIFY, "examples": [{"x": 10.0}]}, {"results": [[["", 7]]]}),
    ("status", HALF, None, STATUS),
    ("status, version", VERSION_PATH, None, STATUS),
    ("status, label", LABEL_PATH, None, STATUS),
]

INPUTS = [
    ("nested", ECHO, echo("int32", instances=[[1, 2], [3, 4], [5, 6]]), {"predictions": [[1, 2], [3, 4], [5, 6]]}),
    ("whole and decimal for float", ECHO, echo("float", instances=[1, 2.0, 5.003, 0.007, 0.0]), {"predictions": [1, 2, 5.003, 0.007, 0]}),
    ("whole and decimal for double", ECHO, echo("double", instances=[1.0, 2, 0.662, 0]), {"predictions": [1, 2, 0.662, 0]}),
    ("int64 keeps its digits", ECHO, echo("int64", instances=[2**63 - 1, -(2**63)]), {"predictions": [2**63 - 1, -(2**63)]}),
    ("uint64", ECHO, echo("uint64", instances=[2**64 - 1]), {"predictions": [2**64 - 1]}),
    ("bool", ECHO, echo("bool", instances=[True, False]), {"predictions": [True, False]}),
    ("small ints are cut", ECHO, echo("int8", instances=[1, 300]), {"predictions": [1, 44]}),
    ("infinity and NaN", ECHO, wrong("float", "NaN", "Infinity", "-Infinity", 3), Text('"predictions": [NaN, Infinity, -Infinity, 3.0')),
    ("base64", ECHO, echo("string", instances=[b64(b"hello"), b64(b"world")]), {"predictions": ["hello", "world"]}),
    ("base64 in lists", ECHO, echo("string", instances=[[b64(b"hello")], ["world"]]), {"predictions": [["hello"], ["world"]]}),
    ("base64, named", ECHO, echo("string", instances=[{"x": [[b64(b"hello")], ["world"]]}]), {"predictions": [[["hello"], ["world"]]]}),
    ("bytes out", ECHO, echo("bytes", instances=[b64(b"\xff\x00"), "tf"]), {"predictions": [b64(b"\xff\x00"), b64(b"tf")]}),
    ("bytes and text out", ECHO, echo("mixed", instances=["a"]), {"predictions": [{"s_bytes": b64(b"a"), "text": "A"}]}),
    ("text out is raw", ECHO, echo("string", instances=[b64(b"\xff")]), Text('"\udcff"')),
    ("several inputs, rows", ECHO, echo("several", instances=ROWS), {"predictions": ROWS}),
    ("several inputs, columns", ECHO, echo("several", inputs=SEVERAL), {"outputs": SEVERAL}),
    ("extra named input, columns", ECHO, echo("several", inputs={**SEVERAL, "z": 1}), {"outputs": SEVERAL}),
    ("one input, columns", ECHO, echo("int32", inputs=[[[1, 2]]]), {"outputs": [[[1, 2]]]}),
    ("one value, columns", ECHO, echo("string", inputs=b64(b"hello")), {"outputs": "hello"}),
    ("signature_name mattering", ECHO, echo("uint32", inputs={"x": [4294967295]}), {"outputs": [4294967295]}),
]  # fmt: skip

WRONG_INPUTS = [
    ("both keys", ECHO, {"signature_name": "int32", "instances": [1], "inputs": [1]}, Error(INVALID, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys")),
    ("neither key", ECHO, {"signature_name": "int32"}, Error(INVALID, "Missing 'inputs' or 'instances' key")),
    ("instances no list", ECHO, echo("int32", instances=1), Error(INVALID, "Excepting 'instances' to be an list/array")),
    ("no instances", ECHO, echo("int32", instances=[]), Error(INVALID, "No values in 'instances' array")),
    ("other size", ECHO, echo("int32", instances=[[1, 2], [3, 4], [5, 6, 7]]), Error(INVALID, "Expecting tensor size: 2 but got: 3")),
    ("other shape", ECHO, echo("int32", instances=[[1, 2], [3, 4], [[5, 6]]]), Error(INVALID, "Expecting shape [2] but got: [1,2]")),
    ("scalar and list", ECHO, echo("int32", instances=[1, [1]]), Error(INVALID, "Expecting shape [] but got: [1]")),
    ("ragged inside", ECHO, echo("int32", instances=[[[1], [2, 3]]]), Error(INVALID, "Encountered list at unexpected size: 2 at level: 1 expected size: 1")),
    ("ragged depth", ECHO, echo("int32", inputs=[1, [2]]), Error(INVALID, "Encountered list at unexpected level: 1 expected < 1")),
    ("value too high", ECHO, echo("int32", inputs=[[1], 2]), Error(INVALID, "found at incorrect level: 2 in the JSON DOM. Expected at level: 2")),
    ("string for int", ECHO, echo("int32", instances=[[1, 2], ["a", "b"]]), Error(INVALID, 'Failed to process element: 1 of \'instances\' list. Error: INVALID_ARGUMENT: JSON Value: "a" Type: String is not of expected type: int32')),
    ("decimal for int", ECHO, wrong("int32", "1.0"), Error(INVALID, "JSON Value: 1.0 Type: Number is not of expected type: int32")),
    ("too large for int32", ECHO, wrong("int32", 2**31), Error(INVALID, "is not of expected type: int32")),
    ("number for string", ECHO, wrong("string", 1), Error(INVALID, "JSON Value: 1 Type: Number is not of expected type: string")),
    ("null", ECHO, wrong("string", "null"), Error(INVALID, "JSON Value: null Type: Null is not of expected type: string")),
    ("bool for int", ECHO, wrong("int64", "true"), Error(INVALID, "Type: True is not of expected type: int64")),
    ("largest double for float", ECHO, wrong("float", "1.7976931348623157e308"), Error(INVALID, "to float without loss of precision.")),
    ("16777217 for float", ECHO, wrong("float", 16777217), Error(INVALID, "Cannot convert JSON value: 16777217 to float without loss of precision.")),
    ("9007199254740993 for double", ECHO, wrong("double", 9007199254740993), Error(INVALID, "to double without loss of precision.")),
    ("a number beyond double", ECHO, wrong("double", "1e999"), Error(INVALID, "JSON Parse error: Number too big to be stored in double.")),
    ("half", ECHO, wrong("half", 1), Error(INVALID, "UNIMPLEMENTED: Conversion of JSON Value: 1 to type: half")),
    ("not base64", ECHO, echo("string", inputs=[{"b64": "!"}]), Error(INVALID, "Unable to base64 decode")),
    ("base64 and more", ECHO, echo("string", inputs=[{"b64": "", "x": 1}]), Error(INVALID, "not formatted correctly for base64 data")),
    ("bytes that are no example", ECHO, echo("classify", instances=[b64(b"\xff")]), Error(INVALID, "Could not parse example input, value: '")),
    ("list for several inputs", ECHO, echo("several", instances=[1]), Error(INVALID, "instances is a plain list, but expecting list of objects")),
    ("columns list for several inputs", ECHO, echo("several", inputs=[1]), Error(INVALID, "inputs is a plain value/list, but expecting an object")),
    ("list among objects", ECHO, echo("several", instances=[ROWS[0], [1, 20, 30]]), Error(INVALID, "Expecting object but got list at item 1 of input list")),
    ("object among lists", ECHO, echo("string", instances=["baz", {"x": "bat"}]), Error(INVALID, "Expecting value/list but got object at item 1")),
    ("missing input, row", ECHO, echo("several", instances=[{k: v for k, v in ROWS[0].items() if k != "int_tensor"}]), Error(INVALID, "keys must be equal to: dbl_tensor,float_tensor,int_tensor,str_tensor")),
    ("unknown input, row", ECHO, echo("int32", instances=[{"z": 1}]), Error(INVALID, "key: z of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: z")),
    ("missing input, columns", ECHO, echo("several", inputs={"int_tensor": 1}), Error(INVALID, "Missing named input: dbl_tensor in 'inputs' object.")),
    ("other size, named", ECHO, echo("several", instances=[ROWS[0], {**ROWS[1], "int_tensor": [[7, 8]]}]), Error(INVALID, "Failed to process element: 1 key: int_tensor of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 6 but got: 2")),
]  # fmt: skip

OUTPUTS = [
    ("six digits", ECHO, echo("float", instances=[[9000000, 999999, 0.5], [0.0003, 0.00003, 555557.5]]), Text("[[9e+06, 999999.0, 0.5], [0.0003, 3e-05, 555557.5]")),
    ("nine digits", ECHO, echo("float", inputs=0.333333343), Text('"outputs": 0.333333343\n')),
    ("double", ECHO, echo("double", inputs=[0.1, 0.12345678901234568]), Text("0.1,\n        0.12345678901234568\n")),
    ("no dimension, row", ECHO, echo("scalar", instances=[1.0]), Error(INVALID, "Tensor name: y has no shape information")),
    ("no dimension, columns", ECHO, echo("scalar", inputs=[1.0, 2.0]), {"outputs": 3.0}),
    ("uneven, row", ECHO, echo("uneven", instances=[1]), Error(INVALID, "has inconsistent batch size")),
    ("uneven, columns", ECHO, echo("uneven", inputs=[1]), {"outputs": {"a": [1], "b": [1, 1]}}),
    ("complex", ECHO, echo("complex", instances=[1.0]), Error(INVALID, "Failed to write JSON value for tensor type: complex64")),
    ("empty batch", ECHO, echo("none", instances=[1.0]), {"predictions": []}),
]  # fmt: skip


def example(**features: Any) -> dict[str, Any]:
    return {"signature_name": "classify", "examples": [features]}


EXAMPLES_PATH = f"{TYPES}:classify"
GOOD = {"names": ["foo", b64(b"bar")], "ratings": [8.0, 9.5]}
EXAMPLES = [
    ("labels and scores", EXAMPLES_PATH, {"signature_name": "classify", "examples": [GOOD, GOOD]}, {"results": 2 * [[["foo", 8.0], ["bar", 9.5]]]}),
    ("context", EXAMPLES_PATH, {"signature_name": "context", "context": {"query": "pizza"}, "examples": [{"age": 20}, {"age": [True]}]}, {"results": [[["pizza", 0], ["20", 0]], [["pizza", 0], ["1", 0]]]}),
    ("not finite", f"{TYPES}:regress", '{"signature_name": "regress", "examples": [{"x": 0.5}, {"x": Infinity}, {"x": NaN}]}', Text('"results": [0.5, Infinity, NaN]')),
    ("signature_name a list", EXAMPLES_PATH, {"signature_name": ["hello"], "examples": [GOOD]}, Error(INVALID, "'signature_name' key must be a string")),
    ("no examples key", EXAMPLES_PATH, {"context": {}}, Error(INVALID, "key 'examples' is expected and was not found")),
    ("context a list", EXAMPLES_PATH, {"context": [GOOD]}, Error(INVALID, "Example must be JSON object but got JSON Array")),
    ("examples an object", EXAMPLES_PATH, {"examples": GOOD}, Error(INVALID, "Expecting 'examples' value to be an list/array")),
    ("no examples", EXAMPLES_PATH, {"examples": []}, Error(INVALID, "'examples' value is an empty array")),
    ("example a list", EXAMPLES_PATH, {"examples": [[GOOD]]}, Error(INVALID, "Example must be JSON object but got JSON Array")),
    ("null", EXAMPLES_PATH, example(names=[10, None]), Error(INVALID, "Feature: names has element with unexpected JSON type: Null")),
    ("two kinds", EXAMPLES_PATH, example(names=[10, 10.0]), Error(INVALID, "Unexpected element type in feature: names expecting type: int64")),
    ("object", EXAMPLES_PATH, example(names=[10, {"test": 10}]), Error(INVALID, "names has element with unexpected JSON type: Object")),
    ("list in list", EXAMPLES_PATH, example(names=[[10], 20]), Error(INVALID, "names has element with unexpected JSON type: Array")),
    ("uint64", EXAMPLES_PATH, example(names=[20, 18446744073709551603]), Error(INVALID, "Only int64 is supported")),
    ("largest double", EXAMPLES_PATH, example(names=1.7976931348623157e308), Error(INVALID, "to float without loss of precision.")),
]  # fmt: skip


CASES = [*HANDLER, *INPUTS, *WRONG_INPUTS, *OUTPUTS, *EXAMPLES]


def text(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()
