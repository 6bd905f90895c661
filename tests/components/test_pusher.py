"""Tests `components/pusher.py`: a served version is whole, blessed and pushed once."""

import json
import os
from types import SimpleNamespace

import pytest

from components import versions as module
from components.artifacts import Pushed
from components.pusher import pusher
from components.saved_model import find_model, load_exported, versions
from components.versions import lineage, publish
from data.errors import StageError
from tests.components import exported


def push(root, trained, fingerprint="p1", blessed=True, comparison=None, **params):
    pushed = Pushed(root / "opiniones" / "pusher" / fingerprint)
    pushed.clear()
    reasons = ["accuracy is 0.9"] if blessed else ["accuracy is 0.4, below evaluator.at_least = 0.8"]
    metrics = {"accuracy": {"value": 0.9, "low": 0.8, "high": 1.0}}
    evaluation = SimpleNamespace(properties={"blessed": blessed, "reasons": reasons, "metrics": metrics})
    pusher(trained, evaluation, SimpleNamespace(properties={"loads": True}), comparison, pushed, **params)
    pushed.commit(stage="pusher")
    return pushed


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return [
        exported.model_artifact(root / name, evidence=n) for n, name in enumerate(("aaaa", "bbbb", "cccc", "dddd"), 1)
    ]


@pytest.fixture
def served(tmp_path):
    return module.epath.Path(tmp_path / "opiniones/served/opiniones")


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


def test_a_version_tells_where_it_came_from_and_what_it_replaced(tmp_path, models, served):
    for n in range(2):
        push(tmp_path, models[n], f"p{n}")
    first, second = lineage(served)
    assert (first.number, first.origin, first.here) == (1, "aaaa", True)
    assert first.record["metrics"] == {"accuracy": 0.9} and first.record["replaces"] is None
    assert second.record["replaces"] == 1 and second.record["labels"] == exported.LABELS


def test_the_last_versions_are_kept_and_a_removed_one_is_not_pushed_again(tmp_path, models, served):
    pushed = [push(tmp_path, model, f"p{n}", keep=2) for n, model in enumerate(models)]
    assert versions(served) == [3, 4]
    assert sorted(os.listdir(served)) == [".removed", "3", "4"]
    assert [(v.number, v.origin, v.here) for v in lineage(served)] == [
        (1, "aaaa", False),
        (2, "bbbb", False),
        (3, "cccc", True),
        (4, "dddd", True),
    ]
    assert all(Pushed.load(each.path) for each in pushed), "what keep removed is not missing"
    again = push(tmp_path, models[0], "p9", keep=2)
    assert again.properties["served"]["version"] == 1 and versions(served) == [3, 4]
    assert Pushed.load(again.path)
    push(tmp_path, exported.model_artifact(tmp_path / "eeee", evidence=5), "p10", keep=0)
    assert versions(served) == [3, 4, 5], "0 keeps all"


def test_the_version_that_the_record_names_stays_until_the_next_push(tmp_path, models, served):
    for n, model in enumerate(models[:3]):
        pushed = push(tmp_path, model, f"p{n}", keep=1)
        assert versions(served) == ([n, n + 1] if n else [1])
        (tmp_path / "opiniones/latest.json").write_text(json.dumps({"served": pushed.properties["served"]}))


@pytest.mark.parametrize("renames", [True, False], ids=["local", "remote"])
def test_an_interrupted_removal_is_done_by_the_next_push(tmp_path, models, served, monkeypatch, renames):
    monkeypatch.setattr(module, "_renames", lambda path: renames)
    push(tmp_path, models[0], "p1", keep=1)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(type(served), "rmtree", lambda self: 1 / 0)
        push(tmp_path, models[1], "p2", keep=1)
    assert versions(served) == [2] and lineage(served)[0].origin == "aaaa"
    push(tmp_path, models[2], "p3", keep=1)
    assert versions(served) == [3] and [v.origin for v in lineage(served)] == ["aaaa", "bbbb", "cccc"]


def test_a_model_that_was_rolled_back_is_not_pushed_again_even_when_its_version_was_deleted(tmp_path, models, served):
    for n in range(2):
        push(tmp_path, models[n], f"p{n}")
    assert publish(served / "1", served, {"copy_of": 1, "withdraws": "bbbb"}) == 3
    assert push(tmp_path, models[1], "p2").properties["served"]["version"] == 2
    assert push(tmp_path, models[0], "p3").properties["served"]["version"] == 3
    (served / "2").rmtree()
    pushed = push(tmp_path, models[1], "p4")
    assert pushed.properties["served"]["version"] == 2 and versions(served) == [1, 3]
    assert Pushed.load(pushed.path), "it is made once, not in every run"
    assert push(tmp_path, models[2], "p5").properties["served"]["version"] == 4
    newest = lineage(served)[-1].record
    assert newest["replaces"] == 3 and "withdraws" not in newest


def test_a_served_model_without_a_version_is_an_error_that_says_what_to_do(tmp_path, models, served):
    for n in range(2):
        push(tmp_path, models[n], f"p{n}", keep=1)
    assert module.served_now(served)["version"] == 2
    (served / "2").rmtree()
    with pytest.raises(StageError, match="opiniones holds no version any more; remove what is left"):
        module.served_now(served)
