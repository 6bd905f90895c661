"""Tests `components/saved_model.py`: a model is found by any of its paths, and answers rows in their order."""

import json
import random

import pytest

from components.saved_model import _batches, find_model, load_exported, read_properties, write_properties
from data.errors import ConfigError, StageError
from tests.components import exported


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return exported.save(tmp_path_factory.mktemp("models") / "saved_model")


def place(saved, path):
    """A SavedModel at `path`, as `find_model` sees it: all that it looks at is the graph and the properties."""
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"")
    write_properties(path, {"labels": [path.as_posix()]})


def test_a_model_is_found_by_each_of_its_paths(saved, tmp_path):
    for name in ("trainer/aaaa/saved_model", "served/reviews/2", "served/reviews/10", "served/reviews/.incoming"):
        place(saved, tmp_path / name)
    (tmp_path / "served/reviews/11").mkdir()  # no graph: not whole

    def found(path):
        directory, properties = find_model(tmp_path / path)
        assert properties["labels"] == [str(directory)]
        return str(directory.relative_to(tmp_path))

    assert found("trainer/aaaa/saved_model") == found("trainer/aaaa") == "trainer/aaaa/saved_model"
    assert found("served/reviews") == "served/reviews/10"
    latest = {"served": None, "stages": {"trainer": [{"fingerprint": "aaaa"}]}}
    (tmp_path / "latest.json").write_text(json.dumps(latest))
    assert found("") == "trainer/aaaa/saved_model"
    latest["served"] = {"model": "reviews", "version": 2, "path": "moved/away"}
    (tmp_path / "latest.json").write_text(json.dumps(latest))
    assert found("") == "served/reviews/2"


def test_what_is_no_model_is_said_to_be_none(tmp_path):
    with pytest.raises(ConfigError, match="nowhere: no such model"):
        find_model(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no model in it"):
        find_model(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ConfigError, match="wanted a SavedModel that Polisemia exported"):
        find_model(tmp_path)
    with pytest.raises(StageError, match="TensorFlow cannot load it"):
        load_exported(tmp_path)


def test_properties_travel_inside(saved):
    assert read_properties(saved) == exported.PROPERTIES


@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_answers_are_in_the_order_of_the_rows(saved, batch_tokens):
    texts = [" ".join(random.Random(i).choices(["good", "bad", "día", "\0"], k=i % 9 + 1)).encode() for i in range(200)]
    answers = load_exported(saved).answer({"text": texts}, 16, batch_tokens)
    good = [text.split().count(b"good") - text.split().count(b"bad") for text in texts]
    assert answers["label"].tolist() == ["good" if n > 0 else "bad" for n in good]
    assert [round(float(s[1] - s[0]), 3) == 0 for s in answers["scores"]] == [n == 0 for n in good]


def test_a_nul_at_the_end_of_a_text_reaches_the_model(saved):
    scores = load_exported(saved).answer({"text": [b"good\0", b"good"]}, 16)["scores"]
    assert scores[0].tolist() == [0.5, 0.5] and scores[1, 1] > 0.7, "it makes another word, one nobody knows"


def test_batches_hold_about_as_many_tokens_as_asked():
    import numpy as np

    sizes = np.sort(np.random.default_rng(0).integers(0, 400, 1000))
    batches = list(_batches(sizes, 64, 1024))
    assert [start for start, _ in batches[1:]] == [end for _, end in batches[:-1]] and batches[-1][1] == 1000
    padded = [(end - start) * min(64, sizes[end - 1] // 4 + 1) for start, end in batches]
    assert max(padded) <= 1024 and min(padded[1:-1]) > 900
