"""A command that is killed at a moment, given again, and compared with one left alone: for tests and chaos.py."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.pipeline.conftest import CONFIG, copy_home, write_rows

ROOT = Path(__file__).parent.parent.parent
SAME = {"transform": "*/*.arrow", "trainer": "weights.npz", "evaluator": "[mp]*.[jp]*", "comparator": "*.json"}
GRAPHS = ("saved_model.pb", "fingerprint.pb")  # TensorFlow writes a graph's nodes in another order each time


class Job(NamedTuple):
    """What is killed: a command on `tiny` of a project, in a home that begins as `before` (None: without one)."""

    project: Path
    command: str
    before: Path | None = None
    epochs: int = 12

    @property
    def record(self) -> str:
        """Where the command writes what came of it."""
        return f"tiny/history/{2 if self.before else 1}.json"


def prepare(project: Path, command: str, epochs: int = 12) -> Job:
    """Writes two spans and their config. A retrain begins after a run over the first, when the second comes."""
    (project / "tiny.toml").write_text(CONFIG.format(folder=project))
    write_rows(project / "span-1.csv", 300, 1)
    before = project / "before" if command == "retrain" else None
    if before:
        finish(start(Job(project, "run", epochs=epochs), before))
    write_rows(project / "span-2.csv", 60, 2)
    return Job(project, command, before, epochs)


def start(job: Job, home: Path) -> subprocess.Popen:
    """Starts the command, for an LSTM that saves its state all the time and whose challengers take over."""
    sets = ["trainer.family={ name = 'lstm', width = 8, embedding = 8, dropout = 0.2 }", f"trainer.epochs={job.epochs}"]
    sets += ["trainer.optimizer.learning_rate=0.01", "trainer.checkpoint_seconds=0.05", "evaluator.at_least={}"]
    sets += ["decider.keep_steady=false", "comparator.margin=1.0"]
    command = [sys.executable, "-m", "pipeline", job.command, str(job.project / "tiny.toml"), "--home", str(home)]
    command += [part for each in sets for part in ("--set", each)]
    if job.before and not home.exists():
        copy_home(job.before, home)
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ))


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()[-3000:]


def results(job: Job, home: Path) -> dict[str, bytes]:
    """The bytes of all that must not differ: token store, weights, history, metrics, predictions, comparison, the
    record but for its times, and what is served, version by version."""
    record = json.loads((home / job.record).read_text())
    paths = [
        path
        for stage, pattern in SAME.items()
        for run in record["stages"].get(stage, ())
        for path in sorted(Path(run["artifact"]).glob(pattern))
        if path.name != "manifest.json"
    ]
    stages = {path.relative_to(home).parts[1] for path in paths}
    assert stages == (SAME.keys() if job.before else SAME.keys() - {"comparator"})
    served = home.glob("tiny/served/tiny/[0-9]*/**/*")
    paths += sorted(path for path in served if path.is_file() and path.name not in GRAPHS)
    found = {str(path.relative_to(home)): path.read_bytes() for path in paths}
    return found | {"record": json.dumps(timeless(record), sort_keys=True).replace(str(home), "").encode()}


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what differs between a run left alone and one that was started again."""
    for entry in (entry for entries in record["stages"].values() for entry in entries):
        del entry["seconds"], entry["cached"]
    return record


def whole(home: Path) -> dict[str, int]:
    """When each artifact that is whole became so."""
    return {path.parent.name: path.stat().st_mtime_ns for path in home.glob("tiny/*/*/manifest.json")}


def killed_and_started_again(job: Job, home: Path, expected: dict[str, bytes], moment: float) -> int:
    """Kills the command after `moment` seconds and gives it again; how many artifacts it had whole by then.

    Raises AssertionError unless it ends, makes nothing again that was whole, and its results are those `expected`.
    """
    process = start(job, home)
    before = len(whole(home))
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    made = whole(home)
    finish(start(job, home))
    found, again = results(job, home), whole(home)
    assert found.keys() == expected.keys()
    different = [name for name in found if found[name] != expected[name]]
    assert not different, f"killed after {moment:.2f} s, different are {', '.join(different)}"
    assert all(again[name] == when for name, when in made.items()), "what was whole is not made again"
    return len(made) - before
