"""A run that is killed at a moment, started again, and compared with one left alone: tests and benchmarks/chaos.py."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def start(project: Path, home: Path, epochs: int = 12) -> subprocess.Popen:
    """Starts `tiny` of a project as an LSTM that saves its state all the time."""
    sets = ["trainer.family={ name = 'lstm', width = 8, embedding = 8, dropout = 0.2 }", f"trainer.epochs={epochs}"]
    sets += ["trainer.optimizer.learning_rate=0.01", "trainer.checkpoint_seconds=0.05", "evaluator.at_least={}"]
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


def whole(home: Path) -> dict[str, int]:
    """When each artifact that is whole became so."""
    return {path.parent.name: path.stat().st_mtime_ns for path in home.glob("tiny/*/*/manifest.json")}


def killed_and_started_again(
    project: Path, home: Path, expected: dict[str, bytes], moment: float, epochs: int = 12
) -> int:
    """Kills a run after `moment` seconds and gives the same command again; how many artifacts were whole by then.

    Raises AssertionError unless it ends, makes nothing again that was whole, and its results are those `expected`.
    """
    process = start(project, home, epochs)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    made = whole(home)
    finish(start(project, home, epochs))
    found, again = results(home), whole(home)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == [], f"killed after {moment:.2f} s"
    assert all(again[name] == when for name, when in made.items()), "what was whole is not made again"
    return len(made)
