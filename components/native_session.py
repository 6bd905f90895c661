"""A SavedModel in TensorFlow's C++ runtime, set up as TF Serving sets it up: TF Text's ops, no XLA, no Python.

It drives the C interface of the TensorFlow wheel, so nothing here imports TensorFlow. `main` is a process that does
only this: one JSON job a line in, one JSON answer a line out (see `work`).
"""

import base64
import ctypes
import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

STRING = 7  # TF_DataType
NUMBERS: dict[int, Any] = {
    1: ctypes.c_float,
    2: ctypes.c_double,
    3: ctypes.c_int32,
    4: ctypes.c_uint8,
    6: ctypes.c_int8,
    9: ctypes.c_int64,
    10: ctypes.c_bool,
}
TIMED_SECONDS = 10  # a model that answers slowly is not asked as often
TSTRING_BYTES = 24  # sizeof(TF_TString)
POINTERS = [
    "NewStatus",
    "NewGraph",
    "NewSessionOptions",
    "LoadLibrary",
    "LoadSessionFromSavedModel",
    "AllocateTensor",
    "TensorData",
    "GraphOperationByName",
    "StringGetDataPointer",
]
SIZES = ("Dim", "StringGetSize")
CPU_ONLY = b"\n\x07\n\x03GPU\x10\x00"  # ConfigProto(device_count={"GPU": 0})
DISABLE_XLA = "_ZN10tensorflow21DisableXlaCompilationEv"  # what tensorflow_model_server calls, unless a flag is set


class NativeError(Exception):
    """What TensorFlow says of a model it cannot load, or of a request it cannot answer."""


class Endpoint(NamedTuple):
    """An input or output of a signature: its tensor's name, and its type as SavedModel numbers it."""

    tensor: str
    dtype: int


class Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class NativeSession:
    """A loaded SavedModel. Tensors come and go as flat values with a shape."""

    def __init__(self, saved_model: str, packages: str = ""):
        """packages: the folder that holds `tensorflow` and `tensorflow_text`; those of this Python if empty.

        Raises NativeError when the runtime does not load the model.
        """
        self.tf = _runtime(packages)
        self.status = ctypes.c_void_p(self.tf.TF_NewStatus())
        self.graph, options = ctypes.c_void_p(self.tf.TF_NewGraph()), ctypes.c_void_p(self.tf.TF_NewSessionOptions())
        self.tf.TF_SetConfig(options, CPU_ONLY, ctypes.c_size_t(len(CPU_ONLY)), self.status)
        tags = (ctypes.c_char_p * 1)(b"serve")
        session = self.tf.TF_LoadSessionFromSavedModel(
            options, None, saved_model.encode(), tags, 1, self.graph, None, self.status
        )
        _check(self.tf, self.status)
        self.session = ctypes.c_void_p(session)

    def run(self, inputs: Sequence[tuple[Endpoint, Any]], outputs: Sequence[Endpoint]) -> list[Any]:
        """Answers of the outputs, as nested lists; inputs are nested lists too. Strings are bytes.

        Raises NativeError when the graph refuses the request.
        """
        feeds = (Output * len(inputs))(*(self._output(endpoint) for endpoint, _ in inputs))
        values = (ctypes.c_void_p * len(inputs))(*(self._tensor(e.dtype, value).value for e, value in inputs))
        fetches, found = (Output * len(outputs))(*map(self._output, outputs)), (ctypes.c_void_p * len(outputs))()
        self.tf.TF_SessionRun(
            *(self.session, None, feeds, values, len(inputs), fetches, found, len(outputs), None, 0, None, self.status)
        )
        for tensor in values:
            self.tf.TF_DeleteTensor(ctypes.c_void_p(tensor))
        _check(self.tf, self.status)
        return [self._listed(ctypes.c_void_p(tensor)) for tensor in found]

    def close(self) -> None:
        """Frees the model."""
        self.tf.TF_CloseSession(self.session, self.status)
        self.tf.TF_DeleteSession(self.session, self.status)
        self.tf.TF_DeleteGraph(self.graph)

    def _output(self, endpoint: Endpoint) -> Output:
        operation, index = endpoint.tensor.split(":")
        return Output(self.tf.TF_GraphOperationByName(self.graph, operation.encode()), int(index))

    def _tensor(self, dtype: int, value: Any) -> ctypes.c_void_p:
        shape, flat = _flattened(value)
        width = TSTRING_BYTES if dtype == STRING else ctypes.sizeof(NUMBERS[dtype])
        tensor = ctypes.c_void_p(
            self.tf.TF_AllocateTensor(
                dtype, (ctypes.c_int64 * len(shape))(*shape), len(shape), ctypes.c_size_t(width * len(flat))
            )
        )
        start = self.tf.TF_TensorData(tensor) if flat else 0
        if dtype != STRING:
            if flat:
                (NUMBERS[dtype] * len(flat)).from_address(start)[:] = flat
            return tensor
        for place, text in enumerate(flat):
            cell = ctypes.c_void_p(start + TSTRING_BYTES * place)
            self.tf.TF_StringInit(cell)
            self.tf.TF_StringCopy(cell, text, ctypes.c_size_t(len(text)))
        return tensor

    def _listed(self, tensor: ctypes.c_void_p) -> Any:
        dtype = self.tf.TF_TensorType(tensor)
        shape = [self.tf.TF_Dim(tensor, axis) for axis in range(self.tf.TF_NumDims(tensor))]
        start, count = self.tf.TF_TensorData(tensor), math.prod(shape)
        if dtype == STRING:
            cells = [ctypes.c_void_p(start + TSTRING_BYTES * place) for place in range(count)]
            flat: list[Any] = [
                ctypes.string_at(self.tf.TF_StringGetDataPointer(cell), self.tf.TF_StringGetSize(cell))
                for cell in cells
            ]
        else:
            flat = list((NUMBERS[dtype] * count).from_address(start)) if count else []
        self.tf.TF_DeleteTensor(tensor)
        return _nested(flat, shape)


@cache
def _runtime(packages: str) -> Any:
    """TensorFlow's C interface with TF Text's ops registered and XLA off."""
    base = Path(packages) / "tensorflow" if packages else _package("tensorflow")
    framework, library = (next(base.glob(f"libtensorflow_{part}.*2*")) for part in ("framework", "cc"))
    ctypes.CDLL(str(framework), ctypes.RTLD_GLOBAL)
    tf = ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    for name in POINTERS:
        getattr(tf, f"TF_{name}").restype = ctypes.c_void_p
    for name in SIZES:
        getattr(tf, f"TF_{name}").restype = ctypes.c_int64
    tf.TF_Message.restype = ctypes.c_char_p
    getattr(tf, DISABLE_XLA)()
    text = Path(packages) / "tensorflow_text" if packages else _package("tensorflow_text")
    status = ctypes.c_void_p(tf.TF_NewStatus())
    for path in sorted((text / "python").rglob("_*.so")):
        tf.TF_LoadLibrary(str(path).encode(), status)
        _check(tf, status)
    return tf


def _package(name: str) -> Path:
    """Where a package is installed, without importing it."""
    found = find_spec(name)
    assert found and found.submodule_search_locations, name
    return Path(found.submodule_search_locations[0])


def _check(tf: Any, status: ctypes.c_void_p) -> None:
    if tf.TF_GetCode(status):
        raise NativeError(" ".join(tf.TF_Message(status).decode("utf-8", "replace").split()))


def _flattened(value: Any) -> tuple[list[int], list]:
    """Shape and flat values of nested lists."""
    shape = []
    flat = [value]
    while flat and isinstance(flat[0], list):
        shape.append(len(flat[0]))
        flat = [item for part in flat for item in part]
    return shape, flat


def _nested(flat: list, shape: Sequence[int]) -> Any:
    if not shape:
        return flat[0]
    step = math.prod(shape[1:])
    return [_nested(flat[row * step : (row + 1) * step], shape[1:]) for row in range(shape[0])]


def from_json(value: Any) -> Any:
    """A tensor as TF Serving's REST interface writes it, strings to bytes: text, or {"b64": ...} for any bytes."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else value


def to_json(value: Any) -> Any:
    """The way back: bytes that are UTF-8 become text."""
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return value


def main() -> None:
    """Answers every job on standard input until it ends."""
    for line in sys.stdin:
        print(json.dumps(work(json.loads(line))), flush=True)


def work(job: Mapping[str, Any]) -> dict[str, Any]:
    """Loads a SavedModel as a server does, warms it, asks it, times it.

    job: saved_model, a path; packages, see NativeSession; signatures, name to {inputs, outputs} to {name: Endpoint};
      warmup and requests, lists of {signature_name, inputs}; timed, how often to ask the first of `warmup` again.
    Returns answers, one {outputs} or {error} a request, load_seconds, peak_mb of this process, and where it is timed
    cold_ms of the very first call, first_ms of the first one after the warm-up, p50_ms and p99_ms.
    Or {error} alone where the model does not load, or a warm-up request fails, as then TF Serving does not load it.
    """
    started = time.monotonic()
    try:
        session = NativeSession(job["saved_model"], job.get("packages", ""))
    except NativeError as error:
        return {"error": f"does not load: {error}"}
    loaded = time.monotonic() - started
    with closing(session):
        answered = _work(session, job)
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {**answered, "load_seconds": round(loaded, 3), "peak_mb": round(peak, 3)}


def _work(session: NativeSession, job: Mapping[str, Any]) -> dict[str, Any]:
    """`work`, of a model that is loaded."""

    def ask(request: Mapping[str, Any]) -> tuple[dict, float]:
        return _ask(session, job["signatures"][request["signature_name"]], request["inputs"])

    cold = 0.0
    for request in job["warmup"]:
        answer, elapsed = ask(request)
        if "error" in answer:
            return {"error": f"fails at a warm-up request of '{request['signature_name']}': {answer['error']}"}
        cold = cold or elapsed
    times: list[float] = []
    until = time.monotonic() + TIMED_SECONDS
    while len(times) < job["timed"] and time.monotonic() < until:
        times.append(ask(job["warmup"][0])[1])
    answers = [ask(request)[0] for request in job["requests"]]
    if not times:
        return {"answers": answers}
    p99 = sorted(times)[math.ceil(0.99 * len(times)) - 1]
    measured = {"cold_ms": cold, "first_ms": times[0], "p50_ms": statistics.median(times), "p99_ms": p99}
    return {"answers": answers, **{name: round(value, 3) for name, value in measured.items()}}


def _ask(session: NativeSession, signature: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[dict, float]:
    """The answer to one request, and its milliseconds."""
    feeds = [(Endpoint(*signature["inputs"][name]), from_json(value)) for name, value in inputs.items()]
    outputs = {name: Endpoint(*endpoint) for name, endpoint in signature["outputs"].items()}
    started = time.perf_counter()
    try:
        found = session.run(feeds, list(outputs.values()))
    except NativeError as error:
        return {"error": str(error)}, 0.0
    elapsed = 1000 * (time.perf_counter() - started)
    return {"outputs": dict(zip(outputs, map(to_json, found), strict=True))}, elapsed
