"""A trained model teaches another one, through the whole path."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from components.saved_model import PROPERTIES
from pipeline.cli import main

SMALL = "width = 8, heads = 2"
ALONE = "soft = 1.0, hard = 0.0"


def run(project, home, name, *sets: str, code: int = 0) -> dict:
    options = [part for each in ("evaluator.at_least={}", f"name={name}", *sets) for part in ("--set", each)]
    with pytest.raises(SystemExit) as stop:
        main(["run", str(project / "tiny.toml"), "--home", str(home), "--until", "trainer", "--json", *options])
    assert (stop.value.code or 0) == code
    return json.loads((home / name / "latest.json").read_text())["stages"]["trainer"][0] if not code else {}


@pytest.fixture(scope="module")
def wrong(project, tmp_path_factory):
    """The rows with the other label each."""
    folder, other = tmp_path_factory.mktemp("wrong"), {"good": "bad", "bad": "good"}
    with (project / "span-1.csv").open() as file, (folder / "span-1.csv").open("w", newline="") as out:
        rows = list(csv.DictReader(file))
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows({**row, "verdict": other.get(row["verdict"], "")} for row in rows)
    return f"example_gen.input={folder}/span-{{span}}.csv"


def accuracy(made: dict) -> float:
    history = list(csv.DictReader(Path(made["artifact"], "history.csv").read_text().splitlines()))
    return float(history[-1]["val_accuracy"])


def test_what_is_learned_comes_from_the_teacher(project, wrong, tmp_path):
    """The labels are wrong, and weigh nothing. The teacher is found by its pipeline's home."""
    run(project, tmp_path, "teacher")
    distill = f"trainer.distill={{ teacher = '{tmp_path / 'teacher'}', {ALONE} }}"
    made = run(project, tmp_path, "pupil", wrong, distill)
    assert accuracy(made) < 0.2
    manifest = json.loads(Path(made["artifact"], "manifest.json").read_text())
    assert manifest["sources"]["teacher"] and "teacher" not in manifest["params"]["distill"]


def test_teachers_that_there_are_not(project, tmp_path, capsys):
    def problem(distill):
        run(project, tmp_path, "none", f"trainer.distill={distill}", code=2)
        return " ".join(capsys.readouterr().err.split())

    assert "trainer.distill.teacher: missing" in problem("{ soft = 1.0 }")
    assert "no such model; wanted a SavedModel" in problem("{ teacher = 'nowhere' }")
    assert "unknown key 'temp'" in problem("{ teacher = 'nowhere', temp = 2 }")


def test_a_teacher_of_another_task_is_refused_before_anything_runs(project, tmp_path, capsys):
    exported = tmp_path / "exported"
    (exported / "assets.extra").mkdir(parents=True)
    (exported / "saved_model.pb").touch()
    for taught, task in (("regression", "classification"), ("classification", "regression")):
        (exported / PROPERTIES).write_text(json.dumps({"task": taught}))
        sets = (f"task={task}", f"trainer.distill={{ teacher = '{exported}' }}", "evaluator.slices=[]")
        with pytest.raises(SystemExit) as stop:
            main(["check", str(project / "tiny.toml"), *(part for each in sets for part in ("--set", each))])
        assert stop.value.code == 2
        said = f"trainer.distill: got a teacher of {taught} for {task}; wanted classification"
        assert said in " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def home(project, tmp_path_factory):
    """Where a bert is the teacher."""
    home = tmp_path_factory.mktemp("home")
    run(project, home, "teacher", f"trainer.family={{ name = 'bert', layers = 2, {SMALL} }}", "trainer.epochs=1")
    return home


@pytest.mark.slow
def test_vectors_and_layers_of_a_teacher(project, home):
    """At a rate so small that nothing is learned: the student is what it began as."""
    sets = (
        f"trainer.family={{ name = 'distilbert', layers = 1, {SMALL} }}",
        f"trainer.distill={{ teacher = '{home / 'teacher'}', cosine = 1.0, copy_layers = true }}",
        "trainer.optimizer={ learning_rate = 1e-7 }",
        "trainer.epochs=1",
    )
    run(project, home, "student", *sets)
    found = {}
    for name in ("teacher", "student"):
        artifact = json.loads((home / name / "latest.json").read_text())["stages"]["trainer"][0]["artifact"]
        with np.load(f"{artifact}/weights.npz") as arrays:
            (found[name],) = (arrays[key] for key in arrays.files if key.endswith("token_embedding/embeddings"))
    assert np.abs(found["student"] - found["teacher"]).max() < 1e-4
    assert run(project, home, "student", *sets)["cached"]


@pytest.mark.slow
def test_any_family_teaches_any_other(project, wrong, home):
    """The tokens of the two are others. Another teacher makes another model."""
    artifact = run(project, home, "bag")["artifact"]
    sets = (
        wrong,
        "tokenizer_gen.kind=words",
        "trainer.family={ name = 'lstm', width = 8 }",
        "trainer.epochs=12",
        "trainer.optimizer={ learning_rate = 0.02 }",
    )
    made = run(project, home, "pupil", *sets, f"trainer.distill={{ teacher = '{artifact}', {ALONE} }}")
    assert accuracy(made) < 0.2
    other = run(project, home, "pupil", *sets, f"trainer.distill={{ teacher = '{home / 'teacher'}', {ALONE} }}")
    assert other["fingerprint"] != made["fingerprint"]


@pytest.mark.slow
def test_teachers_that_do_not_fit(project, home, tmp_path, capsys):
    def problem(options, *sets):
        run(project, home, "none", *sets, f"trainer.distill={{ teacher = '{home / 'teacher'}'{options} }}", code=2)
        return " ".join(capsys.readouterr().err.split())

    assert "this family is bagofwords" in problem(", cosine = 1.0")
    assert "another tokenizer" in problem(
        ", cosine = 1.0", f"trainer.family={{ name = 'bert', {SMALL} }}", "tokenizer_gen.vocabulary_size=100"
    )
    (tmp_path / "span-1.csv").write_text((project / "span-1.csv").read_text().replace(",good,", ",fine,"))
    found = problem("", f"example_gen.input={tmp_path}/span-{{span}}.csv")
    assert "it answers bad, good; wanted the labels of this training, bad, fine" in found
