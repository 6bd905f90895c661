"""ELMo through the whole path: pretrained on text, then frozen under a task; and published weights from a folder."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from models.families.elmo import Elmo, embed_sentence
from pipeline.cli import main
from tests.models.elmo_reference import write

SMALL = "name = 'elmo', embedding = 4, filters = [[1, 8], [2, 8]], units = 16, width = 8, layers = 1"


def run(project, home, capsys, *sets, until="trainer") -> dict:
    every = ("trainer.batch_tokens=256", "trainer.epochs=2", "evaluator.at_least={}", *sets)
    options = [part for each in every for part in ("--set", each)]
    with pytest.raises(SystemExit) as stop:
        main(["run", str(project / "tiny.toml"), "--json", "--home", str(home), "--until", until, *options])
    assert not stop.value.code
    return json.loads(capsys.readouterr().out)


def properties(home, stage: str) -> dict:
    (path,) = home.glob(f"tiny/{stage}/*/manifest.json")
    return json.loads(path.read_text())["properties"]


@pytest.mark.slow
def test_it_is_pretrained_on_the_examples_and_the_trainer_starts_from_it(project, tmp_path, capsys):
    sets = [f"trainer.family={{ {SMALL} }}", "pretrainer.epochs=6", "pretrainer.batch_tokens=128"]
    sets += ["pretrainer.optimizer={ learning_rate = 0.02, warmup = 0 }", "pretrainer.max_tokens=16"]
    run(project, tmp_path, capsys, *sets, until="infra_validator")
    made = properties(tmp_path, "pretrainer")
    assert made["start"] == "elmo" and made["report"]["loss"] < 4.4  # of all words alike, 5.6
    assert made["report"]["val_perplexity"] == pytest.approx(np.exp(made["report"]["val_loss"]), rel=1e-4)
    (folder,) = tmp_path.glob("tiny/pretrainer/*/elmo")
    trained = properties(tmp_path, "trainer")
    assert sum(trained["learned"]["mix"]["shares"]) == pytest.approx(1, abs=1e-5)
    # What is served holds the pretrained layers as they were.
    (saved,) = tmp_path.glob("tiny/trainer/*/saved_model")
    found = tf.saved_model.load(str(saved)).signatures["embed"](text=tf.constant(["the thing was lovely"]))["layers"][0]
    encoder = Elmo(weights=str(folder)).build(None, 16, 2, {})
    np.testing.assert_allclose(found, embed_sentence(encoder, ["the", "thing", "was", "lovely"]), atol=1e-5)


@pytest.mark.slow
def test_what_a_folder_of_weights_holds_counts_and_where_it_lies_does_not(project, tmp_path, capsys):
    folder, home = write(tmp_path / "first"), tmp_path / "home"

    def stages(folder):
        return run(project, home, capsys, f"trainer.family={{ name = 'elmo', weights = '{folder}' }}")["stages"]

    stages(folder)
    assert properties(home, "trainer")["family"] == {"name": "elmo", "weights": str(folder)}
    folder = folder.rename(tmp_path / "moved")
    assert stages(folder)["trainer"][0]["cached"]
    write(folder, seed=4)
    assert not stages(folder)["trainer"][0]["cached"]
    shutil.rmtree(folder)
    with pytest.raises(SystemExit):
        main(["run", str(project / "tiny.toml"), "--set", f"trainer.family={{ name = 'elmo', weights = '{folder}' }}"])
    assert f"trainer.family.weights: no such folder '{folder}'" in "".join(capsys.readouterr())
