"""Servers of ours on free ports, the official client of gRPC, and one of REST."""

import http.client
import socket
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.options import Options
from serving.server import Server
from serving.spec import State

SECONDS = 30  # no answer may take that long


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def running(**flags):
    """A server with these flags, and a client of its gRPC port."""
    flags = {"port": free_port(), "file_system_poll_wait_seconds": 0, **flags}
    server = Server(Options(**flags))
    try:
        server.start()
        with Client(f"127.0.0.1:{flags['port']}") as client:
            yield server, client
    finally:
        server.stop()


@dataclass(frozen=True)
class Address:
    """Of a server, ours or another."""

    host: str
    grpc_port: int
    rest_port: int

    def rest(self, method, path, body=None, headers=None):
        """Status, headers and body of an answer."""
        with closing(http.client.HTTPConnection(self.host, self.rest_port, timeout=SECONDS)) as connection:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()


@contextmanager
def running_rest(**flags):
    """A server with these flags that answers REST too; gives its address."""
    with running(rest_api_port=free_port(), **flags) as (server, _):
        yield Address("127.0.0.1", server.options.port, server.options.rest_api_port)


class Client:
    """TensorFlow Serving's stubs, and the requests that tests make most."""

    def __init__(self, address: str, credentials=None):
        made = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
        self.channel = made
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(made)
        self.models = model_service_pb2_grpc.ModelServiceStub(made)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def predict(self, inputs, name="default", signature="", version=None, timeout=SECONDS):
        """(outputs, version) of a Predict."""
        answer = self.prediction.Predict(predict_request(inputs, name, signature, version), timeout)
        return {key: tf.make_ndarray(value) for key, value in answer.outputs.items()}, answer.model_spec.version.value

    def states(self, name="default"):
        """State and message by version."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        found = self.models.GetModelStatus(request, SECONDS).model_version_status
        return {each.version: (State(each.state), each.status.error_message) for each in found}


def predict_request(inputs, name="default", signature="", version=None):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    if version is not None:
        request.model_spec.version.value = version
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def floats(*values):
    return np.array(values, np.float32)


def eventually(holds, seconds=SECONDS):
    """Waits until `holds()`, and fails when it does not come to that."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found
