"""A tiny pipeline that runs in seconds: 300 rows that a bag of words can learn."""

import csv
import json
import random
import shutil
from pathlib import Path

import pytest

from components.artifacts import SEAL, seal
from pipeline.cli import main

CONFIG = """
name = "tiny"
task = "classification"

[example_gen]
input = "{folder}/span-{{span}}.csv"
fields = {{ text = "opinion", label = "verdict" }}
keep = ["shop"]
max_rejected = 0.05

[transform]
max_tokens = 16

[trainer]
family = {{ name = "bag_of_words", ngrams = [1, 1] }}
epochs = 8
batch_tokens = 512
optimizer = {{ learning_rate = 0.1 }}

[evaluator]
at_least = {{ accuracy = 0.7 }}
slices = ["label", "length", "shop", "span"]
resamples = 50
"""


def write_rows(path, rows: int, seed: int) -> None:
    """Reviews whose verdict is in one of their words, and two broken rows."""
    pick = random.Random(seed)
    words = {"good": ["fine", "great", "lovely"], "bad": ["poor", "awful", "broken"]}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["opinion", "verdict", "shop"])
        for n in range(rows):
            label = pick.choice(["good", "bad"])
            text = ["the", "a", "thing", "was", pick.choice(words[label]), f"w{pick.randrange(40)}", str(n)]
            pick.shuffle(text)
            writer.writerow([" ".join(text), label, pick.choice(["north", "south"])])
        writer.writerow(["", "good", "north"])
        writer.writerow(["no label here", "", "south"])


def copy_home(home: Path, copy: Path) -> Path:
    """A home for a test to change: where it names itself, the copy names the copy."""
    shutil.copytree(home, copy)
    for path in [copy / "tiny/latest.json", *copy.glob("tiny/history/*.json"), *copy.glob("tiny/*/*/manifest.json")]:
        text = path.read_text()
        if str(home) in text:
            found = json.loads(text.replace(str(home), str(copy)))
            path.write_text(json.dumps(found | ({SEAL: seal(found)} if SEAL in found else {})))
    return copy


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with two spans of data and `tiny.toml`."""
    folder = tmp_path_factory.mktemp("project")
    write_rows(folder / "span-1.csv", 300, 1)
    write_rows(folder / "span-2.csv", 60, 2)
    (folder / "tiny.toml").write_text(CONFIG.format(folder=folder))
    return folder


@pytest.fixture
def polisemia(home, capsys):
    """Runs a command on the module's `home`; (exit code, what it printed: JSON or text, errors)."""

    def command(*args: str):
        with pytest.raises(SystemExit) as stop:
            main([*args, "--home", str(home)])
        out, err = capsys.readouterr()
        return stop.value.code or 0, json.loads(out) if "--json" in args else out, err

    return command
