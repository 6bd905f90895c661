"""The gRPC services: messages in and out of the core."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
from google.protobuf.any_pb2 import Any as AnyMessage
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.core import Core
from serving.errors import ServingError
from serving.inference import Classification
from serving.wire import Tensors, encode, examples_of, read_spec, write_spec

LONGEST_MESSAGE = 1024  # theirs: a status travels in a header, which gRPC bounds

log = logging.getLogger(__name__)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, core: Core):
        self._core = core

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._answering("Predict", request.model_spec, context) as timeout:
            inputs = Tensors(request.inputs, self._core.options.max_request_bytes)
            spec, outputs = self._core.predict(read_spec(request.model_spec), inputs, request.output_filter, timeout)
            response = predict_pb2.PredictResponse()
            write_spec(spec, response.model_spec)
            for name, value in outputs.items():
                encode(value, response.outputs[name], self._core.options.enable_serialization_as_tensor_content)
        return response

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._answering("Classify", request.model_spec, context) as timeout:
            spec, result = self._core.classify(read_spec(request.model_spec), examples_of(request.input), timeout)
            response = classification_pb2.ClassificationResponse()
            write_spec(spec, response.model_spec)
            _write_classification(result, response.result)
        return response

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._answering("Regress", request.model_spec, context) as timeout:
            spec, values = self._core.regress(read_spec(request.model_spec), examples_of(request.input), timeout)
            response = regression_pb2.RegressionResponse()
            write_spec(spec, response.model_spec)
            _write_regression(values, response.result)
        return response

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        spec = request.tasks[0].model_spec if request.tasks else None
        with self._answering("MultiInference", spec, context) as timeout:
            tasks = [(read_spec(task.model_spec), task.method_name) for task in request.tasks]
            response = inference_pb2.MultiInferenceResponse()
            for answered, result in self._core.multi_inference(tasks, examples_of(request.input), timeout):
                place = response.results.add()
                write_spec(answered, place.model_spec)
                if isinstance(result, Classification):
                    _write_classification(result, place.classification_result)
                else:
                    _write_regression(result, place.regression_result)
        return response

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _errors(context):
            if not request.HasField("model_spec"):
                raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
            if not request.metadata_field:
                text = "GetModelMetadataRequest must specify at least one metadata_field"
                raise ServingError("INVALID_ARGUMENT", text)
            for name in request.metadata_field:
                if name != "signature_def":
                    raise ServingError("INVALID_ARGUMENT", f"Metadata field {name} is not supported")
            spec, signatures = self._core.metadata(read_spec(request.model_spec))
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            write_spec(spec, response.model_spec)
            found = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in signatures.items():
                found.signature_def[name].CopyFrom(signature)
            packed = AnyMessage()
            packed.Pack(found)
            response.metadata["signature_def"].CopyFrom(packed)
        return response

    @contextmanager
    def _answering(self, api: str, spec: Any, context: grpc.ServicerContext) -> Iterator[float | None]:
        """Counts the request, and gives the seconds it may take."""
        counted = self._core.metrics.request(spec.name if spec else "", api, "GRPC")
        with _errors(context), counted:
            timeout = context.time_remaining()
            if timeout is not None and timeout <= 0:
                raise ServingError("DEADLINE_EXCEEDED", "Deadline Exceeded")
            yield timeout


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, core: Core):
        self._core = core

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _errors(context):
            if not request.HasField("model_spec"):
                raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
            spec = read_spec(request.model_spec)
            response = get_model_status_pb2.GetModelStatusResponse()
            for each in self._core.status(spec.name, spec.version):
                place = response.model_version_status.add(version=each.version, state=int(each.state))
                place.status.error_code = grpc.StatusCode[each.code].value[0]
                place.status.error_message = each.message
        return response

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _errors(context):
            if request.config.WhichOneof("config") != "model_config_list":
                raise ServingError(
                    "INVALID_ARGUMENT",
                    "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                    "Only ModelConfigList is currently supported",
                )
            if request.metric_names:
                raise ServingError("UNIMPLEMENTED", "metric_names is not supported; read the Prometheus page")
            log.info("Reloading the config: %s", [model.name for model in request.config.model_config_list.config])
            self._core.reload_config(request.config)
            response = model_management_pb2.ReloadConfigResponse()
            response.status.error_code = 0
        return response


@contextmanager
def _errors(context: grpc.ServicerContext) -> Iterator[None]:
    """Turns a ServingError into the status of the call."""
    try:
        yield
    except ServingError as error:
        text = error.message
        if len(text) > LONGEST_MESSAGE:
            text = text[:LONGEST_MESSAGE] + "...TRUNCATED"
        context.abort(error.code, text)


def _write_classification(result: Classification, proto: Any) -> None:
    size = next(value.shape for value in (result.classes, result.scores) if value is not None)
    for row in range(size[0]):
        place = proto.classifications.add()
        for column in range(size[1]):
            each = place.classes.add()
            if result.classes is not None:
                each.label = result.classes[row, column].decode("utf-8", "replace")
            if result.scores is not None:
                each.score = result.scores[row, column]


def _write_regression(values: np.ndarray, proto: Any) -> None:
    for value in values:
        proto.regressions.add(value=value)
