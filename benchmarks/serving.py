"""Serving, in one table: speed as ratios, both sides in turns in the same run; what failed, as counts.

    python -m benchmarks.serving              every part
    python -m benchmarks.serving rest swap    some of them

Parts: rest, throughput, length, tokenization, swap, predict, checks. `throughput` wants FastAPI, which the project does
not: `pip install fastapi uvicorn` (in an environment of your own); without it the row says so. Models have random
weights, texts are the embedded sample's.
"""

import itertools
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.common import print_table
from benchmarks.serving_load import Load, fastapi, get, ours, request_bytes
from benchmarks.serving_models import new_version, save, save_tokenizer, texts

ROOT = Path(__file__).parent.parent
ROUNDS, SECONDS, SWAPS = 3, 5.0, 20
SHORT = 20  # words: about 26 tokens
Row = tuple[str, str, str]
BATCHING = "--enable_batching=true"


def rest(folder: Path) -> list[Row]:
    """REST at concurrency 1 over a direct call of the signature: p50, interleaved."""
    base = folder / "bert2x128"
    ask = direct(save(base))
    with ours(base, BATCHING) as (port, path):
        connection = Blocking(port, path)
        for function in (ask, connection.ask):
            for text in texts()[:50]:
                function(text)
        found = in_turns({"direct": ask, "rest": connection.ask}, texts()[:300])
    ratio = found["rest"] / found["direct"]
    return [("REST p50 at concurrency 1 / a direct call", f"{ratio:.2f}x ({1e3 * found['direct']:.2f} ms)", "<= 1.4x")]


def throughput(folder: Path) -> list[Row]:
    """Requests a second at concurrency 32, padded and dynamic, ours against FastAPI, servers in turns."""
    rows = []
    for padded, wanted in ((True, ">= 2x"), (False, ">= 1.35x")):
        what = f"throughput at concurrency 32 / FastAPI, {'padded to 128' if padded else 'dynamic length'}"
        if not (find_spec("fastapi") and find_spec("uvicorn")):
            rows.append((what, "not measured: pip install fastapi uvicorn", wanted))
            continue
        base = folder / ("padded" if padded else "dynamic")
        save(base, padded=padded)
        rates: dict[str, list[float]] = {"ours": [], "fastapi": []}
        for _ in range(ROUNDS):
            with ours(base, BATCHING) as (port, path):
                rates["ours"].append(rate(port, path))
            with fastapi(base) as (port, path):
                rates["fastapi"].append(rate(port, path))
        mine, theirs = (float(np.median(rates[name])) for name in ("ours", "fastapi"))
        rows.append((what, f"{mine / theirs:.2f}x ({mine:.0f}/s, {theirs:.0f}/s)", wanted))
    return rows


def rate(port: int, path: str) -> float:
    """Answers a second in the second half of a load, when everything is warm."""
    first = Blocking(port, path)
    for text in texts()[:50]:
        first.ask(text)
    log = Load(port, path, 32, 2 * SECONDS, texts()).wait()
    assert set(log[:, 2]) == {200}, set(log[:, 2])
    late = log[log[:, 0] > log[0, 0] + SECONDS]
    return len(late) / SECONDS


def length(folder: Path) -> list[Row]:
    """A direct call on one short text (20 words at most, half of the sample): padded to 128 over padded to itself."""
    rows, short = [], [text for text in texts() if len(text.split()) <= SHORT]
    for layers, width, wanted in ((2, 128, ">= 1.5x"), (4, 512, ">= 1.9x")):
        asks = {
            name: direct(save(folder / f"{name}{layers}x{width}", layers, width, padded=name == "padded"))
            for name in ("padded", "dynamic")
        }
        found = in_turns(asks, short[:200], warm=20)
        ratio = f"{found['padded'] / found['dynamic']:.2f}x"
        rows.append((f"padded to 128 / dynamic length, BERT {layers}x{width}, p50", ratio, wanted))
    return rows


def tokenization(folder: Path) -> list[Row]:
    """The tokenizer's share of a call of one text, 2x128, through TensorFlow's C++ session."""
    from serving.servable import Servable

    rows = []
    for kind, wanted in (("wordpiece", "<= 5 %"), ("sentencepiece", "<= 5 %"), ("bpe", "<= 15 %")):
        whole = Servable(str(save(folder / kind, kind=kind)))
        alone = Servable(str(save_tokenizer(folder / f"{kind}-alone", kind)))
        asks = {
            "whole": session_call(whole, "serving_default"),
            "ids": session_call(alone, "ids"),
            "nothing": session_call(alone, "nothing"),
        }
        found = in_turns(asks, texts()[:300], warm=50)
        share = (found["ids"] - found["nothing"]) / (found["whole"] - found["nothing"])
        rows.append((f"tokenization, share of a call: {kind}", f"{100 * share:.1f} %", wanted))
    return rows


def swap(folder: Path) -> list[Row]:
    """New versions under a load of 8 connections; p99 of the requests that meet a swap over that of the others."""
    base, swaps = folder / "swapped", SWAPS
    save(base)
    with ours(base, BATCHING, "--file_system_poll_wait_seconds=1") as (port, path):
        load = Load(port, path, 8, 5.0 * swaps + 10, texts())
        time.sleep(5)
        spans = []
        for version in range(2, swaps + 2):
            start = time.time()
            new_version(base, version)
            while states(port, base.name) != {version: "AVAILABLE", version - 1: "END"}:
                time.sleep(0.02)
            spans.append((start, time.time()))
            time.sleep(max(0.0, start + 5 - time.time()))
        log = load.wait()
    log = log[log[:, 0] > spans[0][0] - 3]  # warm
    met = np.zeros(len(log), bool)
    for start, end in spans:
        met |= (log[:, 0] < end) & (log[:, 0] + log[:, 1] > start)
    inside, outside = (float(np.quantile(log[chosen, 1], 0.99)) for chosen in (met, ~met))
    failed = int((log[:, 2] != 200).sum())
    return [
        (f"{swaps} hot swaps under load: failed requests of {len(log)}", str(failed), "0"),
        ("p99 during a swap / outside", f"{inside / outside:.2f}x ({1e3 * outside:.0f} ms outside)", "<= 3x"),
    ]


def states(port: int, name: str) -> dict[int, str]:
    """State of the two newest versions."""
    found = json.loads(get(port, f"/v1/models/{name}")[1])["model_version_status"]
    return {int(each["version"]): each["state"] for each in found[:2]}


def predict(folder: Path, count: int = 100_000) -> list[Row]:
    """`polisemia predict` on a CSV over a loop on the same texts in memory, sorted by length, 256 rows a call."""
    import csv

    import tensorflow as tf

    from components.bulk_inferrer import predict_file
    from components.saved_model import read_properties

    path = save(folder / "predicted", layers=1, width=64)
    rows = list(itertools.islice(itertools.cycle(texts()), count))
    source = folder / "rows.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text",), *((text,) for text in rows)])
    model = tf.saved_model.load(str(path))
    ordered = sorted((text.encode() for text in rows), key=len)

    def bare() -> None:
        for start in range(0, count, 256):
            found = model.signatures["serving_default"](text=tf.constant(ordered[start : start + 256]))
            [value.numpy() for value in found.values()]

    def file_to_file() -> None:
        done, rejected = predict_file(path, read_properties(path), str(source), str(folder / "answers.jsonl"))
        assert (done, rejected) == (count, 0), (done, rejected)

    took: dict[str, list[float]] = {"bare": [], "predict": []}
    for name, function in 2 * [("bare", bare), ("predict", file_to_file)]:
        start = time.perf_counter()
        function()
        took[name].append(time.perf_counter() - start)
    ratio = min(took["bare"]) / min(took["predict"])
    return [(f"predict on {count:,} rows / a bare loop", f"{ratio:.2f}x", ">= 0.85x")]


def checks(folder: Path) -> list[Row]:
    """Conformance cases and fuzzed requests: how many, and how many went wrong."""
    rows = []
    for what, files, wanted in (
        ("conformance cases that pass", ["test_rest_conformance.py", "test_grpc_conformance.py"], "all, about 100"),
        ("fuzzing: 10,000 REST bodies, 2,000 gRPC messages", ["test_rest_fuzz.py", "test_grpc_fuzz.py"], "no failure"),
    ):
        command = [sys.executable, "-m", "pytest", *(f"tests/serving/{name}" for name in files)]
        done = subprocess.run([*command, "-o", "addopts=", "-q"], capture_output=True, text=True, cwd=ROOT)
        counts = re.findall(r"(\d+ (?:passed|failed|error)\w*)", done.stdout.splitlines()[-1])
        rows.append((what, ", ".join(counts) or done.stdout[-200:], wanted))
    return rows


def direct(path: Path) -> Callable[[str], object]:
    """One call of a SavedModel's signature in this process, answers as NumPy."""
    import tensorflow as tf

    from components.saved_model import register_text_ops

    register_text_ops()
    model = tf.saved_model.load(str(path))

    def ask(text: str) -> object:
        found = model.signatures["serving_default"](text=tf.constant([text]))
        return [value.numpy() for value in found.values()]

    return ask


def session_call(servable, signature: str) -> Callable[[str], object]:
    known = servable.signatures[signature]
    feed, fetches = known.inputs["text"].name, [output.name for output in known.outputs.values()]
    return lambda text: servable.run({feed: np.array([text.encode()], object)}, fetches)


class Blocking:
    """One connection, asked and waited for: the least a client can do."""

    def __init__(self, port: int, path: str):
        self.path, self.socket = path, socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, text: str) -> bytes:
        self.socket.sendall(request_bytes(self.path, text))
        got = b""
        while not got.endswith(b"}"):
            got += self.socket.recv(65536)
        assert got.startswith(b"HTTP/1.1 200"), got
        return got


def in_turns(asks: dict[str, Callable[[str], object]], given: list[str], warm: int = 0) -> dict[str, float]:
    """Median seconds of each, all of them asked about one text after the other."""
    for ask, text in itertools.product(asks.values(), given[:warm]):
        ask(text)
    took: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(ROUNDS):
        for text in given:
            for name, ask in asks.items():
                start = time.perf_counter()
                ask(text)
                took[name].append(time.perf_counter() - start)
    return {name: float(np.median(seconds)) for name, seconds in took.items()}


PARTS: dict[str, Callable[[Path], list[Row]]] = {
    "rest": rest,
    "throughput": throughput,
    "length": length,
    "tokenization": tokenization,
    "swap": swap,
    "predict": predict,
    "checks": checks,
}


def main(*names: str) -> None:
    rows: list[Row] = [("what", "figure", "wanted")]
    for name in names or PARTS:
        print(f"  {name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            rows += PARTS[name](Path(folder))
    print_table("Serving", rows)


if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - set(PARTS)
    if unknown:
        raise SystemExit(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    main(*sys.argv[1:])
