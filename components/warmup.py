"""The warm-up file: what TF Serving asks a new version before it lets users ask, so that the first one need not wait.

A TFRecord of PredictionLogs, at most 1000. A version whose warm-up fails does not load in TF Serving.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from components.native_session import from_json, to_json

WARMUP = "assets.extra/tf_serving_warmup_requests"


def write_warmup(saved_model: epath.PathLike, requests: Sequence[Mapping[str, Any]]) -> None:
    """requests: {signature_name, inputs: {name: rows}} in the words of TF Serving's REST interface."""
    import tensorflow as tf

    path = epath.Path(saved_model) / WARMUP
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            writer.write(_log(**request).SerializeToString(deterministic=True))


def read_warmup(saved_model: epath.PathLike) -> list[dict[str, Any]]:
    """The requests that `write_warmup` wrote; none where there is no file."""
    import tensorflow as tf

    path = epath.Path(saved_model) / WARMUP
    return list(map(_request, tf.data.TFRecordDataset(str(path)).as_numpy_iterator())) if path.exists() else []


def _log(signature_name: str, inputs: Mapping[str, Any]) -> Any:
    """A PredictionLog; TF Serving's Classify and Regress have messages of their own."""
    import tensorflow as tf
    from tensorflow_serving.apis import classification_pb2, predict_pb2, prediction_log_pb2, regression_pb2

    log = prediction_log_pb2.PredictionLog()
    kinds = {"classify": classification_pb2.ClassificationRequest, "regress": regression_pb2.RegressionRequest}
    if signature_name in kinds:
        request = kinds[signature_name]()
        for serialised in from_json(inputs["inputs"]):
            request.input.example_list.examples.add().ParseFromString(serialised)
    else:
        request = predict_pb2.PredictRequest()
        for name, rows in sorted(inputs.items()):
            request.inputs[name].CopyFrom(tf.make_tensor_proto(from_json(rows)))
    request.model_spec.signature_name = signature_name
    getattr(log, f"{signature_name if signature_name in kinds else 'predict'}_log").request.CopyFrom(request)
    return log


def _request(record: bytes) -> dict[str, Any]:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog.FromString(record)
    kind = log.WhichOneof("log_type")
    request = getattr(log, kind).request
    if kind == "predict_log":
        inputs = {name: tf.make_ndarray(tensor).tolist() for name, tensor in request.inputs.items()}
    else:
        examples = request.input.example_list.examples
        inputs = {"inputs": [example.SerializeToString(deterministic=True) for example in examples]}
    return {
        "signature_name": request.model_spec.signature_name,
        "inputs": {name: to_json(rows) for name, rows in inputs.items()},
    }
