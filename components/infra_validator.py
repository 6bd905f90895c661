"""Whether the exported model loads and answers where it will be served: TF Serving, or anything without Keras."""

import base64
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from components import saved_model
from components.artifacts import Examples, Model, Validation
from components.base import Input, Output, component
from data.errors import StageError

# TF Serving runs no Python; XLA is off on its CPU servers unless a flag marked experimental is set.
DENIED = {"PyFunc": "Python", "PyFuncStateless": "Python", "EagerPyFunc": "Python", "NumpyFunction": "Python"}
MUST_COMPILE = "_XlaMustCompile"
# TF Serving 2.18 and 2.19 link TF Text 2.12, in which these are not part of the ops library.
LATER_TEXT_OPS = ("TFText>RoundRobinTrim", "TFText>RoundRobinGenerateMasks", "TFText>Utf8Binarize")
NOT_LINKED = {"2.18": LATER_TEXT_OPS, "2.19": LATER_TEXT_OPS, "2.20": ()}
TOLERANCE = 1e-5
PATIENCE = 600  # seconds for the child process
TIMED_CALLS = 20


@component(version=1, tensorflow=True)
def infra_validator(
    model: Input[Model],
    examples: list[Input[Examples]],
    validation: Output[Validation],
    *,
    target: Annotated[
        Literal["2.18", "2.19", "2.20"], Field(description="the TF Serving version the model must run on")
    ] = "2.20",
    rows: Annotated[int, Field(gt=0, description="test rows whose answers are compared")] = 16,
) -> None:
    """Checks every op, then asks golden requests in a process like the server's and compares with the answers here."""
    directory = model.path / "saved_model"
    ops = _check_ops(directory, target)
    requests = _golden_requests(examples, model.properties["inputs"], rows)
    served = _ask_child(directory, requests)
    _compare(requests, _answers_here(directory, requests, model.properties["max_tokens"]), served["answers"])
    timings = {name: served[name] for name in ("load_seconds", "first_ms", "p50_ms")}
    report = {"target": target, "ops": sorted(ops), "requests": [name for name, _ in requests], **timings}
    (validation.path / "infra.json").write_text(json.dumps(report, indent=1))
    validation.properties.update(loads=True, ops=len(ops), requests=len(requests), target=target)


def _check_ops(directory: Any, target: str) -> set[str]:
    """Names of all ops of the graph and its functions. Raises StageError for those the target cannot run."""
    from tensorflow.core.protobuf import saved_model_pb2

    graph = saved_model_pb2.SavedModel.FromString((directory / saved_model.GRAPH).read_bytes())
    ops, problems = set(), set()
    for meta in graph.meta_graphs:
        functions = meta.graph_def.library.function
        nodes = [*meta.graph_def.node, *(node for function in functions for node in function.node_def)]
        ops |= {node.op for node in nodes} - {function.signature.name for function in functions}
        if any(part.attr[MUST_COMPILE].b for part in (*nodes, *functions) if MUST_COMPILE in part.attr):
            problems.add("a function with jit_compile=True: it needs XLA, which TF Serving has off")
    for op in ops:
        if op in DENIED:
            problems.add(f"op {op}: it calls Python, which TF Serving has not")
        elif op.startswith("Xla"):
            problems.add(f"op {op}: it needs XLA, which TF Serving has off")
        elif op in NOT_LINKED[target]:
            problems.add(f"op {op}: TF Serving {target} does not link it; infra_validator.target = '2.20' does")
    if problems:
        raise StageError("\n".join(f"infra_validator: {directory} has {problem}" for problem in sorted(problems)))
    return ops


def _golden_requests(examples: list[Examples], inputs: Sequence[str], rows: int) -> list[tuple[str, dict]]:
    """(name, {input: texts}): the first test rows together, and texts that nobody would train on."""
    import pyarrow.parquet as pq
    from etils import epath

    requests = []
    for shard in (shard for part in examples for shard in part.shards("test")):
        with epath.Path(shard).open("rb") as file:
            table = pq.ParquetFile(file).read(list(inputs)).slice(0, rows)
        if len(table):
            texts = {name: saved_model.as_bytes(table.column(name)) for name in inputs}
            requests.append((f"the first {len(table)} test rows", texts))
            break
    odd = {
        "an empty text": b"",
        "bytes that are no UTF-8": b"\xff\xfe\x00 \xc3(",
        "a text of 20,000 words": b"word " * 20_000,
    }
    return requests + [(name, dict.fromkeys(inputs, [text])) for name, text in odd.items()]


def _answers_here(directory: Any, requests: list[tuple[str, dict]], max_tokens: int) -> list[dict[str, Any]]:
    """The answers of the loader that the evaluator uses, on the CPU as in the child."""
    import tensorflow as tf

    exported = saved_model.load_exported(directory)
    with tf.device("/CPU:0"):
        return [exported.answer(texts, max_tokens) for _, texts in requests]


def _ask_child(directory: Any, requests: list[tuple[str, dict]]) -> dict[str, Any]:
    """What a fresh process without Keras, that loads the model as a server does, answers and measures."""
    job = {
        "path": sys.path,
        "saved_model": str(directory),
        "requests": [
            (name, {n: [base64.b64encode(t).decode() for t in column] for n, column in texts.items()})
            for name, texts in requests
        ],
    }
    child = (
        "import json, sys; sys.modules['keras'] = None; job = json.load(sys.stdin); sys.path[:] = job['path']; "
        "from components.infra_validator import serve; print(json.dumps(serve(job)))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", child], input=json.dumps(job), capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise StageError(
            f"infra_validator: {directory} did not answer within {PATIENCE} s in a fresh process"
        ) from None
    if done.returncode:
        reason = " ".join(done.stderr.strip().splitlines()[-3:])
        raise StageError(f"infra_validator: a fresh process with {directory} ended with {done.returncode}: {reason}")
    served = json.loads(done.stdout.splitlines()[-1])
    if "error" in served:
        raise StageError(f"infra_validator: {directory}, in a process without Keras, {served['error']}")
    return served


def serve(job: dict[str, Any]) -> dict[str, Any]:
    """Runs in the child: loads with the graph-mode loader, the one TF Serving has, and answers every request.

    That loader restores variables in its own way, and so finds broken exports that the loader of Python forgives.
    """
    import tensorflow as tf

    saved_model.register_text_ops()
    tf.config.set_visible_devices([], "GPU")
    started = time.monotonic()
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        try:
            meta = tf.compat.v1.saved_model.load(session, ["serve"], job["saved_model"])
        except Exception as error:
            return {"error": f"does not load: {_one_line(error)}"}
        loaded = time.monotonic()
        if saved_model.SIGNATURE not in meta.signature_def:
            return {"error": f"has no signature '{saved_model.SIGNATURE}', only {sorted(meta.signature_def)}"}
        return {"load_seconds": round(loaded - started, 3), **_serve_all(session, meta, job["requests"])}


def _serve_all(session: Any, meta: Any, requests: list[tuple[str, dict]]) -> dict[str, Any]:
    """Answers to all requests, and how long the first one and one row take."""
    signature = meta.signature_def[saved_model.SIGNATURE]
    outputs = {name: info.name for name, info in signature.outputs.items()}

    def answer(texts: dict[str, list[str]]) -> tuple[dict[str, Any], float]:
        feed = {signature.inputs[name].name: [base64.b64decode(t) for t in column] for name, column in texts.items()}
        started = time.perf_counter()
        found = session.run(outputs, feed)
        return {name: _plain(value) for name, value in found.items()}, 1000 * (time.perf_counter() - started)

    answers, times = [], []
    for name, texts in requests:
        try:
            found, milliseconds = answer(texts)
        except Exception as error:
            return {"error": f"fails at the request with {name}: {_one_line(error)}"}
        answers.append(found)
        times.append(milliseconds)
    one = {name: column[:1] for name, column in requests[0][1].items()}
    p50 = statistics.median(answer(one)[1] for _ in range(TIMED_CALLS))
    return {"answers": answers, "first_ms": round(times[0], 3), "p50_ms": round(p50, 3)}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _plain(value: Any) -> list:
    """An array as JSON can hold it."""
    import numpy as np

    return np.char.decode(value.astype(bytes), "utf-8", "replace").tolist() if value.dtype == object else value.tolist()


def _compare(requests: list[tuple[str, dict]], here: list[dict], served: list[dict]) -> None:
    """Raises StageError for the first request that is not answered as here, or with a number that is none."""
    import numpy as np

    for (name, _), ours, theirs in zip(requests, here, served, strict=True):
        for output, value in ours.items():
            same, other = value.tolist() == theirs[output], np.asarray(theirs[output])
            if value.dtype != object:
                if not np.isfinite(other).all():
                    raise StageError(f"infra_validator: '{output}' is not finite at the request with {name}")
                same = np.allclose(value, other, rtol=0, atol=TOLERANCE)
            if not same:
                raise StageError(
                    f"infra_validator: '{output}' differs at the request with {name}: a process without Keras "
                    f"answers {str(theirs[output])[:200]}, this one {str(value.tolist())[:200]}"
                )
