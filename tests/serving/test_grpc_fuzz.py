"""Messages that were damaged on their way get a status that TensorFlow Serving gives too, and never stop the server."""

import random

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    regression_pb2,
)

from tests.serving.conformance_models import HALF, TYPES
from tests.serving.running import SECONDS, floats, predict_request, running

PREDICTION, MODELS = "/tensorflow.serving.PredictionService/", "/tensorflow.serving.ModelService/"
STATUSES = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED"}


def seeds(config):
    """(method, message) of whole requests."""
    example = (
        "input { example_list { examples { features { feature { key: 'x' value { float_list { value: 2 } } } } } } }"
    )
    spec = f"model_spec {{ name: '{HALF}' signature_name: '%s' }}"
    task = "tasks { %s method_name: 'tensorflow/serving/%s' }"
    tasks = task % (spec % "regress_x_to_y", "regress") + task % (spec % "classify_x_to_y", "classify")
    filtered = predict_request({"x": floats(1, 2, 3)}, HALF, "serving_default", 123)
    filtered.output_filter.append("y")
    several = {
        "int_tensor": np.int32([1, 2]),
        "str_tensor": np.array([b"a", b"b"]),
        "float_tensor": floats(1, 2),
        "dbl_tensor": np.float64([3]),
    }
    content = predict_request({}, TYPES, "string")
    content.inputs["x"].dtype = tf.string.as_datatype_enum
    content.inputs["x"].tensor_shape.dim.add(size=2)
    content.inputs["x"].tensor_content = b"\x01\x02abc"
    reload = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(config, reload.config)

    def parsed(kind, text):
        return text_format.Parse(text, kind())

    return [
        (PREDICTION + "Predict", filtered),
        (PREDICTION + "Predict", predict_request(several, TYPES, "several")),
        (PREDICTION + "Predict", content),
        (PREDICTION + "Classify", parsed(classification_pb2.ClassificationRequest, spec % "classify_x_to_y" + example)),
        (PREDICTION + "Regress", parsed(regression_pb2.RegressionRequest, spec % "regress_x_to_y" + example)),
        (PREDICTION + "MultiInference", parsed(inference_pb2.MultiInferenceRequest, tasks + example)),
        (
            PREDICTION + "GetModelMetadata",
            parsed(get_model_metadata_pb2.GetModelMetadataRequest, spec % "" + "metadata_field: 'signature_def'"),
        ),
        (MODELS + "GetModelStatus", parsed(get_model_status_pb2.GetModelStatusRequest, spec % "")),
        (MODELS + "HandleReloadConfigRequest", reload),
    ]


def damage(data: bytes, pick: random.Random) -> bytes:
    """A few bits turned, bytes lost, doubled or put in, or parts of it twice."""
    data = bytearray(data)
    for _ in range(pick.choice([1, 1, 2, 4, 8])):
        place = pick.randrange(len(data) + 1)
        how = pick.randrange(6)
        if how == 0 and data:
            data[place % len(data)] ^= 1 << pick.randrange(8)
        elif how == 1:
            del data[place : place + pick.randrange(1, 4)]
        elif how == 2:
            data[place:place] = pick.randbytes(pick.randrange(1, 8))
        elif how == 3:
            data[place:place] = data[pick.randrange(len(data) + 1) :][:20]
        elif how == 4:
            del data[place:]
        elif data:
            data[place % len(data)] = pick.choice([0, 1, 0x7F, 0x80, 0xFF])
    return bytes(data)


def parses(kind, data) -> bool:
    try:
        kind.FromString(data)
    except DecodeError:
        return False
    return True


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_messages(models_config, count):
    pick = random.Random(count)
    flags = {"model_config_file": str(models_config), "allow_version_labels_for_unavailable_models": True}
    with running(max_num_load_retries=0, max_request_bytes=1 << 20, **flags) as (_, client):
        cases = seeds(models_config.read_text())
        whole = cases[-1][1]
        for number in range(count):
            method, message = cases[number % len(cases)]
            data = damage(message.SerializeToString(), pick)
            status, said = send(client.channel, method, data)
            if status == "INTERNAL":  # what gRPC itself says of bytes that are no message
                assert not parses(type(message), data), (method, data, said)
            elif method.endswith("HandleReloadConfigRequest"):
                assert status in STATUSES | {"UNKNOWN"}, (data, said)
                client.models.HandleReloadConfigRequest(whole, SECONDS)
            else:
                assert status in STATUSES, (method, data, status, said)
        assert client.predict({"x": floats(2)}, HALF)[0]["y"].tolist() == [3]


def send(channel, method, data):
    """Status and message of a call with these bytes."""
    try:
        channel.unary_unary(method)(data, SECONDS)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def test_the_seeds_are_whole(models_config):
    with running(model_config_file=str(models_config), allow_version_labels_for_unavailable_models=True) as (_, client):
        for method, message in seeds(models_config.read_text()):
            assert send(client.channel, method, message.SerializeToString()) == ("OK", "")
