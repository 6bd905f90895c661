"""One server for the conformance cases: ours on loopback, or the one at `--server HOST:GRPC_PORT:REST_PORT`."""

import contextlib
import http.client
import socket
from dataclasses import dataclass

import pytest

from tests.serving.models import write


def pytest_addoption(parser):
    parser.addoption("--server", help="HOST:GRPC_PORT:REST_PORT of a server of the models of tests/serving/models.py")


@dataclass(frozen=True)
class Address:
    host: str
    grpc_port: int
    rest_port: int

    def rest(self, method, path, body=None, headers=None):
        """Status, headers and body of an answer."""
        connection = http.client.HTTPConnection(self.host, self.rest_port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(**options):
    """Our server with these options, on free ports of the loopback; gives its address."""
    from serving.options import Options
    from serving.server import Server

    address = Address("127.0.0.1", free_port(), free_port())
    server = Server(Options(port=address.grpc_port, rest_api_port=address.rest_port, drain_seconds=5, **options))
    try:
        server.start()
        yield address
    finally:
        server.stop()


@pytest.fixture(scope="session")
def models_config(tmp_path_factory):
    return write(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def server(request):
    given = request.config.getoption("--server", default=None)
    if given:
        host, grpc_port, rest_port = given.split(":")
        yield Address(host, int(grpc_port), int(rest_port))
        return
    config = str(request.getfixturevalue("models_config"))
    with serving(model_config_file=config, allow_version_labels_for_unavailable_models=True) as address:
        yield address
