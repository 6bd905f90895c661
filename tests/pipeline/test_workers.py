"""`run` on two workers of a training cluster, and on two logical devices: the same weights as on one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
SETS = [
    "trainer.epochs=2",
    "trainer.optimizer={ name = 'sgd', learning_rate = 0.5, clip_norm = 1.0 }",
    "evaluator.at_least={}",
]


def start(project: Path, home: Path, sets: list[str], environment: dict[str, str]) -> subprocess.Popen:
    command = [sys.executable, "-m", "pipeline", "run", str(project / "tiny.toml"), "--home", str(home)]
    command += [part for each in (*SETS, *sets) for part in ("--set", each)]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, **pipes)


def weights(home: Path) -> list[np.ndarray]:
    (path,) = home.glob("tiny/trainer/*/weights.npz")
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]


def finish(*processes: subprocess.Popen) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors[-3000:]


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.slow
def test_two_workers_and_two_devices_train_as_one_device_does(project, tmp_path):
    finish(start(project, tmp_path / "one", ["trainer.strategy=one"], {}))
    finish(start(project, tmp_path / "mirrored", ["trainer.strategy=mirrored", "trainer.cpu_devices=2"], {}))
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    workers = [
        start(
            project,
            tmp_path / "workers",
            ["trainer.strategy=multi_worker"],
            {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": n}})},
        )
        for n in range(2)
    ]
    finish(*workers)
    one = weights(tmp_path / "one")
    for other in ("mirrored", "workers"):
        assert all(np.abs(a - b).max() < 1e-6 for a, b in zip(one, weights(tmp_path / other), strict=True)), other
    assert len(list((tmp_path / "workers/tiny/history").iterdir())) == 1, "worker 1 writes nothing"
