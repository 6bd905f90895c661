"""From a version's folder to a servable that is ready to answer: loaded, then warmed with its own recorded requests."""

import logging
import time
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving import inference
from serving.errors import ServingError, from_tensorflow
from serving.inference import DEFAULT_SIGNATURE
from serving.metrics import Metrics
from serving.options import Options
from serving.protos import read_text
from serving.servable import Servable
from serving.wire import Tensors, examples_of

WARMUP = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000

log = logging.getLogger(__name__)


class Loader:
    """Called with the path of a version, gives its servable. Raises ServingError when it cannot be loaded or warmed."""

    def __init__(self, options: Options, metrics: Metrics):
        self._options, self._metrics = options, metrics
        self._session_config = session_config(options)
        self._tags = options.saved_model_tags.split(",")

    def __call__(self, path: str) -> Servable:
        start = time.perf_counter()
        try:
            servable = Servable(path, self._tags, self._session_config)
        except ServingError:
            self._metrics.loads.labels(path, "fail").inc()
            raise
        self._metrics.loads.labels(path, "success").inc()
        self._metrics.load_time.labels(path).inc(1e6 * (time.perf_counter() - start))
        if self._options.enable_model_warmup:
            try:
                self._warm_up(servable)
            except BaseException:
                servable.close()
                raise
        return servable

    def _warm_up(self, servable: Servable) -> None:
        start = time.perf_counter()
        status = "OK"
        try:
            records = warm_up(servable, max(1, self._options.num_request_iterations_for_warmup))
        except ServingError as error:
            status = error.code.name
            raise
        finally:
            elapsed = 1e6 * (time.perf_counter() - start)
            self._metrics.warmup.labels(servable.path, status).observe(elapsed)
        if records:
            log.info("Replayed %d warm-up requests of %s in %.0f ms", records, servable.path, elapsed / 1000)


def warm_up(servable: Servable, iterations: int = 1) -> int:
    """Replays the requests recorded in the model, if any; their number.

    Raises ServingError, as TensorFlow Serving does, when the file is no TFRecord of PredictionLogs, has more than
    1000 records, or a request fails.
    """
    path = f"{servable.path}/{WARMUP}"
    if not tf.io.gfile.exists(path):
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            count += 1
            if count > MAX_RECORDS:
                text = f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}"
                raise ServingError("INVALID_ARGUMENT", text)
            entry = prediction_log_pb2.PredictionLog.FromString(record)
            for _ in range(iterations):
                _replay(servable, entry)
    except DecodeError as error:
        raise ServingError("INVALID_ARGUMENT", f"Failed to parse warmup record: {error} from {path}") from error
    except tf.errors.OpError as error:
        failed = from_tensorflow(error)
        text = f"{failed.message}. Please verify your warmup data is in TFRecord format."
        raise ServingError(failed.code, text) from error
    return count


def _replay(servable: Servable, entry: Any) -> None:
    kind = entry.WhichOneof("log_type")
    if kind not in ("predict_log", "classify_log", "regress_log", "multi_inference_log"):
        raise ServingError("UNIMPLEMENTED", f"Unsupported log_type for warmup: {kind}")
    request = getattr(entry, kind).request
    if kind == "multi_inference_log":
        tasks = [(task.model_spec.signature_name or DEFAULT_SIGNATURE, task.method_name) for task in request.tasks]
        inference.multi_inference(servable, servable.signatures, tasks, examples_of(request.input))
        return
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
    signature = servable.signatures[name]
    if kind == "predict_log":
        inference.predict(servable, signature, Tensors(request.inputs, 1 << 62), request.output_filter)
    else:
        answer = inference.classify if kind == "classify_log" else inference.regress
        answer(servable, signature, examples_of(request.input))


def session_config(options: Options) -> Any:
    """The ConfigProto of every session."""
    config = config_pb2.ConfigProto()
    if options.tensorflow_session_config_file:
        config = read_text(options.tensorflow_session_config_file, config_pb2.ConfigProto)
    both = options.tensorflow_session_parallelism
    if threads := both or options.tensorflow_intra_op_parallelism:
        config.intra_op_parallelism_threads = threads
    if threads := both or options.tensorflow_inter_op_parallelism:
        config.inter_op_parallelism_threads = threads
    if options.per_process_gpu_memory_fraction:
        config.gpu_options.per_process_gpu_memory_fraction = options.per_process_gpu_memory_fraction
    return config
