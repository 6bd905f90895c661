"""A preset in a local folder, through the whole path: its weights, and its own tokenizer."""

import json
import shutil

import h5py
import numpy as np
import pytest

from pipeline.cli import main

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the a thing was fine great lovely poor awful broken ##s".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A tiny BERT as KerasHub saves one."""
    import keras_hub

    folder = tmp_path_factory.mktemp("preset")
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(WORDS), num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16, max_sequence_length=16
    )
    backbone.save_to_preset(str(folder))
    keras_hub.models.BertTokenizer(vocabulary=WORDS, lowercase=True).save_to_preset(str(folder))
    return folder, backbone.token_embedding.embeddings.numpy()


def arguments(folder, home) -> list[str]:
    sets = [
        f"trainer.family={{ name = 'bert', preset = '{folder}' }}",
        "trainer.optimizer={ learning_rate = 1e-6 }",  # so small that the weights stay the preset's
        "trainer.epochs=1",
        "evaluator.at_least={}",
    ]
    return ["--home", str(home), *(part for each in sets for part in ("--set", each))]


def run(project, folder, home, capsys, *options) -> dict:
    with pytest.raises(SystemExit) as stop:
        main(["run", str(project / "tiny.toml"), "--json", *arguments(folder, home), *options])
    assert not stop.value.code
    return json.loads(capsys.readouterr().out)


def test_a_local_preset_brings_weights_and_tokenizer(project, preset, tmp_path, capsys):
    folder, embeddings = preset
    assert run(project, folder, tmp_path, capsys)["served"]["version"] == 1
    (weights,) = tmp_path.glob("tiny/trainer/*/weights.npz")
    with np.load(weights) as arrays:
        (found,) = (arrays[name] for name in arrays.files if name.endswith("token_embedding/embeddings"))
    assert np.abs(found - embeddings).max() < 1e-3
    (tokenizer,) = tmp_path.glob("tiny/tokenizer_gen/*/manifest.json")
    assert json.loads(tokenizer.read_text())["properties"]["size"] == len(WORDS)
    (model,) = tmp_path.glob("tiny/trainer/*/manifest.json")
    assert json.loads(model.read_text())["properties"]["family"] == {"name": "bert", "preset": str(folder)}


@pytest.mark.slow
def test_what_a_preset_holds_counts_and_where_it_lies_does_not(project, preset, tmp_path, capsys):
    folder, home = tmp_path / "first", tmp_path / "home"
    shutil.copytree(preset[0], folder)
    run(project, folder, home, capsys, "--until", "trainer")
    folder = folder.rename(tmp_path / "moved")
    (folder / "README.md").write_text("nothing reads this")
    stages = run(project, folder, home, capsys, "--until", "trainer")["stages"]
    assert all(entry["cached"] for entries in stages.values() for entry in entries)
    with h5py.File(folder / "model.weights.h5", "a") as file:
        weights = []
        file.visititems(lambda _, item: weights.append(item) if isinstance(item, h5py.Dataset) else None)
        weights[0][...] += 0.5
    stages = run(project, folder, home, capsys, "--until", "trainer")["stages"]
    assert stages["example_gen"][0]["cached"] and not stages["trainer"][0]["cached"]


def test_check_says_where_a_preset_is_or_what_is_wrong(project, preset, capsys):
    def check(family, code):
        with pytest.raises(SystemExit) as stop:
            main(["check", str(project / "tiny.toml"), "--set", f"trainer.family={family}"])
        assert (stop.value.code or 0) == code
        return "".join(capsys.readouterr())

    assert f"preset {preset[0]}\n" in check(f"{{ name = 'bert', preset = '{preset[0]}' }}", 0)
    assert "holds BertBackbone, wanted GPT2Backbone" in check(f"{{ name = 'gpt2', preset = '{preset[0]}' }}", 2)
    assert "trainer.family.preset: no such folder './none'" in check("{ name = 'bert', preset = './none' }", 2)
    assert "no preset of KerasHub (bert_tiny" in check("{ name = 'bert', preset = 'bert_tiny_en_uncase' }", 2)
