"""TensorFlow's own model server, started for a moment on this machine and asked golden requests over REST."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from etils import epath

from components.golden import Golden
from components.native_session import from_json, to_json
from data.errors import StageError

BINARY = "tensorflow_model_server"
IMAGE = "tensorflow/serving"
MODEL = "model"
HOST = "127.0.0.1"
PATIENCE = 600  # seconds to start (docker may fetch the image), and for one request


class Server(NamedTuple):
    """A way to start the server: `name` for reports, the program, and the image where that is docker."""

    name: str
    program: str
    image: str = ""


def find_server(kind: str, target: str) -> Server | None:
    """kind: auto, docker or none. Raises StageError where docker is asked for and not installed."""
    if kind == "docker":
        program = shutil.which("docker")
        if not program:
            raise StageError("infra_validator.server: got 'docker', and no docker is on PATH; install it, or drop it")
        return Server(f"{IMAGE}:{target}.0", program, f"{IMAGE}:{target}.0")
    program = shutil.which(BINARY) if kind == "auto" else None
    return Server(BINARY, program) if program else None


def ask_server(server: Server, saved_model: epath.PathLike, golden: Sequence[Golden]) -> list[dict[str, Any]]:
    """The answer of the server to each golden request, {outputs} or {error}.

    Signatures `classify` and `regress` are asked by TF Serving's calls of those names.
    Raises StageError when the server does not start, or does not load the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        _copy(epath.Path(saved_model), epath.Path(folder) / MODEL / "1")
        with _started(server, os.path.join(folder, MODEL)) as port:
            return [_ask(port, each) for each in golden]


def _copy(source: epath.Path, target: epath.Path) -> None:
    target.mkdir(parents=True)
    for entry in source.iterdir():
        _copy(entry, target / entry.name) if entry.is_dir() else entry.copy(target / entry.name)


@contextmanager
def _started(server: Server, base_path: str) -> Iterator[int]:
    """The port of REST, while the server runs and has the model."""
    grpc_port, port = _free_ports(2)
    container = f"polisemia-{port}"
    if server.image:
        arguments = ["run", "--rm", "--name", container, "--publish", f"{HOST}:{port}:8501"]
        arguments += ["--volume", f"{base_path}:/models/{MODEL}:ro", "--env", f"MODEL_NAME={MODEL}", server.image]
    else:
        arguments = [f"--port={grpc_port}", f"--rest_api_port={port}"]
        arguments += [f"--model_name={MODEL}", f"--model_base_path={base_path}"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([server.program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait(server, process, port, log)
            yield port
        finally:
            if server.image:  # the client's end would not end the container
                subprocess.run([server.program, "rm", "--force", container], capture_output=True)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_ports(count: int) -> list[int]:
    holders = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports


def _wait(server: Server, process: subprocess.Popen, port: int, log: Any) -> None:
    """Until the model is available. Raises StageError with the server's own words when it will not be."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            log.seek(0)
            reason = " ".join(log.read().strip().splitlines()[-3:])
            raise StageError(f"infra_validator: {server.name} ended with {process.returncode}: {reason}")
        status = _call(port, "GET", "")
        for version in (status or {}).get("model_version_status", ()):
            if version["state"] == "AVAILABLE":
                return
            if version["state"] == "END":
                reason = version["status"].get("error_message", "")
                raise StageError(f"infra_validator: {server.name} does not load the model: {reason}")
        time.sleep(0.1)
    raise StageError(f"infra_validator: {server.name} had not loaded the model after {PATIENCE} s")


def _call(port: int, verb: str, path: str, body: Any = None) -> dict[str, Any] | None:
    """What the server answers, None where nobody does, or no JSON. A direct connection: no proxy is asked."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request(verb, f"/v1/models/{MODEL}{path}", body and json.dumps(body))
        return json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, json.JSONDecodeError):
        return None
    finally:
        connection.close()


def _ask(port: int, golden: Golden) -> dict[str, Any]:
    name, inputs = golden.request["signature_name"], golden.request["inputs"]
    call = name if name in ("classify", "regress") else "predict"
    body = golden.request
    if call != "predict":
        body = {"signature_name": name, "examples": [_features(e) for e in from_json(inputs["inputs"])]}
    answer = _call(port, "POST", f":{call}", body)
    if answer is None:
        return {"error": "the server closed the connection, or answered no JSON"}
    if call == "predict":
        return _named(answer, golden)
    if call == "classify" and "results" in answer:
        rows = answer["results"]
        return {
            "outputs": {"classes": [[c for c, _ in row] for row in rows], "scores": [[s for _, s in r] for r in rows]}
        }
    return {"outputs": {"outputs": answer["results"]}} if "results" in answer else answer


def _named(answer: dict[str, Any], golden: Golden) -> dict[str, Any]:
    """A signature with one output is answered without its name."""
    names = list(golden.response.get("outputs", ()))
    return {"outputs": {names[0]: answer["outputs"]}} if "outputs" in answer and len(names) == 1 else answer


def _features(serialised: bytes) -> Mapping[str, Any]:
    """A tf.train.Example of strings as REST writes it."""
    import tensorflow as tf

    features = tf.train.Example.FromString(serialised).features.feature
    return {name: to_json(feature.bytes_list.value[0]) for name, feature in sorted(features.items())}
