"""Mirrored and multi-worker training against one device: the same global batches must give the same weights."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.models import tiny
from tests.models.parallel_run import RUNS

ROOT = Path(__file__).parents[2]


def start(strategy: str, directory: Path, name: str, **environment) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.models.parallel_run", strategy, str(directory), name]
    with (directory / f"{name}.log").open("w") as log:
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """One device; two logical devices; two processes on loopback. All at once: they mostly wait for imports."""
    directory = tmp_path_factory.mktemp("parallel")
    for rows, seed, name in ((64, 0, "train"), (50, 1, "valid")):
        tiny.store(directory, rows, seed)
        (directory / f"{seed}-{rows}.arrow").rename(directory / f"{name}.arrow")
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    processes = {"one": start("one", directory, "one"), "mirrored": start("mirrored", directory, "mirrored")}
    for n in range(2):
        task = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": n}})
        processes[f"worker{n}"] = start("multi_worker", directory, f"worker{n}", TF_CONFIG=task)
    try:
        for name, process in processes.items():
            assert process.wait(timeout=240) == 0, (directory / f"{name}.log").read_text()[-3000:]
    finally:
        for process in processes.values():
            process.kill()
    return directory


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", ["mirrored", "worker0", "worker1"])
def test_weights_equal_those_of_one_device(runs, name, run):
    one, other = np.load(runs / f"one.{run}.npz"), np.load(runs / f"{name}.{run}.npz")
    assert (int(one["replicas"]), int(other["replicas"])) == (1, 2)
    for key in one.files:
        if key.startswith("w"):
            assert np.abs(one[key] - other[key]).max() < 1e-6
        if key.startswith("history"):
            assert one[key] == pytest.approx(other[key], abs=1e-6)


def test_the_weights_have_moved(runs):
    """Else the test above would pass on anything; clipping must have had something to clip, too."""
    for run in RUNS:
        result = np.load(runs / f"one.{run}.npz")
        first, last = result["history loss"][[0, -1]]
        assert abs(first - last) > 0.01


def test_only_the_chief_writes(runs):
    assert [bool(np.load(runs / f"worker{n}.sgd.npz")["chief"]) for n in range(2)] == [True, False]
    assert (runs / "worker0.sgd.logs" / "history.csv").exists()
    assert list((runs / "worker0.sgd.checkpoints").glob("checkpoint-*.json"))
    assert not list(runs.glob("worker1.*.logs/*")) + list(runs.glob("worker1.*.checkpoints/*"))
