"""A SavedModel asked in a process that has TensorFlow's C++ runtime alone: the other end of native_session.py."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from etils import epath

from components.native_session import Endpoint
from components.saved_model import GRAPH
from data.errors import StageError

PATIENCE = 600  # seconds for the process


class Side(NamedTuple):
    """Inputs or outputs of a signature: name to endpoint, and the number of axes (-1: unknown)."""

    endpoints: dict[str, Endpoint]
    ranks: dict[str, int]


def read_graph(saved_model: epath.PathLike) -> Any:
    """The SavedModel message. Raises StageError where it is missing or broken."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        return saved_model_pb2.SavedModel.FromString((epath.Path(saved_model) / GRAPH).read_bytes())
    except (FileNotFoundError, DecodeError) as error:
        raise StageError(f"{saved_model}: {GRAPH} cannot be read ({error}); wanted a whole SavedModel") from error


def signatures(saved_model: epath.PathLike) -> dict[str, dict[str, Side]]:
    """{name: {"inputs", "outputs"}} of all signatures that can be asked, in the order of their names."""
    (graph,) = (meta for meta in read_graph(saved_model).meta_graphs if "serve" in meta.meta_info_def.tags)
    found = sorted((name, each) for name, each in graph.signature_def.items() if not name.startswith("__"))
    return {name: {"inputs": _side(each.inputs), "outputs": _side(each.outputs)} for name, each in found}


def _side(infos: Mapping[str, Any]) -> Side:
    ranks = {n: -1 if info.tensor_shape.unknown_rank else len(info.tensor_shape.dim) for n, info in infos.items()}
    return Side({name: Endpoint(info.name, info.dtype) for name, info in sorted(infos.items())}, ranks)


def ask_native(
    saved_model: epath.PathLike,
    requests: Sequence[Mapping[str, Any]],
    warmup: Sequence[Mapping[str, Any]] = (),
    timed: int = 0,
    packages: str = "",
) -> dict[str, Any]:
    """What `native_session.work` answers in a process of its own. Raises StageError when it does not load, or dies."""
    job = native_job(saved_model, requests, warmup, timed, packages)
    child = (
        "import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); "
        "from components.native_session import main; main()"
    )
    lines = "".join(json.dumps(part) + "\n" for part in (sys.path, job))
    try:
        done = subprocess.run(
            [sys.executable, "-c", child], input=lines, capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise StageError(f"{saved_model}: TensorFlow's C++ runtime did not answer within {PATIENCE} s") from None
    if done.returncode:
        reason = " ".join(done.stderr.strip().splitlines()[-3:])
        raise StageError(f"{saved_model}: TensorFlow's C++ runtime ended with {done.returncode}: {reason}")
    answered = json.loads(done.stdout.splitlines()[-1])
    if "error" in answered:
        raise StageError(f"{saved_model}, in TensorFlow's C++ runtime, {answered['error']}")
    return answered


def native_job(
    saved_model: epath.PathLike,
    requests: Sequence[Mapping[str, Any]],
    warmup: Sequence[Mapping[str, Any]] = (),
    timed: int = 0,
    packages: str = "",
) -> dict[str, Any]:
    """A job for `native_session.work`. Raises StageError for a request to a signature that the model has not."""
    sides = signatures(saved_model)
    unknown = sorted({request["signature_name"] for request in (*requests, *warmup)} - sides.keys())
    if unknown:
        raise StageError(f"{saved_model}: no signature '{unknown[0]}', only {', '.join(sides)}")
    return {
        "saved_model": str(saved_model),
        "packages": packages,
        "signatures": {n: {side: each[side].endpoints for side in ("inputs", "outputs")} for n, each in sides.items()},
        "warmup": list(warmup),
        "requests": list(requests),
        "timed": timed,
    }
