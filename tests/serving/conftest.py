"""One server for the conformance cases: ours on loopback, or the one at `--server HOST:GRPC_PORT:REST_PORT`."""

import asyncio
import contextlib
import http.client
import threading
from dataclasses import dataclass

import pytest
from aiohttp import web

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


@contextlib.contextmanager
def rest_server(app):
    """Serves an aiohttp application on a free port of the loopback, and gives the port."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, access_log=None)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield runner.addresses[0][1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(runner.cleanup())
        loop.close()


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
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    from serving.core import Core
    from serving.options import Options
    from serving.protos import read_text
    from serving.rest import make_app

    path = request.getfixturevalue("models_config")
    core = Core(read_text(str(path), ModelServerConfig), Options())
    core.start()
    with rest_server(make_app(core, core.options)) as port:
        yield Address("127.0.0.1", 0, port)
    core.close()
