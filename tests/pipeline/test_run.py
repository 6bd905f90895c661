"""Tests the whole path through `pipeline/cli.py`: run, cached run, predict, show, and a user's mistakes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import StageError
from models.fine_tuning import FineTuning
from pipeline.cli import main

ROOT = Path(__file__).parent.parent.parent


def polisemia(capsys, *args: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command, in this process."""
    with pytest.raises(SystemExit) as stop:
        main(list(args))
    return stop.value.code or 0, *capsys.readouterr()


@pytest.fixture(scope="module")
def home(project):
    """A home where `tiny` has run once."""
    home = project / "runs"
    with pytest.raises(SystemExit) as stop:
        main(["run", str(project / "tiny.toml"), "--home", str(home)])
    assert not stop.value.code
    return home


def test_latest_json_is_what_scripts_read(home):
    latest = json.loads((home / "tiny/latest.json").read_text())
    assert set(latest["stages"]["example_gen"][0]) == {"artifact", "fingerprint", "span", "seconds", "cached"}
    assert [run["span"] for run in latest["stages"]["transform"]] == ["1", "2"]
    accuracy = latest["evaluation"]["metrics"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert latest["evaluation"]["blessed"] and "accuracy" in latest["evaluation"]["baseline"]
    assert {"north", "south"} == set(latest["evaluation"]["slices"]["shop"])
    served = latest["served"]
    assert (served["model"], served["version"]) == ("tiny", 1)
    assert (home / "tiny/served/tiny/1/saved_model.pb").exists()
    assert json.loads((home / "tiny/history/1.json").read_text()) == latest


def test_counts_in_are_counts_kept_and_rejected(home):
    for manifest in (home / "tiny/example_gen").glob("*/manifest.json"):
        found = json.loads(manifest.read_text())["properties"]
        assert found["rejected"] == 2
        assert sum(found["rows"].values()) == {"1": 300, "2": 60}[found["span"]]
        rejects = [json.loads(line) for path in (manifest.parent / "rejects").iterdir() for line in path.open()]
        assert sorted(r["reason"] for r in rejects) == ["label: empty", "text: empty"]


def test_the_trainers_options_reach_the_loop(project, home, capsys, monkeypatch):
    from models import loop

    seen = []

    def train(*_, training, **__):
        seen.append(training)
        raise StageError("seen enough")

    monkeypatch.setattr(loop, "train", train)
    sets = ["fine_tuning={ frozen = 1, layer_decay = 0.5 }", "accumulate=3", "ema=0.9", "optimizer.weight_decay=0.2"]
    sets = [part for each in sets for part in ("--set", f"trainer.{each}")]
    code, _, err = polisemia(capsys, "run", str(project / "tiny.toml"), "--home", str(home), *sets)
    assert code and "seen enough" in err
    (training,) = seen
    assert training.fine_tuning == FineTuning(frozen=1, layer_decay=0.5)
    assert (training.accumulate, training.ema) == (3, 0.9)
    assert (training.optimizer.weight_decay, training.optimizer.learning_rate) == (0.2, 0.1)


def test_a_second_run_makes_nothing_and_loads_no_tensorflow(project, home):
    code = (
        "import json, sys\nfrom pipeline.cli import main\n"
        f"try: main(['run', {str(project / 'tiny.toml')!r}, '--home', {str(home)!r}, '--json'])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print(json.dumps([m for m in ('tensorflow', 'keras', 'apache_beam') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    record, modules = done.stdout.rsplit("\n", 2)[0], done.stdout.splitlines()[-1]
    assert modules == "[]"
    assert all(run["cached"] for runs in json.loads(record)["stages"].values() for run in runs)


def test_only_what_follows_a_change_is_made_again(project, home, capsys):
    config = str(project / "tiny.toml")
    code, out, _ = polisemia(capsys, "run", config, "--home", str(home), "--json", "--set", "evaluator.resamples=60")
    made = {stage for stage, runs in json.loads(out)["stages"].items() for run in runs if not run["cached"]}
    assert (code, made) == (0, {"evaluator", "pusher"})


def test_predict_answers_texts(home, capsys):
    code, out, _ = polisemia(
        capsys, "predict", str(home / "tiny"), "--text", "a great lovely thing", "--text", "awful broken"
    )
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [answer["prediction"]["label"] for answer in answers] == ["good", "bad"]
    assert answers[0]["text"] == "a great lovely thing"


def test_show_tells_the_last_run(home, capsys):
    code, out, _ = polisemia(capsys, "show", "tiny", "--home", str(home))
    assert code == 0 and "accuracy" in out and "transform" in out and "served" in out
    code, _, err = polisemia(capsys, "show", "tini", "--home", str(home))
    assert code == 2 and "did you mean 'tiny'" in err


def test_a_model_below_its_threshold_is_not_pushed(project, home, capsys):
    config = str(project / "tiny.toml")
    code, out, _ = polisemia(
        capsys, "run", config, "--home", str(home), "--json", "--set", "evaluator.at_least={ accuracy = 1.01 }"
    )
    record = json.loads(out)
    assert code == 3 and record["served"] is None
    assert "below evaluator.at_least = 1.01" in record["evaluation"]["reasons"][0]


def test_a_users_mistakes_are_one_line_each(project, capsys):
    config = str(project / "tiny.toml")
    sets = ["example_gen.fields.text=opinon", "trainer.epoch=3", "trainer.family.name=lsmt"]
    code, _, err = polisemia(capsys, "run", config, *(a for s in sets for a in ("--set", s)))
    assert code == 2 and "Traceback" not in err
    assert "trainer.epoch: unknown key; did you mean 'epochs'?" in err
    assert "unknown family 'lsmt'; did you mean 'lstm'?" in err
    code, _, err = polisemia(capsys, "check", config, "--set", sets[0])
    assert code == 2 and "has no column 'opinon'; did you mean 'opinion'?" in err
    code, _, err = polisemia(capsys, "run", config, "--set", "example_gen.input=none.csv")
    assert code == 1 and "no file matches 'none.csv'" in err
    code, _, err = polisemia(capsys, "run", config, "--until", "trainr")
    assert code == 2 and "did you mean 'trainer'" in err


def test_new_writes_a_config_that_checks(project, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(project / "span-1.csv", tmp_path / "my reviews.csv")
    code, out, _ = polisemia(capsys, "new", "my reviews.csv", "--label", "verdict")
    assert code == 0 and 'fields = { text = "opinion", label = "verdict" }' in out
    Path("c.toml").write_text(out)
    code, out, _ = polisemia(capsys, "check", "c.toml")
    assert code == 0 and "the config is right" in out
    code, _, err = polisemia(capsys, "new", "my reviews.csv")
    assert code == 2 and "which column is the label?" in err


def test_a_second_run_on_a_home_says_who_holds_it(project, home):
    import fcntl

    with open(home / "tiny/lock", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        command = [sys.executable, "-m", "pipeline", "run", str(project / "tiny.toml"), "--home", str(home)]
        second = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        line = second.stderr.readline()
    assert "waiting: this home is in use by process" in line
    assert second.wait(60) == 0
    second.stderr.close()
