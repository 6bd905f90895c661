"""Tests `models/published/`: folders in Hugging Face's format compute what torch `transformers` computes, to 1e-4.

Against answers kept in tests/golden, and where the extra `reference` is installed against the library itself.
"""

import json

import keras_hub
import numpy as np
import pytest
import safetensors.numpy

from data.errors import ConfigError
from models.families import FAMILIES
from models.hub import load_backbone
from models.objectives.distillation import MaskedDistillation
from tests.models.published_models import CONFIGS, GOLDEN, MASKED, STDS, answers, draw, masked_logits, write

TOLERANCE = 1e-4
GIVEN = json.loads((GOLDEN / "published.json").read_text())
ABOUT = GIVEN["models"]
PREFIXES = {
    "bert": "bert.",
    "roberta": "roberta.",
    "distilbert": "distilbert.",
    "albert": "albert.",
    "gpt2": "transformer.",
}


def write_golden(folder, name, std=0.25, drop=(), **changes):
    config, shapes = ABOUT[name]["config"] | changes, ABOUT[name]["shapes"]
    return write(folder, config, {key: shape for key, shape in shapes.items() if key not in drop}, std)


def check(found, expected):
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=TOLERANCE, rtol=0, err_msg=key)


@pytest.mark.parametrize("std", STDS)
@pytest.mark.parametrize("name", CONFIGS)
def test_golden_answers(name, std, tmp_path):
    with np.load(GOLDEN / "published.npz") as arrays:
        expected = {key.split()[2]: arrays[key] for key in arrays.files if key.startswith(f"{name} {std} ")}
    assert "sequence" in expected
    check(answers(write_golden(tmp_path, name, std), name.split("-")[0]), expected)


@pytest.mark.parametrize("std", STDS)
@pytest.mark.parametrize("name", CONFIGS)
def test_the_reference_itself(name, std, tmp_path):
    pytest.importorskip("transformers", reason="the extra `reference` is not installed")
    from tests.models import make_golden

    model = make_golden.make(name)
    make_golden.fill(model, std)
    model.save_pretrained(tmp_path)
    check(answers(tmp_path, name.split("-")[0]), make_golden.answers(model))


def write_masked(folder, name, std=0.25, drop="no tensor", **changes):
    about = GIVEN["masked"][name]
    shapes = {key: shape for key, shape in about["shapes"].items() if drop not in key}
    return write(folder, about["config"] | changes, shapes, std)


@pytest.mark.parametrize("std", STDS)
@pytest.mark.parametrize("name", MASKED)
def test_the_head_of_a_masked_language_model(name, std, tmp_path):
    with np.load(GOLDEN / "published.npz") as arrays:
        expected = arrays[f"masked {name} {std}"]
    found = masked_logits(write_masked(tmp_path, name, std), name.split("-")[0])
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", MASKED)
def test_the_head_of_the_reference_itself(name, tmp_path):
    pytest.importorskip("transformers", reason="the extra `reference` is not installed")
    from tests.models import make_golden

    model = make_golden.make(name, masked=True)
    make_golden.fill(model, 0.25)
    model.save_pretrained(tmp_path)
    expected = make_golden.masked_logits(model)
    np.testing.assert_allclose(masked_logits(tmp_path, name.split("-")[0]), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("how", [{"drop": "cls."}, {"tie_word_embeddings": False}])
def test_without_a_head_of_its_own_words_one_is_made(how, tmp_path):
    from models.families.base import Vocabulary

    whole = masked_logits(write_masked(tmp_path / "whole", "bert"), "bert")
    folder = write_masked(tmp_path / "other", "bert", **how)
    assert np.abs(masked_logits(folder, "bert") - whole).max() > 0.01
    with pytest.raises(ConfigError, match="holds BertBackbone without the head of a masked language model; wanted"):
        MaskedDistillation(teacher=str(folder))._teacher(Vocabulary(13), 16)


@pytest.mark.parametrize("name", PREFIXES)
def test_a_model_with_a_head_reads_as_one_without(name, tmp_path):
    """A *ForMaskedLM or *LMHeadModel has a prefix and a head; what is read stays (DistilBERT has no pooler)."""
    plain, headed = write_golden(tmp_path / "plain", name), write_golden(tmp_path / "headed", name)
    tensors = safetensors.numpy.load_file(plain / "model.safetensors")
    tensors = {PREFIXES[name] + key: array for key, array in tensors.items()}
    tensors |= {"cls.predictions.bias": draw("bias", [13], 0.1), "lm_head.weight": draw("head", [13, 8], 0.1)}
    safetensors.numpy.save_file(tensors, headed / "model.safetensors")
    expected = answers(plain, name)
    check(answers(headed, name), {"layers": expected["layers"]} if name == "distilbert" else expected)


@pytest.mark.parametrize("name, pooler", [("bert", "pooler.dense"), ("roberta", "pooler.dense"), ("albert", "pooler")])
def test_a_model_without_pooler_reads(name, pooler, tmp_path):
    whole = answers(write_golden(tmp_path / "whole", name), name)
    missing = write_golden(tmp_path / "missing", name, drop=[f"{pooler}.weight", f"{pooler}.bias"])
    found = answers(missing, name)
    check(found, {"layers": whole["layers"]})
    assert np.abs(found["pooled"] - whole["pooled"]).max() > 0.01


def test_old_names_several_files_and_half_precision(tmp_path):
    """As bert-base-uncased has LayerNorm.gamma, and large models several files, often in bfloat16."""
    import ml_dtypes

    plain = write_golden(tmp_path / "plain", "bert")
    tensors = safetensors.numpy.load_file(plain / "model.safetensors")
    tensors = {key: array.astype(ml_dtypes.bfloat16) for key, array in tensors.items()}
    old = {}
    for key, array in tensors.items():
        new = "LayerNorm" in key
        old[key.replace("weight", "gamma").replace("bias", "beta") if new else key] = array
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "config.json").write_text((plain / "config.json").read_text())
    names = sorted(old)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, keys in parts.items():
        safetensors.numpy.save_file({key: old[key] for key in keys}, folder / file)
    weight_map = {key: file for file, keys in parts.items() for key in keys}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    safetensors.numpy.save_file(
        {key: array.astype(np.float32) for key, array in tensors.items()}, plain / "model.safetensors"
    )
    check(answers(folder, "bert"), answers(plain, "bert"))


def test_an_encoder_alone_is_a_t5_for_tasks_that_read(tmp_path):
    shapes = ABOUT["t5"]["shapes"]
    decoder = [name for name in shapes if name.startswith("decoder.")]
    folder = write_golden(tmp_path, "t5", drop=decoder)
    family = FAMILIES["t5"](preset=str(folder))
    family.build(_vocabulary(), 16, 2, {})
    with pytest.raises(ConfigError, match="holds an encoder alone, wanted both halves"):
        family.build_decoder(_vocabulary(), 16, memory=True)


def _vocabulary():
    from models.families.base import Vocabulary

    return Vocabulary(13)


def test_what_is_wrong_with_a_folder(tmp_path):
    def fails(folder, match, kind=keras_hub.models.BertBackbone):
        with pytest.raises(ConfigError, match="^trainer.family.preset: .*" + match):
            load_backbone(str(folder), kind)

    fails(
        write_golden(tmp_path / "a", "bert", drop=["encoder.layer.1.output.dense.bias"]), "without 'encoder.layer.1.out"
    )
    fails(write_golden(tmp_path / "b", "bert", intermediate_size=11), r"got '.*' of shape \[12, 8\], wanted \[8, 11\]")
    fails(write_golden(tmp_path / "c", "bert", hidden_act="quick_gelu"), "got activation 'quick_gelu'; wanted one of")
    fails(write_golden(tmp_path / "d", "bert", position_embedding_type="relative_key"), "only 'absolute' is computed")
    fails(write_golden(tmp_path / "e", "roberta"), "holds RobertaBackbone, wanted BertBackbone; choose the family")
    fails(write_golden(tmp_path / "f", "bert", model_type="electra"), "got model_type 'electra'; wanted one of bert")
    folder = write_golden(tmp_path / "g", "bert")
    (folder / "model.safetensors").write_bytes(b"\0" * 100)
    fails(folder, "not a whole safetensors file")
    (folder / "model.safetensors").unlink()
    fails(folder, "got a folder without model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 13}))
    (folder / "model.safetensors").write_bytes(b"")
    fails(folder, "got no 'num_hidden_layers', which a 'bert' model has")
    (folder / "config.json").write_text("{")
    fails(folder, "config.json: not JSON")
    (folder / "config.json").unlink()
    fails(folder, "got a folder without config.json")


def test_a_pickle_is_never_read(tmp_path):
    folder = write_golden(tmp_path, "bert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="pytorch_model.bin, a pickle, which may run any code .* download that file"):
        load_backbone(str(folder), keras_hub.models.BertBackbone)
