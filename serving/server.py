"""A running server: the core, gRPC and REST in front of it, from start to drain."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from serving.batching import Parameters, parameters
from serving.config import single_model
from serving.core import Core
from serving.errors import ServingError
from serving.listener import Listener
from serving.options import WAITING, Options
from serving.protos import BatchingParameters, SSLConfig, read_text
from serving.rest import make_app
from serving.services import ModelService, PredictionService

SERVICES = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")

log = logging.getLogger(__name__)


class Server:
    """`start` returns when every model is served and the ports are open, `stop` when the last request is answered."""

    def __init__(self, options: Options):
        """Raises ServingError when a file that the options name cannot be used."""
        self.options = options
        batching = _batching(options)
        self._credentials = credentials(options.ssl_config_file)
        self.core = Core(_config(options), options, batching)
        self._stopped = threading.Event()
        self._grpc: grpc.Server | None = None
        self._rest: Any = None
        self._health = health.HealthServicer()

    def start(self) -> None:
        """Raises ServingError when a model cannot be served or a port is taken."""
        self.core.start(self._stopped.is_set)
        if self._stopped.is_set():
            return
        if self.options.model_config_file and self.options.model_config_file_poll_wait_seconds > 0:
            threading.Thread(target=self._poll_config, name="config", daemon=True).start()
        if self.options.port or self.options.grpc_socket_path:
            self._start_grpc()
        if self.options.rest_api_port:
            self._start_rest()

    def interrupt(self) -> None:
        """Makes `wait` return, and a `start` that waits for a model; may be called from a signal handler."""
        self._stopped.set()

    def wait(self) -> None:
        while not self._stopped.wait(3600):
            pass

    def stop(self) -> None:
        """Drains: no new requests, those under way are answered for up to --drain_seconds; then unloads the models."""
        self._stopped.set()
        self._health.enter_graceful_shutdown()
        done = self._grpc.stop(self.options.drain_seconds) if self._grpc else None
        if self._rest:
            self._rest.stop()
        if done:
            done.wait()
        self.core.close()
        if self.options.grpc_socket_path:
            with suppress(OSError):
                Path(self.options.grpc_socket_path).unlink()

    def _start_grpc(self) -> None:
        options = self.options
        server = grpc.server(
            ThreadPoolExecutor(options.grpc_max_threads, "grpc"),
            options=_channel_arguments(options),
            maximum_concurrent_rpcs=WAITING * options.grpc_max_threads,
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(self.core), server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(self.core), server)
        if options.enable_grpc_healthcheck_service:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            for name in SERVICES:
                self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        addresses = [f"{options.host}:{options.port}"] if options.port else []
        addresses += [f"unix:{options.grpc_socket_path}"] if options.grpc_socket_path else []
        for address in addresses:
            try:
                if self._credentials:
                    server.add_secure_port(address, self._credentials)
                else:
                    server.add_insecure_port(address)
            except RuntimeError as error:
                raise ServingError("UNAVAILABLE", f"cannot listen on {address}: {error}") from error
        server.start()
        self._grpc = server
        for address in addresses:
            log.info("Running gRPC ModelServer at %s ...", address)

    def _start_rest(self) -> None:
        options = self.options
        app = make_app(self.core, options)
        self._rest = Listener(app, options.host, options.rest_api_port, options.drain_seconds)
        log.info("Exporting HTTP/REST API at:%s:%d ...", options.host, options.rest_api_port)

    def _poll_config(self) -> None:
        """Applies the config file again and again: a label may become possible while the file stays as it is."""
        problem = ""
        while not self._stopped.wait(self.options.model_config_file_poll_wait_seconds):
            try:
                self.core.reload_config(_config(self.options))
                problem = ""
            except ServingError as error:
                if error.message != problem:
                    log.error("%s: not reloaded: %s", self.options.model_config_file, error.message)
                problem = error.message


def _config(options: Options) -> Any:
    if options.model_config_file:
        return read_text(options.model_config_file, model_server_config_pb2.ModelServerConfig)
    base_path = options.model_base_path
    return single_model(options.model_name, base_path if "://" in base_path else str(Path(base_path).absolute()))


def _batching(options: Options) -> Parameters | None:
    if not options.enable_batching:
        return None
    if not options.batching_parameters_file:
        return Parameters()
    return parameters(read_text(options.batching_parameters_file, BatchingParameters))


def credentials(ssl_config_file: str) -> grpc.ServerCredentials | None:
    """TLS of an SSLConfig, whose fields hold the PEM texts themselves; None without a file."""
    if not ssl_config_file:
        return None
    config = read_text(ssl_config_file, SSLConfig)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def _channel_arguments(options: Options) -> list[tuple[str, int | str]]:
    """--grpc_channel_arguments, which win, after the bounds on messages and on sharing a port."""
    given: dict[str, int | str] = {
        "grpc.so_reuseport": 0,  # a second server on the port is an error
        "grpc.max_receive_message_length": options.max_request_bytes,
        "grpc.max_send_message_length": -1,
    }
    for argument in filter(None, options.grpc_channel_arguments.split(",")):
        name, sign, value = argument.partition("=")
        if not sign:
            raise ServingError("INVALID_ARGUMENT", f"--grpc_channel_arguments: {argument!r}; wanted name=value")
        given[name] = int(value) if value.lstrip("-").isdigit() else value
    return list(given.items())
