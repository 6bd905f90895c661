"""A run that is killed at any moment and started again ends as one left alone, bit for bit.

3 moments in `make test`, 20 in `make test-all`. The moments are drawn anew each time and told on failure.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LSTM = ["trainer.family={ name = 'lstm', width = 8, embedding = 8, dropout = 0.2 }", "trainer.epochs=12"]


def start(project: Path, home: Path) -> subprocess.Popen:
    sets = [*LSTM, "trainer.optimizer.learning_rate=0.01", "trainer.checkpoint_seconds=0.05", "evaluator.at_least={}"]
    command = [sys.executable, "-m", "pipeline", "run", str(project / "tiny.toml"), "--home", str(home)]
    command += [part for each in sets for part in ("--set", each)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ))


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()[-3000:]


def results(home: Path) -> dict[str, bytes]:
    """The bytes of all that must not differ: token store, weights, history, metrics and predictions."""
    stages = json.loads((home / "tiny/latest.json").read_text())["stages"]
    wanted = {"transform": "*/*.arrow", "trainer": "weights.npz", "evaluator": "[mp]*.[jp]*"}
    found = {}
    for stage, pattern in wanted.items():
        for run in stages[stage]:
            for path in sorted(Path(run["artifact"]).glob(pattern)):
                if path.name != "manifest.json":
                    found[f"{stage}/{run['fingerprint']}/{path.relative_to(run['artifact'])}"] = path.read_bytes()
    assert {name.split("/")[0] for name in found} == set(wanted)
    return found


@pytest.fixture(scope="module")
def undisturbed(project) -> tuple[dict[str, bytes], float]:
    """The results of a run left alone, and its seconds."""
    started = time.monotonic()
    finish(start(project, project / "undisturbed"))
    return results(project / "undisturbed"), time.monotonic() - started


@pytest.mark.parametrize("n", [*range(3), *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 20))])
def test_killed_and_started_again(project, undisturbed, n, tmp_path):
    expected, seconds = undisturbed
    moment = random.SystemRandom().uniform(0.15, 0.95) * seconds
    process = start(project, tmp_path)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    made = {path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("tiny/*/*/manifest.json")}
    finish(start(project, tmp_path))
    found = results(tmp_path)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == [], f"killed after {moment:.2f} s"
    again = {path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("tiny/*/*/manifest.json")}
    assert all(again[name] == when for name, when in made.items()), "what was whole is not made again"
