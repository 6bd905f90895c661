"""One server for the conformance cases: ours on loopback, or the one at `--server HOST:GRPC_PORT:REST_PORT`."""

import pytest

from tests.serving.conformance_models import write
from tests.serving.running import Address, running_rest


def pytest_addoption(parser):
    parser.addoption(
        "--server", help="HOST:GRPC_PORT:REST_PORT of a server of the models of tests/serving/conformance_models.py"
    )


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
    with running_rest(model_config_file=config, allow_version_labels_for_unavailable_models=True) as address:
        yield address
