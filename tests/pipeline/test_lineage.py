"""Tests `show`'s runs, `--why` and `--lineage`, and `clean`: `tiny` has run on two spans, then on three."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from etils import epath

from components.versions import prune
from pipeline.cli import main
from tests.pipeline.conftest import CONFIG, copy_home, write_rows

ROOT = Path(__file__).parent.parent.parent
FAST = ["--set", "trainer.epochs=4", "--set", "evaluator.resamples=5", "--set", "evaluator.at_least={}"]


def run(project: Path, home: Path, *more: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["run", str(project / "tiny.toml"), "--home", str(home), *FAST, *more])
    return stop.value.code or 0


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A project whose home holds run 1 (spans 1 and 2) and run 2 (a third span, another seed)."""
    project = tmp_path_factory.mktemp("lineage")
    (project / "tiny.toml").write_text(CONFIG.format(folder=project))
    write_rows(project / "span-1.csv", 200, 1)
    write_rows(project / "span-2.csv", 60, 2)
    assert run(project, project / "runs") == 0
    write_rows(project / "span-3.csv", 60, 3)
    assert run(project, project / "runs", "--set", "trainer.seed=1") == 0
    return project


@pytest.fixture
def home(ran, tmp_path):
    """That home, for a test to change."""
    return copy_home(ran / "runs", tmp_path / "runs")


def artifacts(home: Path) -> set[str]:
    return {f"{path.parent.parent.name}/{path.parent.name}" for path in home.glob("tiny/*/*/manifest.json")}


def test_show_lists_runs_spans_and_verdicts(ran, polisemia):
    _, record, _ = polisemia("show", "tiny", "--json")
    one, two = record["runs"]
    assert (one["spans"], two["spans"]) == (["1", "2"], ["1", "2", "3"])
    assert [run["verdict"] for run in record["runs"]] == ["blessed"] * 2
    assert (one["version"], two["version"]) == (1, 2)
    assert one["config"] == str(ran / "tiny.toml") and "example_gen" in two["made"]
    _, out, _ = polisemia("show", "tiny")
    assert "runs" in out and "blessed" in out


def test_why_names_what_changed_and_where_it_began(ran, home, polisemia):
    _, found, _ = polisemia("show", "tiny", "--why", "trainer", "--json")
    reasons = {(r["stage"], r["span"], r["what"], r["name"]): (r["before"], r["after"]) for r in found["reasons"]}
    assert (found["run"], found["before"]) == (2, 1)
    assert reasons["trainer", "", "param", "seed"] == ("(default)", 1)
    assert ("example_gen", "3", "note", "a new span") in reasons
    assert not [key for key in reasons if key[:2] == ("example_gen", "1")]
    write_rows(ran / "span-3.csv", 61, 4)
    run(ran, home, "--until", "statistics_gen", "--set", "statistics_gen.top_words=7")
    _, out, _ = polisemia("show", "--why", "statistics_gen")
    lines = out.splitlines()
    assert "statistics_gen of span 1: param top_words: (default) -> 7" in lines
    (source,) = [line for line in lines if "source input" in line]
    assert source.startswith(f"  example_gen of span 3: source input, {ran}/span-3.csv has another content: ")
    run(ran, home, "--until", "schema_gen", "--set", "statistics_gen.top_words=7")
    run(ran, home, "--until", "schema_gen", "--set", "statistics_gen.top_words=7")
    _, out, _ = polisemia("show", "--why", "schema_gen")
    assert "1 later run(s) found it whole" in out and "param top_words" in out
    code, _, err = polisemia("show", "--why", "trainr")
    assert code == 2 and "did you mean 'trainer'" in err


def test_lineage_walks_from_a_version_to_the_files(ran, home, polisemia):
    _, graph, _ = polisemia("show", "--lineage", str(home / "tiny/served/tiny/2"), "--json")
    nodes = graph["nodes"]
    assert graph["model"] == "tiny/2" and nodes["tiny/2"]["kind"] == "version"
    files = {name: node for name, node in nodes.items() if node["kind"] == "file"}
    assert set(files) == {str(ran / f"span-{n}.csv") for n in (1, 2, 3)} and all(f["here"] for f in files.values())
    kinds = {name.split("/")[0] for name, node in nodes.items() if node["kind"] == "artifact"}
    assert {"pusher", "evaluator", "infra_validator", "trainer", "transform", "tokenizer_gen", "example_gen"} <= kinds
    reached, waiting = set(), list(files)
    for node in waiting:
        waiting += [end for start, end, _ in graph["edges"] if start == node and end not in reached]
        reached |= set(waiting)
    assert "tiny/2" in reached, "every edge points from what was used to what was made"
    _, out, _ = polisemia("show", "--lineage", "tiny")
    assert "```mermaid\nflowchart LR\n" in out and f"input: {ran}/span-3.csv" in out
    trainer = next(node["path"] for node in nodes.values() if node.get("stage") == "trainer")
    _, graph, _ = polisemia("show", "--lineage", trainer, "--json")
    assert graph["model"] == f"trainer/{Path(trainer).name}" and "tiny/2" not in graph["nodes"]
    code, _, err = polisemia("show", "--lineage", str(home / "none"))
    assert code == 2 and "no such model" in err


def test_clean_says_what_it_would_free_then_removes_what_no_kept_run_needs(ran, home, polisemia):
    before = artifacts(home)
    latest = json.loads((home / "tiny/latest.json").read_text())
    kept = {f"{stage}/{entry['fingerprint']}" for stage, entries in latest["stages"].items() for entry in entries}
    _, found, _ = polisemia("clean", "--json")
    assert not {"trainer", "evaluator", "pusher"} & {each["stage"] for each in found["artifacts"]}
    shutil.copytree(home / "tiny/pusher", home / "pushes")
    shutil.rmtree(home / "tiny/pusher")
    _, found, _ = polisemia("clean", "--json")
    shutil.move(home / "pushes", home / "tiny/pusher")
    assert "trainer" not in {each["stage"] for each in found["artifacts"]}, "version 1 can be rolled back to"
    prune(epath.Path(home) / "tiny/served/tiny", 1, ())
    code, found, _ = polisemia("clean", "--json")
    assert code == 0 and not found["removed"] and artifacts(home) == before
    assert {f"{each['stage']}/{each['fingerprint']}" for each in found["artifacts"]} == before - kept
    size = sum(p.stat().st_size for each in found["artifacts"] for p in Path(each["path"]).rglob("*") if p.is_file())
    assert found["bytes"] == size > 0
    _, out, _ = polisemia("clean", "tiny", "--keep", "2")
    assert "nothing to remove" in out
    code, out, _ = polisemia("clean", "tiny", "--yes")
    assert code == 0 and "removed" in out and artifacts(home) == kept
    assert "nothing to remove" in polisemia("clean")[1]
    _, graph, _ = polisemia("show", "--lineage", "tiny", "--json")
    assert all(node["params"] is not None for node in graph["nodes"].values() if node["kind"] == "artifact")
    _, found, _ = polisemia("show", "--why", "trainer", "--json")
    assert "seed" in [reason["name"] for reason in found["reasons"]], "what is removed leaves its ingredients"


def test_clean_leaves_what_a_served_version_or_an_unfinished_run_needs(ran, home, polisemia):
    served = json.loads((home / "tiny/latest.json").read_text())["stages"]["trainer"][0]["fingerprint"]
    assert run(ran, home, "--set", "example_gen.max_rejected=0.0", "--set", "example_gen.keep=[]") == 2
    shutil.copy(ran / "tiny.toml", ran / "other.toml")
    with pytest.raises(SystemExit) as stop:
        main(["run", str(ran / "other.toml"), "--home", str(home), "--set", "example_gen.max_rejected=0.0"])
    assert stop.value.code == 1
    (rejects,) = {path.parent.parent for path in home.glob("tiny/example_gen/*/rejects/*") if not whole(path)}
    assert run(ran, home, "--until", "schema_gen") == 0
    assert run(ran, home, "--until", "schema_gen") == 0
    polisemia("clean", "--yes")
    assert f"trainer/{served}" in artifacts(home), "the newest run stopped early, and what is served stays"
    assert rejects.exists(), "the rejects of a run that failed are there to be read"
    assert "other.toml" in (home / "tiny/unfinished.json").read_text()
    main_of_other = ["run", str(ran / "other.toml"), "--home", str(home), "--until", "schema_gen"]
    with pytest.raises(SystemExit):
        main(main_of_other)
    polisemia("clean", "--yes")
    assert not rejects.exists() and "other.toml" not in (home / "tiny/unfinished.json").read_text()


def whole(path: Path) -> bool:
    return (path.parent.parent / "manifest.json").exists()


def test_clean_waits_for_a_run_that_is_going_on(home):
    prune(epath.Path(home) / "tiny/served/tiny", 1, ())
    with open(home / "tiny/lock", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        command = [sys.executable, "-m", "pipeline", "clean", "--yes", "--home", str(home)]
        second = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        assert "waiting: this home is in use" in second.stderr.readline()
        assert len(list(home.glob("tiny/trainer/*"))) == 2
    assert second.wait(60) == 0
    second.stderr.close()
    assert len(list(home.glob("tiny/trainer/*"))) == 1
