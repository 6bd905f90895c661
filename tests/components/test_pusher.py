"""Tests `components/pusher.py`: a served version is whole, blessed and pushed once."""

import os
from types import SimpleNamespace

import pytest

from components import pusher as module
from components.artifacts import Pushed
from components.pusher import pusher
from components.saved_model import find_model, load_exported, versions
from tests.components import exported


def push(root, trained, fingerprint="p1", blessed=True, **params):
    pushed = Pushed(root / "opiniones" / "pusher" / fingerprint)
    pushed.clear()
    reasons = ["accuracy is 0.9"] if blessed else ["accuracy is 0.4, below evaluator.at_least = 0.8"]
    evaluation = SimpleNamespace(properties={"blessed": blessed, "reasons": reasons})
    pusher(trained, evaluation, SimpleNamespace(properties={"loads": True}), pushed, **params)
    pushed.commit(stage="pusher")
    return pushed


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return [exported.model_artifact(root / name, evidence=n) for n, name in enumerate(("aaaa", "bbbb"), 1)]


def test_a_blessed_model_is_served_and_answers_on_its_own(tmp_path, models):
    pushed = push(tmp_path, models[0], model="reviews")
    place = tmp_path / "opiniones/served/reviews/1"
    assert pushed.properties["served"] == {"model": "reviews", "version": 1, "path": str(place)}
    saved_model, properties = find_model(tmp_path / "opiniones/served/reviews")
    assert str(saved_model) == str(place) and properties["labels"] == exported.LABELS
    assert load_exported(saved_model).answer({"text": [b"good"]}, 16)["label"].tolist() == ["good"]
    assert os.listdir(tmp_path / "opiniones/served/reviews") == ["1"]


def test_another_model_is_the_next_version_and_the_same_one_is_not_pushed_twice(tmp_path, models):
    served = [push(tmp_path, models[i], f"p{n}").properties["served"] for n, i in enumerate((0, 1, 0))]
    assert [s["version"] for s in served] == [1, 2, 1]
    assert {s["model"] for s in served} == {"opiniones"}, "the pipeline's name when none is given"
    assert sorted(os.listdir(tmp_path / "opiniones/served/opiniones")) == ["1", "2"]


def test_a_model_that_is_not_blessed_is_not_served(tmp_path, models):
    pushed = push(tmp_path, models[0], blessed=False)
    assert pushed.properties["served"] is None
    assert pushed.properties["reasons"] == ["accuracy is 0.4, below evaluator.at_least = 0.8"]
    assert not (tmp_path / "opiniones/served").exists()


def test_an_artifact_whose_served_model_was_deleted_is_gone(tmp_path, models):
    pushed = push(tmp_path, models[0], directory=str(tmp_path / "elsewhere"))
    assert Pushed.load(pushed.path).properties["served"]["path"] == str(tmp_path / "elsewhere/opiniones/1")
    module.epath.Path(tmp_path / "elsewhere/opiniones/1").rmtree()
    assert Pushed.load(pushed.path) is None


@pytest.mark.parametrize("renames", [True, False], ids=["local", "remote"])
def test_an_interrupted_push_leaves_no_version_and_the_next_one_completes_it(tmp_path, models, monkeypatch, renames):
    monkeypatch.setattr(module, "_renames", lambda path: renames)
    served = tmp_path / "opiniones/served/opiniones"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(module, "write_properties", lambda *given: 1 / 0)
        push(tmp_path, models[0])
    assert versions(module.epath.Path(served)) == [] and len(os.listdir(served)) == 1
    assert push(tmp_path, models[0]).properties["served"]["version"] == 1
    assert os.listdir(served) == ["1"]
    assert load_exported(served / "1").answer({"text": [b"bad"]}, 16)["label"].tolist() == ["bad"]
