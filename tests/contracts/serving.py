"""A SavedModel asked as TF Serving would ask it, and as a Python without Keras would: each in a process of its own.

    python -m tests.contracts.serving cpp < request.json     the C++ loader, through TensorFlow's C interface
    python -m tests.contracts.serving python < request.json  tf.saved_model.load, with Keras out of reach

The request is {"directory", "texts": {input: [text in base64]}, "feeds", "fetches"}; the answer {output: list}.
"""

import base64
import ctypes
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLOAT, STRING, INT32, INT64 = 1, 7, 3, 9  # TF_DataType
TSTRING_BYTES = 24  # sizeof(TF_TString)


def ask(loader: str, directory: Path, texts: Mapping[str, list[bytes]]) -> dict[str, list]:
    """Answers of `serving_default`, by output; `loader` is cpp or python. Fails with the process's own words."""
    feeds, fetches = endpoints(directory)
    request = {
        "directory": str(directory),
        "texts": {name: [base64.b64encode(text).decode() for text in rows] for name, rows in texts.items()},
        "feeds": feeds,
        "fetches": fetches,
    }
    command = [sys.executable, "-m", "tests.contracts.serving", loader]
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def endpoints(directory: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Tensor names of the inputs and outputs of `serving_default`."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((Path(directory) / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def["serving_default"]
    return tuple({name: each.name for name, each in side.items()} for side in (signature.inputs, signature.outputs))


def operations(directory: Path) -> set[str]:
    """Names of all ops of a SavedModel, function bodies included."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((Path(directory) / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    bodies = {function.signature.name for function in graph.library.function}
    nodes = [node for function in graph.library.function for node in function.node_def]
    return {node.op for node in [*graph.node, *nodes]} - bodies


def packages() -> Path:
    return Path(importlib.util.find_spec("tensorflow").submodule_search_locations[0]).parent


def text_op_libraries() -> list[Path]:
    """TF Text's ops, which TF Serving links."""
    return sorted((packages() / "tensorflow_text/python").rglob("_*.so"))


def with_python(request: dict) -> dict[str, list]:
    sys.modules["keras"] = None  # importing it now fails
    import tensorflow as tf

    for path in text_op_libraries():
        tf.load_op_library(str(path))
    serve = tf.saved_model.load(request["directory"]).signatures["serving_default"]
    answers = serve(**{name: tf.constant(rows, tf.string) for name, rows in decoded(request).items()})
    values = {name: value.numpy().tolist() for name, value in answers.items()}
    return {name: [v.decode() if isinstance(v, bytes) else v for v in rows] for name, rows in values.items()}


def decoded(request: dict) -> dict[str, list[bytes]]:
    return {name: [base64.b64decode(text) for text in rows] for name, rows in request["texts"].items()}


class Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class Session:
    """A SavedModel in TensorFlow's C++ runtime as TF Serving sets it up: TF Text's ops, no XLA."""

    def __init__(self, directory: str):
        base = packages() / "tensorflow"
        ctypes.CDLL(str(base / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
        self.tf = ctypes.CDLL(str(base / "libtensorflow_cc.so.2"), ctypes.RTLD_GLOBAL)
        pointers = (
            "NewStatus NewGraph NewSessionOptions LoadLibrary LoadSessionFromSavedModel AllocateTensor TensorData"
        )
        for name in f"{pointers} GraphOperationByName StringGetDataPointer".split():
            getattr(self.tf, f"TF_{name}").restype = ctypes.c_void_p
        for name in ("Dim", "StringGetSize", "TensorByteSize"):
            getattr(self.tf, f"TF_{name}").restype = ctypes.c_int64
        self.tf.TF_Message.restype = ctypes.c_char_p
        self.tf._ZN10tensorflow21DisableXlaCompilationEv()
        self.status = ctypes.c_void_p(self.tf.TF_NewStatus())
        for path in text_op_libraries():
            self.tf.TF_LoadLibrary(str(path).encode(), self.status)
            self.check()
        self.graph, options = ctypes.c_void_p(self.tf.TF_NewGraph()), ctypes.c_void_p(self.tf.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        session = self.tf.TF_LoadSessionFromSavedModel(
            options, None, directory.encode(), tags, 1, self.graph, None, self.status
        )
        self.check()
        self.session = ctypes.c_void_p(session)

    def check(self):
        if self.tf.TF_GetCode(self.status):
            raise SystemExit(self.tf.TF_Message(self.status).decode())

    def output(self, name: str) -> Output:
        operation, index = name.split(":")
        return Output(self.tf.TF_GraphOperationByName(self.graph, operation.encode()), int(index))

    def strings(self, rows: list[bytes]) -> ctypes.c_void_p:
        shape = (ctypes.c_int64 * 1)(len(rows))
        tensor = ctypes.c_void_p(
            self.tf.TF_AllocateTensor(STRING, shape, 1, ctypes.c_size_t(TSTRING_BYTES * len(rows)))
        )
        start = self.tf.TF_TensorData(tensor) if rows else 0
        for place, text in enumerate(rows):
            cell = ctypes.c_void_p(start + TSTRING_BYTES * place)
            self.tf.TF_StringInit(cell)
            self.tf.TF_StringCopy(cell, text, ctypes.c_size_t(len(text)))
        return tensor

    def run(self, feeds: dict[str, list[bytes]], fetches: list[str]) -> list[list]:
        """feeds: texts by tensor name. Returns the fetched tensors as nested lists."""
        inputs = (Output * len(feeds))(*map(self.output, feeds))
        values = (ctypes.c_void_p * len(feeds))(*(self.strings(rows).value for rows in feeds.values()))
        outputs, found = (Output * len(fetches))(*map(self.output, fetches)), (ctypes.c_void_p * len(fetches))()
        self.tf.TF_SessionRun(
            self.session, None, inputs, values, len(feeds), outputs, found, len(fetches), None, 0, None, self.status
        )
        self.check()
        return [self.listed(ctypes.c_void_p(tensor)) for tensor in found]

    def listed(self, tensor: ctypes.c_void_p) -> list:
        kind, shape = self.tf.TF_TensorType(tensor), []
        for axis in range(self.tf.TF_NumDims(tensor)):
            shape.append(self.tf.TF_Dim(tensor, axis))
        start, count = self.tf.TF_TensorData(tensor), 1
        for size in shape:
            count *= size
        if kind == STRING:
            flat = []
            for place in range(count):
                cell = ctypes.c_void_p(start + TSTRING_BYTES * place)
                size = self.tf.TF_StringGetSize(cell)
                flat.append(ctypes.string_at(self.tf.TF_StringGetDataPointer(cell), size).decode())
        else:
            number = {FLOAT: ctypes.c_float, INT32: ctypes.c_int32, INT64: ctypes.c_int64}[kind]
            flat = list((number * count).from_address(start)) if count else []
        for size in reversed(shape[1:]):
            flat = [flat[first : first + size] for first in range(0, len(flat), size)]
        return flat


def with_cpp(request: dict) -> dict[str, list]:
    feeds = {request["feeds"][name]: rows for name, rows in decoded(request).items()}
    found = Session(request["directory"]).run(feeds, list(request["fetches"].values()))
    assert "tensorflow" not in sys.modules
    return dict(zip(request["fetches"], found, strict=True))


if __name__ == "__main__":
    print(json.dumps({"cpp": with_cpp, "python": with_python}[sys.argv[1]](json.load(sys.stdin))))
