"""Broken bodies get an answer, never a crash, and no status that TensorFlow Serving would not give."""

import json

import pytest

from tests.serving.conformance_models import HALF
from tests.serving.rest_fuzz import send


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_fuzzed_bodies(server, count):
    statuses, wrong = send(server.host, server.rest_port, count, seed=count)
    assert wrong == []
    assert statuses.total() == count
    assert statuses[200] and statuses[400]
    _, _, body = server.rest("POST", f"/v1/models/{HALF}:predict", '{"instances": [1.0]}')
    assert json.loads(body) == {"predictions": [2.5]}
