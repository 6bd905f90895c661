"""The REST cases of rest_cases.py, put to a server over the wire: ours, or the one that `--server` names."""

import json

import pytest

from tests.serving.conformance_models import HALF, VERSION
from tests.serving.rest_cases import CASES, PATHS, Error, Text, text

FLOAT = {
    "dtype": "DT_FLOAT",
    "tensor_shape": {"dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}], "unknown_rank": False},
}
STRING = {"dtype": "DT_STRING", "tensor_shape": {"dim": [], "unknown_rank": True}}


@pytest.mark.parametrize("case", CASES, ids=[f"{path} {name}" for name, path, *_ in CASES])
def test_case(server, case):
    _, path, body, wanted = case
    status, headers, got = server.rest("GET" if body is None else "POST", f"/v1/models/{path}", text(body))
    assert headers["Content-Type"] == "application/json"
    if isinstance(wanted, Error):
        assert status == wanted.status, got
        assert wanted.part in json.loads(got.decode(errors="replace"))["error"]
        return
    assert status == 200, got
    if isinstance(wanted, Text):
        assert wanted.text in got.decode("utf-8", "surrogateescape")
    else:
        assert json.loads(got) == wanted


@pytest.mark.parametrize(("method", "path", "status", "part"), PATHS, ids=[f"{case[0]} {case[1]}" for case in PATHS])
def test_paths(server, method, path, status, part):
    found, _, body = server.rest(method, path)
    assert found == status
    assert part in json.loads(body)["error"]


def test_a_version_beyond_int64(server):
    # The real server leaves this answer's body empty.
    status, _, body = server.rest("POST", f"/v1/models/foo/versions/{2**64 - 1}:regress")
    assert status == 400
    assert not body or "Failed to convert version" in json.loads(body)["error"]


def test_outside_of_v1(server):
    assert server.rest("GET", "/statuspage")[0] == server.rest("GET", "/v1models")[0] == 404


def test_the_prefix_is_of_any_case(server):
    assert server.rest("GET", f"/V1/Models/{HALF}")[0] == 200


def test_options_wants_an_origin(server):
    assert server.rest("OPTIONS", f"/v1/models/{HALF}:predict")[0] == 400
    assert server.rest("OPTIONS", f"/v1/models/{HALF}:predict", headers={"Origin": "http://example.org"})[0] == 200


def test_metadata(server):
    def signature(method, tensor, output, dtype=FLOAT, **names):
        ((given, made),) = names.items()
        return {
            "inputs": {given: {**dtype, "name": tensor}},
            "outputs": {made: {**FLOAT, "name": output}},
            "method_name": f"tensorflow/serving/{method}",
            "defaults": {},
        }

    wanted = {
        "model_spec": {"name": HALF, "signature_name": "", "version": str(VERSION)},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": signature("predict", "x:0", "y:0", x="y"),
                    "regress_x_to_y": signature("regress", "tf_example:0", "y:0", STRING, inputs="outputs"),
                    "regress_x_to_y2": signature("regress", "tf_example:0", "y2:0", STRING, inputs="outputs"),
                    "regress_x2_to_y3": signature("regress", "x2:0", "y3:0", inputs="outputs"),
                    "classify_x_to_y": signature("classify", "tf_example:0", "y:0", STRING, inputs="scores"),
                    "classify_x2_to_y3": signature("classify", "x2:0", "y3:0", inputs="scores"),
                }
            }
        },
    }
    for path in (HALF, f"{HALF}/versions/{VERSION}"):
        status, _, body = server.rest("GET", f"/v1/models/{path}/metadata")
        assert status == 200
        assert json.loads(body) == wanted
