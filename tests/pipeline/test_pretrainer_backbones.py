"""Pretraining on the texts themselves, through the whole path: the trainer starts from what it leaves."""

import json

import numpy as np
import pytest
from etils import epath

from components.teaching import find_pretrained
from data.errors import ConfigError
from models.hub import load_backbone
from pipeline.cli import main

SIZES = "layers = 1, width = 8, heads = 2"


def run(project, home, *sets: str) -> dict:
    options = [part for each in ("evaluator.at_least={}", *sets) for part in ("--set", each)]
    with pytest.raises(SystemExit) as stop:
        main(["run", str(project / "tiny.toml"), "--home", str(home), "--until", "trainer", "--json", *options])
    assert not stop.value.code
    return json.loads((home / "tiny" / "latest.json").read_text())["stages"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("bert", "BertBackbone"), ("gpt2", "GPT2Backbone"), pytest.param("t5", "T5Backbone", marks=pytest.mark.slow)],
)
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


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """A hundred of several sentences, two of one, an empty one."""
    random, path = np.random.default_rng(0), tmp_path_factory.mktemp("documents") / "documents.jsonl"
    words = ["fine", "thing", "the", "was", "poor", "lovely"]
    texts = [
        " ".join(" ".join(random.choice(words, 4)) + "." for _ in range(random.integers(2, 9))) for _ in range(100)
    ]
    lines = (json.dumps({"body": text}) for text in [*texts, "the one.", "Another thing", ""])
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("family", "objective"),
    [("bert", "next_sentence"), pytest.param("albert", "sentence_order", marks=pytest.mark.slow)],
)
def test_pairs_of_sentences_train_the_layer_that_the_classifier_begins_with(
    project, documents, tmp_path, family, objective
):
    """The trainer's rate is so small that its weights stay what they were."""
    stages = run(
        project,
        tmp_path,
        f"trainer.family={{ name = '{family}', {SIZES} }}",
        "trainer.optimizer={ learning_rate = 1e-7 }",
        "trainer.epochs=1",
        f"pretrainer.objective={objective}",
        f"pretrainer.input={documents}",
        "pretrainer.field=body",
        "pretrainer.epochs=2",
        "pretrainer.max_tokens=24",
    )
    folder = epath.Path(stages["pretrainer"][0]["artifact"])
    counts = json.loads((folder / "manifest.json").read_text())["properties"]["documents"]
    assert (counts["documents"], counts["without_two_sentences"]) == (102, 2)  # an empty row is no text
    assert counts["pairs"] > 100 and 0.3 < counts["true_pairs"] / counts["pairs"] < 0.7
    kind = {"bert": "BertBackbone", "albert": "AlbertBackbone"}[family]
    import keras_hub

    pooler = load_backbone(str(folder / "preset"), getattr(keras_hub.models, kind)).pooled_dense
    assert np.abs(pooler.bias.numpy()).max() > 0  # it began at 0
    with np.load(stages["trainer"][0]["artifact"] + "/weights.npz") as arrays:
        (found,) = (arrays[key] for key in arrays.files if key.endswith("pooled_dense/kernel"))
    assert np.abs(found - pooler.kernel.numpy()).max() < 1e-4


@pytest.mark.slow
def test_a_masked_language_model_teaches_a_smaller_one(project, tmp_path):
    """The student begins with its word vectors, and keeps them at a rate so small."""
    small = (
        "pretrainer.epochs=1",
        "pretrainer.max_tokens=16",
        "trainer.epochs=1",
        "trainer.optimizer.learning_rate=1e-7",
    )

    def student(home):
        taught = f"pretrainer.objective={{ name = 'distillation', teacher = '{home / 'tiny'}' }}"
        still = (
            "trainer.optimizer={ learning_rate = 1e-7 }",
            "pretrainer.optimizer={ learning_rate = 1e-7 }",
            f"trainer.family={{ name = 'distilbert', {SIZES} }}",
        )
        return run(project, tmp_path / "student", *small, *still, taught)

    prints = set()
    for seed in (0, 1):
        home = tmp_path / f"teacher-{seed}"
        family = f"trainer.family={{ name = 'bert', {SIZES.replace('1', '2')} }}"
        teacher = run(project, home, *small, family, f"pretrainer.seed={seed}")["pretrainer"][0]
        made = student(home)
        prints |= {made["pretrainer"][0]["fingerprint"]}
        with np.load(made["trainer"][0]["artifact"] + "/weights.npz") as arrays:
            (found,) = (arrays[key] for key in arrays.files if key.endswith("token_embedding/embeddings"))
        import keras_hub

        wanted = load_backbone(f"{teacher['artifact']}/preset", keras_hub.models.BertBackbone).token_embedding
        assert np.abs(found - wanted.embeddings.numpy()).max() < 1e-4
    assert len(prints) == 2


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
    assert "learns from pairs of sentences" in problem(bert, "pretrainer.objective=next_sentence")
    taught = "pretrainer.objective={{ name = 'distillation'{} }}".format
    assert "pretrainer.objective.teacher: missing" in problem(bert, taught(""))
    assert "got nowhere, where no such model is" in problem(bert, taught(", teacher = 'nowhere'"))
    pairs = "pretrainer.objective=sentence_order", "pretrainer.input=nowhere.txt"
    assert "families that can: bert, albert;" in problem("trainer.family=roberta", *pairs)
    assert "families that can: bert" in problem("trainer.family=lstm", "pretrainer.objective=masked")
    assert "no objective is for family 'tfidf'" in problem("trainer.family=tfidf", "pretrainer.epochs=1")


def test_a_hugging_face_folder_can_be_the_teacher(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert find_pretrained(str(tmp_path)) == str(tmp_path)
    (tmp_path / "config.json").write_text('{"registered_name": "keras_hub>BertBackbone"}')
    with pytest.raises(ConfigError, match="where no such model is; wanted .* or a Hugging Face folder"):
        find_pretrained(str(tmp_path))
