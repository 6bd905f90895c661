"""What goes wrong around a run: the disk, the input, a byte, the clock, another run. A clear error, nothing lost."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from etils import epath

from components.artifacts import write_whole
from components.base import Runtime
from data.errors import DataError
from pipeline.cli import main
from pipeline.config import check_config
from pipeline.runner import Run
from tests.data.formats.test_tfrecord import example, frame
from tests.pipeline.conftest import CONFIG, copy_home, write_rows

ROOT = Path(__file__).parent.parent.parent
FAST = ["--set", "trainer.epochs=3", "--set", "evaluator.resamples=5", "--set", "evaluator.at_least={}"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A project of one span."""
    project = tmp_path_factory.mktemp("reliability")
    (project / "tiny.toml").write_text(CONFIG.format(folder=project))
    write_rows(project / "span-1.csv", 200, 1)
    return project


@pytest.fixture(scope="module")
def ran(small):
    """That project, run once."""
    assert code(command(small, small / "runs")) == 0
    return small


@pytest.fixture
def home(ran, tmp_path):
    return copy_home(ran / "runs", tmp_path / "runs")


def command(project: Path, home: Path, *more: str) -> list[str]:
    return ["run", str(project / "tiny.toml"), "--home", str(home), *FAST, *more]


def code(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return stop.value.code or 0


@pytest.fixture
def mount(tmp_path):
    """Mounts at a folder: `mount("-t", "tmpfs", "-o", "size=4k", "tmpfs")`; skips where that is not allowed."""
    place = tmp_path / "mounted"
    place.mkdir()
    mounted = []

    def call(*arguments: str) -> Path:
        done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, text=True)
        if done.returncode and not mounted:
            pytest.skip(f"no mounting here: {done.stderr.strip()}")
        assert not done.returncode, done.stderr
        mounted.append(place)
        return place

    yield call
    if mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


SLOW = pytest.mark.slow
FULL = [  # kilobytes of the disk, and who meets its end
    pytest.param(4, "", id="before anything"),
    pytest.param(60, "statistics_gen", marks=SLOW),
    pytest.param(300, "trainer", id="TensorFlow writes the graph"),
    pytest.param(700, "trainer", marks=SLOW),
    pytest.param(1300, "pusher", marks=SLOW),
    pytest.param(1892, "", id="the record", marks=SLOW),
]


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount here")
@pytest.mark.parametrize(("kilobytes", "stage"), FULL)
def test_a_full_disk_is_said_and_with_room_the_same_command_ends(ran, mount, kilobytes, stage, capsys):
    disk = mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs")
    assert code(command(ran, disk / "runs")) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {stage}") and "No space left on device" in last
    made = {path: path.stat().st_mtime_ns for path in disk.glob("runs/tiny/*/*/manifest.json")}
    mount("-o", "remount,size=100m")
    assert code(command(ran, disk / "runs")) == 0
    assert all(path.stat().st_mtime_ns == when for path, when in made.items()), "what was whole is not made again"
    assert not list(disk.rglob("*.part"))
    latest = [json.loads((home / "tiny/latest.json").read_text()) for home in (disk / "runs", ran / "runs")]
    assert latest[0]["evaluation"]["metrics"] == latest[1]["evaluation"]["metrics"]


def test_a_full_disk_leaves_the_record_that_was_there(ran, home, mount):
    disk = mount("-t", "tmpfs", "-o", "size=4m", "tmpfs")
    shutil.copytree(home / "tiny", disk / "runs/tiny")
    before = (disk / "runs/tiny/latest.json").read_bytes()
    filler = disk / "filler"
    with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert code(command(ran, disk / "runs")) == 1, "all is cached, but the record of the run cannot be written"
    with pytest.raises(OSError, match="No space left"):
        write_whole(epath.Path(disk / "runs/tiny/latest.json"), "{}")
    assert (disk / "runs/tiny/latest.json").read_bytes() == before
    filler.unlink()
    assert code(command(ran, disk / "runs")) == 0


def test_a_home_that_is_read_only_can_be_looked_at_and_not_run(ran, home, mount, capsys):
    place = mount("--bind", str(home))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
    capsys.readouterr()
    assert code(command(ran, place)) == 1
    assert "Read-only file system" in capsys.readouterr().err.splitlines()[-1]
    assert code(["show", "tiny", "--home", str(place)]) == 0
    assert code(["predict", str(place / "tiny"), "--text", "a great thing"]) == 0
    assert code(["clean", "--home", str(place)]) == 0
    capsys.readouterr()
    assert code(["clean", "--yes", "--home", str(place)]) == 1
    assert "Read-only file system" in capsys.readouterr().err


def config(source: Path, **example_gen) -> dict:
    return {
        "name": "tiny",
        "task": "classification",
        "example_gen": {"input": str(source), **example_gen},
        "tokenizer_gen": {"kind": "words"},
        "trainer": {"family": "bag_of_words"},
    }


def test_an_input_that_vanishes_between_two_looks_at_it(tmp_path):
    source = tmp_path / "reviews.csv"
    write_rows(source, 60, 1)
    checked = check_config(config(source, fields={"text": "opinion", "label": "verdict"}, max_rejected=0.1))
    for vanishes_at in ("example_gen", ""):
        run = Run(
            checked,
            epath.Path(tmp_path / "runs"),
            Runtime(),
            lambda stage, span, at=vanishes_at: source.rename(source.with_suffix(".gone")) if stage == at else None,
        )
        if vanishes_at:
            with pytest.raises(DataError, match=r"reviews\.csv"):
                run.to("statistics_gen")
            source.with_suffix(".gone").rename(source)
            assert not list(tmp_path.glob("runs/tiny/*/*/manifest.json"))
        else:
            assert len(run.to("statistics_gen").made) == 2
    source.unlink()
    with pytest.raises(DataError, match="no file matches"):
        Run(checked, epath.Path(tmp_path / "runs"), Runtime()).to("statistics_gen")
    assert len(list(tmp_path.glob("runs/tiny/*/*/manifest.json"))) == 2, "what was read of it stays"


def test_a_truncated_tfrecord_costs_its_last_record_or_stops_the_run(tmp_path):
    rows = [frame(example(text=[b"text %d" % n], label=[b"ab"[n % 2 : n % 2 + 1]])) for n in range(80)]
    source = tmp_path / "a.tfrecord"
    source.write_bytes(b"".join(rows)[:-7])
    run = Run(check_config(config(source, max_rejected=0.1)), epath.Path(tmp_path / "runs"), Runtime()).to(
        "example_gen"
    )
    properties = run.made[0].artifact.properties
    assert (sum(properties["rows"].values()), properties["rejected"]) == (79, 1)
    (reject,) = [json.loads(line) for path in Path(run.made[0].artifact.path).glob("rejects/*") for line in path.open()]
    assert reject["file"] == str(source) and reject["line"] == 80 and "ends inside the record" in reject["reason"]
    with pytest.raises(DataError, match=r"1 of 80 rows were rejected.*ends inside"):
        Run(check_config(config(source, max_rejected=0.0)), epath.Path(tmp_path / "runs"), Runtime()).to("example_gen")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


NEXT = {  # a file of an artifact, and what is asked for that reads it
    "example_gen/*/train/*.parquet": "statistics_gen.top_words=9",
    "transform/*/train/*.arrow": "trainer.seed=5",
    "tokenizer_gen/*/*": "transform.max_tokens=9",
    "trainer/*/saved_model/variables/variables.data*": "evaluator.resamples=6",
    "evaluator/*/predictions.parquet": "pusher.keep=9",
}


@pytest.mark.parametrize("pattern", NEXT)
def test_a_flipped_byte_is_found_before_it_is_used(ran, home, pattern, capsys):
    damaged = next(path for path in sorted(home.glob(f"tiny/{pattern}")) if path.name != "manifest.json")
    flip(damaged)
    assert code(command(ran, home, "--set", NEXT[pattern])) == 1
    errors = capsys.readouterr().err.splitlines()
    (line,) = [line for line in errors if line.startswith(f"error: {damaged}: got ")]
    assert "as the manifest says" in line and errors[-1].endswith("and run the same command: it is made again")
    assert code(["check", str(ran / "tiny.toml"), "--deep", "--home", str(home)]) == 1
    assert str(damaged) in capsys.readouterr().err


def test_what_is_damaged_is_made_again_once_it_is_removed(ran, home, capsys):
    assert code(["check", str(ran / "tiny.toml"), "--deep", "--home", str(home)]) == 0
    assert "as they were written" in capsys.readouterr().out
    (manifest,) = home.glob("tiny/statistics_gen/*/manifest.json")
    shutil.copytree(manifest.parent, home / "sound")
    manifest.write_text(manifest.read_text().replace('"bytes": ', '"bytes": 1', 1))
    assert code(command(ran, home)) == 1
    assert f"error: {manifest}: its content is not what was written" in capsys.readouterr().err
    shutil.rmtree(manifest.parent)
    assert code(command(ran, home)) == 0
    assert manifest.read_bytes() == (home / "sound/manifest.json").read_bytes()
    flip(home / "tiny/served/tiny/1/saved_model.pb")
    assert code(["check", str(ran / "tiny.toml"), "--deep", "--home", str(home)]) == 1
    assert "served/tiny/1/saved_model.pb: got" in capsys.readouterr().err


@pytest.mark.slow
def test_two_runs_that_start_at_once_end_as_one(ran, tmp_path):
    start = [sys.executable, "-m", "pipeline", *command(ran, tmp_path / "runs")]
    both = [subprocess.Popen(start, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=300)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("waiting: this home is in use by process" in each for each in said) == 1
    latest = [json.loads((tmp_path / f"runs/tiny/history/{n}.json").read_text()) for n in (1, 2)]
    assert [any(not e["cached"] for es in each["stages"].values() for e in es) for each in latest] == [True, False]


def test_a_clock_that_jumps_makes_nothing_again_and_hides_nothing(small, home, monkeypatch, capsys):
    jumps = itertools.cycle([0.0, 4e8, -4e8])
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + next(jumps))
    source = small / "span-1.csv"
    content, times = source.read_bytes(), os.stat(source)
    for moment in (1, 4e9, times.st_mtime):  # 1970, 2096
        os.utime(source, (moment, moment))
        assert code(command(small, home, "--json")) == 0
        record = json.loads(capsys.readouterr().out)
        assert all(entry["cached"] for entries in record["stages"].values() for entry in entries)
    monkeypatch.undo()
    old = now() - 1000  # so that it is kept in the cache of hashes
    try:
        os.utime(source, (old, old))
        assert code(command(small, home, "--until", "example_gen", "--json")) == 0
        source.write_bytes(content.replace(b"north", b"south", 1))
        os.utime(source, (old, old))
        capsys.readouterr()
        assert code(command(small, home, "--until", "example_gen", "--json")) == 0
        (entry,) = json.loads(capsys.readouterr().out)["stages"]["example_gen"]
        assert not entry["cached"], "another content of the same size and time is another content"
    finally:
        source.write_bytes(content)


@pytest.mark.parametrize("jump", [4e8, -4e8], ids=["forwards", "backwards"])
def test_a_clock_that_jumps_while_stages_work_changes_nothing_they_make(
    small, ran, tmp_path, monkeypatch, capsys, jump
):
    """The clock is set by years, and back, three times a second; Beam's runner works, and not only its short cut.

    gRPC's Python keeps the true one: its C core compares deadlines with the system's, which a test cannot set.
    """
    for module in ("grpc._server", "grpc._cython.cygrpc"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(**vars(time)))
    offsets, now, home = (0.0, jump, -jump / 2), time.time, tmp_path / "runs"
    monkeypatch.setattr(time, "time", lambda: now() + offsets[int(time.monotonic() * 3) % 3])
    monkeypatch.setattr("components.beam.FEW", 0)
    monkeypatch.setattr("pipeline.report.INTERVAL_SECONDS", 0.0)
    for _ in range(2):
        assert code(command(small, home)) == 0
    told = re.findall(r"about (\S+) s left", capsys.readouterr().err)
    assert told and all(int(seconds) >= 0 for seconds in told)
    records = [json.loads((home / f"tiny/history/{n}.json").read_text()) for n in (1, 2)]
    assert sorted(path.stem for path in home.glob("tiny/history/*")) == ["1", "2"]
    assert all(0 <= run["seconds"] < 300 for each in records for runs in each["stages"].values() for run in runs)
    assert [any(not run["cached"] for runs in each["stages"].values() for run in runs) for each in records] == [1, 0]
    weights = [np.load(*h.glob("tiny/trainer/*/weights.npz")) for h in (home, ran / "runs")]
    assert all(np.array_equal(a, b) for a, b in zip(*(each.values() for each in weights), strict=True))
    for name in (
        "example_gen/*/*/*.parquet",
        "transform/*/*/*.arrow",
        "evaluator/*/*.parquet",
    ):
        made, wanted = (
            {str(p.relative_to(h)): p.read_bytes() for p in h.glob(f"tiny/{name}")} for h in (home, ran / "runs")
        )
        assert made == wanted and made
