"""Tests `models/hub.py`: where presets are found; the network is shut here."""

import shutil
import time

import huggingface_hub
import keras_hub
import pytest
from huggingface_hub import constants

from data.errors import ConfigError
from data.tokenizers import from_files
from models.hub import check_preset, find_folder, load_backbone

BERT = keras_hub.models.BertBackbone
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b")
KAGGLE = "kaggle://keras/bert/keras/bert_tiny_en_uncased"
HUGGING_FACE = "hf://someone/tiny"


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "bert"
    sizes = {"vocabulary_size": 7, "num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 8}
    BERT(**sizes, max_sequence_length=8).save_to_preset(str(folder))
    keras_hub.models.BertTokenizer(list(PIECES), lowercase=True).save_to_preset(str(folder))
    return folder


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Empty caches, and a network that refuses at once."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    huggingface_hub.close_session()
    yield tmp_path
    huggingface_hub.close_session()


def cached(caches, preset, name):
    if name.startswith("hf://"):
        repository = caches / "hf" / "models--someone--tiny"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("0" * 40)
        return shutil.copytree(preset, repository / "snapshots" / ("0" * 40))
    return shutil.copytree(preset, caches / "kaggle/models/keras/bert/keras/bert_tiny_en_uncased/3")


NOWHERE = {
    "bert_tiny_en_uncased": "https://www.kaggle.com/models/keras/bert/keras/bert_tiny_en_uncased/3",
    KAGGLE: "https://www.kaggle.com/models/keras/bert/keras/bert_tiny_en_uncased",
    HUGGING_FACE: "https://huggingface.co/someone/tiny",
}


@pytest.mark.parametrize("name", NOWHERE)
def test_neither_cached_nor_reachable_says_what_to_download_and_where_to_put_it(name, caches, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waits before it tries again"))
    for call in (lambda: check_preset(name, BERT), lambda: load_backbone(name, BERT), lambda: find_folder(name)):
        with pytest.raises(ConfigError) as error:
            call()
        (problem,) = error.value.problems
        assert f"'{name}' is not in {caches}" in problem and f"download the files of {NOWHERE[name]} " in problem
        assert "give their folder as preset" in problem


@pytest.mark.parametrize("name", NOWHERE)
def test_what_is_cached_is_used_without_the_network(name, caches, preset):
    folder = cached(caches, preset, name)
    assert find_folder(name) == folder and check_preset(name, BERT) == str(folder)
    assert load_backbone(name, BERT).hidden_dim == 8
    assert from_files(find_folder(name)).vocabulary == list(PIECES)


def test_a_cache_without_the_tokenizer_is_not_enough(caches, preset):
    """Other programs cache a model alone."""
    folder = cached(caches, preset, HUGGING_FACE)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="has not all of config.json, model.weights.h5 .* and tokenizer.json or"):
        find_folder(HUGGING_FACE)
    assert check_preset(HUGGING_FACE, BERT) == f"{HUGGING_FACE}, to be downloaded"


def test_the_newest_version_that_is_cached(caches, preset):
    folder = cached(caches, preset, KAGGLE)
    shutil.copytree(folder, folder.with_name("12"))
    (folder.with_name("13")).mkdir()
    assert find_folder(KAGGLE) == folder.with_name("12")


def test_names_that_are_none():
    with pytest.raises(ConfigError, match=r"no preset of KerasHub \(bert_tiny_en_uncased, .*wanted a name, a kaggle"):
        find_folder("bert_tiny_en_uncase")
    with pytest.raises(ConfigError, match=r"no preset of KerasHub \(none of its names is near\)"):
        find_folder("zzzzzz")
    with pytest.raises(ConfigError, match="wanted kaggle://org/model/keras/variant"):
        find_folder("kaggle://bert")


def test_another_family_is_known_before_anything_runs(preset):
    with pytest.raises(ConfigError, match="holds BertBackbone, wanted GPT2Backbone; choose the family"):
        check_preset(str(preset), keras_hub.models.GPT2Backbone)
    assert check_preset(str(preset), BERT) == str(preset)


def test_a_remote_folder_is_copied(preset, bucket):
    shutil.copytree(preset, bucket / "models" / "bert")
    assert load_backbone("gs://models/bert", BERT).hidden_dim == 8
    assert from_files(find_folder("gs://models/bert")).vocabulary == list(PIECES)
