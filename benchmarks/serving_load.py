"""A load on a REST server from a process of its own, and the servers to put it on.

    python -m benchmarks.serving_load PORT PATH CONNECTIONS SECONDS BODIES.json

prints a line of JSON: [[start, seconds, status], ...] of every request, start on the clock of `time.time`. Each
connection asks again as soon as it is answered. HTTP is read as little as it takes: the client shares the cores.
"""

import asyncio
import contextlib
import http.client
import itertools
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

LENGTH = re.compile(rb"(?i)content-length: (\d+)")


def request_bytes(path: str, text: str) -> bytes:
    body = json.dumps({"instances": [text]}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], end: float, log: list[tuple[float, float, int]]):
        self.requests, self.end, self.log, self.got = requests, end, log, b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.start = time.time()
        if self.start > self.end:
            self.transport.close()
        else:
            self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.got += data
        head, gap, body = self.got.partition(b"\r\n\r\n")
        if gap and len(body) >= int(LENGTH.search(head)[1]):
            self.got = b""
            self.log.append((self.start, time.time() - self.start, int(head[9:12])))
            self.ask()

    def connection_lost(self, error):
        if time.time() <= self.end:
            self.log.append((self.start, time.time() - self.start, 0))
        self.done.set_result(None)


async def load(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> list:
    log: list[tuple[float, float, int]] = []
    loop, end = asyncio.get_running_loop(), time.time() + seconds
    made = [
        await loop.create_connection(lambda: Connection(requests, end, log), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    return log


class Load:
    """The load in its process; `wait` gives <float64>[requests, 3]: start, seconds, status (0: connection broke)."""

    def __init__(self, port: int, path: str, connections: int, seconds: float, texts: list[str]):
        self.bodies = Path(tempfile.mkstemp(suffix=".json")[1])
        self.bodies.write_text(json.dumps(texts))
        arguments = [str(port), path, str(connections), str(seconds), str(self.bodies)]
        command = [sys.executable, "-m", "benchmarks.serving_load", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def wait(self) -> np.ndarray:
        out, _ = self.process.communicate()
        self.bodies.unlink()
        return np.array(json.loads(out)).reshape(-1, 3)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def process(command: list[str], port: int, path: str) -> Iterator[None]:
    """Runs a server until the block ends; enters it when `path` answers 200."""
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while get(port, path)[0] != 200:
                if server.poll() is not None:
                    log.seek(0)
                    raise SystemExit(f"{command} ended: {log.read().decode(errors='replace')[-2000:]}")
                time.sleep(0.1)
            yield
        finally:
            server.terminate()
            server.wait()


@contextlib.contextmanager
def ours(base: Path, *flags: str) -> Iterator[tuple[int, str]]:
    """Our server of a model: its port, and the path of predict."""
    port, name = free_port(), base.name
    fixed = ["--port=0", f"--rest_api_port={port}", f"--model_name={name}", f"--model_base_path={base}"]
    with process([sys.executable, "-m", "serving", *fixed, *flags], port, f"/v1/models/{name}"):
        yield port, f"/v1/models/{name}:predict"


@contextlib.contextmanager
def fastapi(base: Path) -> Iterator[tuple[int, str]]:
    """An un-batched FastAPI server of the same model."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.serving_fastapi", str(base / "1"), str(port)]
    with process(command, port, "/health"):
        yield port, "/predict"


def get(port: int, path: str) -> tuple[int, bytes]:
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    return 0, b""


if __name__ == "__main__":
    port, path, connections, seconds, file = sys.argv[1:]
    made = [request_bytes(path, text) for text in json.loads(Path(file).read_text())]
    print(json.dumps(asyncio.run(load(int(port), itertools.cycle(made), int(connections), float(seconds)))))
