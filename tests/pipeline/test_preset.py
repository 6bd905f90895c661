"""A preset in a local folder, through the whole path: its weights, and its own tokenizer."""

import json

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


def test_a_local_preset_brings_weights_and_tokenizer(project, preset, tmp_path, capsys):
    folder, embeddings = preset
    sets = [
        f"trainer.family={{ name = 'bert', preset = '{folder}' }}",
        "trainer.optimizer={ learning_rate = 1e-6 }",  # so small that the weights stay the preset's
        "trainer.epochs=1",
        "evaluator.at_least={}",
    ]
    with pytest.raises(SystemExit) as stop:
        main(
            ["run", str(project / "tiny.toml"), "--home", str(tmp_path), "--json"]
            + [part for each in sets for part in ("--set", each)]
        )
    assert not stop.value.code
    assert json.loads(capsys.readouterr().out)["served"]["version"] == 1
    (weights,) = tmp_path.glob("tiny/trainer/*/weights.npz")
    with np.load(weights) as arrays:
        (found,) = (arrays[name] for name in arrays.files if name.endswith("token_embedding/embeddings"))
    assert np.abs(found - embeddings).max() < 1e-3
    (tokenizer,) = tmp_path.glob("tiny/tokenizer_gen/*/manifest.json")
    assert json.loads(tokenizer.read_text())["properties"]["size"] == len(WORDS)
