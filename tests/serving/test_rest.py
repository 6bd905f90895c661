"""Tests serving/rest.py: what is not in an answer's JSON. Bounds, CORS, metrics, clients that go away."""

import gzip
import json
import socket
import threading
from contextlib import contextmanager

import pytest

from serving.options import WAITING
from tests.serving.running import SECONDS, Address, eventually, free_port, running, running_rest
from tests.serving.tiny import gate, line

PREDICT = "/v1/models/default:predict"
METRICS = "/monitoring/prometheus/metrics"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("line")
    line(path / "1", 2.0)
    return str(path)


@pytest.fixture
def gated(tmp_path):
    gate(tmp_path / "gate" / "1")
    return str(tmp_path / "gate")


@contextmanager
def let_through(client):
    """At the end, whatever happened, nothing is left waiting at the gate: the server could not stop."""
    try:
        yield
    finally:
        client.predict({"count": 100}, signature="open")


def ask_seven(address):
    """Status and JSON of a request that waits at the gate."""
    status, _, body = address.rest("POST", PREDICT, '{"instances": ["7"]}')
    return status, json.loads(body)


def double(address, value=3.0, **arguments):
    return address.rest("POST", PREDICT, json.dumps({"instances": [value]}), **arguments)


def test_cors_headers_come_with_the_flag_alone(base):
    for enabled in (False, True):
        with running_rest(model_base_path=base, rest_api_enable_cors_support=enabled) as address:
            origin = {"Origin": "https://example.org"}
            for status, headers, _ in (double(address), address.rest("OPTIONS", PREDICT, headers=origin)):
                assert status == 200
                assert headers.get("Access-Control-Allow-Origin") == ("*" if enabled else None)
                assert headers.get("Access-Control-Allow-Methods") == ("POST, GET" if enabled else None)


def test_bodies_have_a_bound(base):
    with running_rest(model_base_path=base, max_request_bytes=1000) as address:
        status, _, body = address.rest("POST", PREDICT, b" " * 1001)
        assert status == 413
        assert "--max_request_bytes=1000" in json.loads(body)["error"]
        packed = gzip.compress(b" " * 5000)
        assert address.rest("POST", PREDICT, packed, {"Content-Encoding": "gzip"})[0] == 413
        assert double(address)[0] == 200


def test_bodies_may_be_compressed(base):
    with running_rest(model_base_path=base) as address:
        packed = gzip.compress(b'{"instances": [3.0]}')
        status, _, body = address.rest("POST", PREDICT, packed, {"Content-Encoding": "gzip"})
        assert (status, json.loads(body)) == (200, {"predictions": [6.0]})
        status, _, body = address.rest("POST", PREDICT, b"no gzip", {"Content-Encoding": "gzip"})
        assert status == 400
        assert json.loads(body)["error"]


def test_metrics_page(base, tmp_path):
    with running_rest(model_base_path=base) as address:
        double(address)
        address.rest("POST", PREDICT, "no JSON")
        address.rest("POST", "/v1/models/other:predict", "{}")
        status, headers, page = address.rest("GET", METRICS)
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = page.decode().splitlines()
        for name, code in (("default", "OK"), ("default", "INVALID_ARGUMENT")):
            assert f':tensorflow:serving:request_count{{model_name="{name}",status="{code}"}} 1.0' in lines
        latency = ':tensorflow:serving:request_latency_count{model_name="default",API="Predict",entrypoint="REST"} 1.0'
        assert latency in lines
    config = tmp_path / "monitoring.config"
    for text, path, status in (
        ("prometheus_config { enable: true path: '/page' }", "/page", 200),
        ("prometheus_config { enable: true path: '/page' }", METRICS, 404),
        ("", METRICS, 404),
    ):
        config.write_text(text)
        with running_rest(model_base_path=base, monitoring_config_file=str(config)) as address:
            assert address.rest("GET", path)[0] == status


def test_a_request_that_takes_too_long(gated):
    flags = {"rest_api_port": free_port(), "rest_api_timeout_in_ms": 300}
    with running(model_base_path=gated, **flags) as (server, client), let_through(client):
        address = Address("127.0.0.1", server.options.port, server.options.rest_api_port)
        assert ask_seven(address) == (504, {"error": "Timed out waiting for notification"})


def test_the_server_answers_while_models_run(gated):
    """Every thread that runs models waits at the gate: status and metrics come all the same."""
    flags = {"rest_api_port": free_port(), "rest_api_num_threads": 2}
    with running(model_base_path=gated, **flags) as (server, client), let_through(client):
        address = Address("127.0.0.1", server.options.port, server.options.rest_api_port)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(ask_seven(address))) for _ in range(3)]
        for thread in threads:
            thread.start()
        eventually(lambda: server.core._manager._models["default"][1].running == 2)
        assert address.rest("GET", "/v1/models/default")[0] == 200
        assert address.rest("GET", METRICS)[0] == 200
        assert answers == []
        client.predict({"count": 3}, signature="open")
        for thread in threads:
            thread.join(SECONDS)
        assert answers == 3 * [(200, {"predictions": [7.0]})]


def test_more_requests_than_may_wait(gated):
    flags = {"rest_api_port": free_port(), "rest_api_num_threads": 1}
    with running(model_base_path=gated, **flags) as (server, client):
        address = Address("127.0.0.1", server.options.port, server.options.rest_api_port)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(ask_seven(address))) for _ in range(WAITING + 3)]
        with let_through(client):
            for thread in threads:
                thread.start()
            eventually(lambda: len(answers) == 3)
            assert {status for status, _ in answers} == {429}
            assert "requests are waiting" in answers[0][1]["error"]
        for thread in threads:
            thread.join(SECONDS)
        assert [status for status, _ in answers[3:]] == WAITING * [200]


def test_clients_that_go_away(gated):
    with running(model_base_path=gated, rest_api_port=free_port()) as (server, client), let_through(client):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.options.rest_api_port), SECONDS) as connection:
                body = b'{"instances": ["7"]}'
                head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)
        client.predict({"count": 6}, signature="open")
        outputs, _ = client.predict({"text": [b"7"]})
        assert outputs["number"].tolist() == [7]
