"""Pretraining on the texts themselves, through the whole path: the trainer starts from what it leaves."""

import json

import numpy as np
import pytest
from etils import epath

from models.hub import load_backbone
from pipeline.cli import main

SIZES = "layers = 1, width = 8, heads = 2"


def run(project, home, *sets: str) -> dict:
    options = [part for each in ("evaluator.at_least={}", *sets) for part in ("--set", each)]
    with pytest.raises(SystemExit) as stop:
        main(["run", str(project / "tiny.toml"), "--home", str(home), "--until", "trainer", "--json", *options])
    assert not stop.value.code
    return json.loads((home / "tiny" / "latest.json").read_text())["stages"]


@pytest.mark.parametrize(("name", "kind"), [("bert", "BertBackbone"), ("gpt2", "GPT2Backbone"), ("t5", "T5Backbone")])
def test_the_trainer_starts_from_what_was_pretrained(project, tmp_path, name, kind):
    """Trained at a rate so small that the weights stay what they were. bert is pretrained on the examples' texts, the
    others on a file of its own, of which one line is longer than a row."""
    import keras_hub

    family = f"trainer.family={{ name = '{name}', {SIZES} }}"
    small = "trainer.optimizer={ learning_rate = 1e-7 }", "trainer.epochs=1"
    sets = [family, *small, "pretrainer.epochs=1", "pretrainer.max_tokens=16"]
    if name != "bert":
        (tmp_path / "own.txt").write_text("\n".join(["a fine thing " * 30, *["the thing was poor"] * 20]))
        sets.append(f"pretrainer.input={tmp_path / 'own.txt'}")
    stages = run(project, tmp_path, *sets)
    folder = epath.Path(stages["pretrainer"][0]["artifact"])
    assert 0 < json.loads((folder / "report.json").read_text())["loss"] < 10
    backbone = load_backbone(str(folder / "preset"), getattr(keras_hub.models, kind))
    with np.load(stages["trainer"][0]["artifact"] + "/weights.npz") as arrays:
        (found,) = (arrays[key] for key in arrays.files if key.endswith("token_embedding/embeddings"))
    assert np.abs(found - backbone.token_embedding.embeddings.numpy()).max() < 1e-4


def test_what_pretraining_cannot_do_is_said_before_it_starts(project, tmp_path, capsys):
    def problem(*sets):
        options = [part for each in sets for part in ("--set", each)]
        with pytest.raises(SystemExit) as stop:
            main(["run", str(project / "tiny.toml"), "--home", str(tmp_path), *options])
        assert stop.value.code == 2
        return " ".join(capsys.readouterr().err.split())

    bert = "trainer.family=bert"
    assert "wanted as many at least" in problem(bert, "pretrainer.max_tokens=8")
    assert "leaves 1 for a text; wanted 4" in problem(bert, "transform.max_tokens=3", "pretrainer.max_tokens=3")
    assert "families that can: bert" in problem("trainer.family=lstm", "pretrainer.objective=masked")
    assert "no objective is for family 'tfidf'" in problem("trainer.family=tfidf", "pretrainer.epochs=1")
