"""Word vectors from a file, and the bytes of words, through the whole path."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main

WORDS = ["fine", "Lovely", "poor", "unheard", "awful"]


def run(project, home, capsys, family: str) -> dict:
    sets = [f"trainer.family={family}", "trainer.epochs=2", "evaluator.at_least={}", "evaluator.resamples=5"]
    options = [part for each in sets for part in ("--set", each)]
    with pytest.raises(SystemExit) as stop:
        main(["run", str(project / "tiny.toml"), "--home", str(home), "--json", "--until", "infra_validator", *options])
    out = capsys.readouterr()
    assert not stop.value.code, out.err
    return json.loads((home / "tiny" / "latest.json").read_text())["stages"]


def write(path, seed: int):
    rows = np.random.default_rng(seed).normal(size=[len(WORDS), 4])
    path.write_text("".join(f"{w} {' '.join(map(str, row))}\n" for w, row in zip(WORDS, rows, strict=True)))
    return path


@pytest.mark.slow
def test_the_content_of_the_vectors_counts_and_not_their_path(project, tmp_path, capsys):
    """And their words join the vocabulary, as the tokenizer writes them. infra_validator asks the exported model,
    the bytes of words included."""
    paths = [write(tmp_path / "one.txt", 0), write(tmp_path / "two.txt", 0), write(tmp_path / "three.txt", 1)]
    family = '{{ name = "fasttext", vectors = "{}", buckets = 500, characters = [2, 3] }}'
    first, same, other = (run(project, tmp_path / "home", capsys, family.format(path)) for path in paths)
    vocabulary = (Path(first["tokenizer_gen"][0]["artifact"]) / "vocab.txt").read_text().split()
    assert {"fine", "lovely", "unheard", "great"} <= set(vocabulary) and "Lovely" not in vocabulary
    assert same["trainer"][0] | {"seconds": 0} == first["trainer"][0] | {"seconds": 0, "cached": True}
    assert other["trainer"][0]["fingerprint"] != first["trainer"][0]["fingerprint"]
    with np.load(first["trainer"][0]["artifact"] + "/weights.npz") as weights:
        table = next(weights[name] for name in weights.files if weights[name].shape == (len(vocabulary), 4))
    rows = np.random.default_rng(0).normal(size=[len(WORDS), 4])
    assert np.abs(table[vocabulary.index("unheard")] - rows[3]).max() < 1e-6  # no text has it: it was not moved
    assert np.abs(table[vocabulary.index("fine")] - rows[0]).max() > 1e-3


def test_a_missing_file_is_said(project, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        family = 'trainer.family={ name = "glove", vectors = "nowhere.txt" }'
        main(["run", str(project / "tiny.toml"), "--home", str(tmp_path), "--set", family])
    assert stop.value.code == 1
    assert "vectors: no file matches 'nowhere.txt'" in " ".join(capsys.readouterr().err.split())
