"""Tests `components/infra_validator.py`: a model that its server could not run is stopped here, and told why."""

import json
import shutil
import sys

import pytest
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from components import model_server
from components.artifacts import Model, Validation
from components.golden import GOLDEN, write_golden
from components.infra_validator import infra_validator
from data.errors import StageError
from models.signatures import export
from models.tasks.classification import Classification
from tests.components import exported
from tests.contracts import family as contract
from tests.contracts import tiny
from tests.contracts.component import ROOT, check_import_is_light

TEXTS = [b"good good", b"bad", "día".encode()]


def validate(tmp_path, target="2.20", server="none", model=None, **params):
    model = model or exported.model_artifact(tmp_path / "model", texts=TEXTS, **params)
    validation = Validation(tmp_path / "validation")
    validation.clear()
    infra_validator(model, validation, target=target, server=server)
    return validation


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A model with every signature, and its golden requests."""
    model = Model(tmp_path_factory.mktemp("classifier"))
    trained = contract.build(tiny.family("tfidf"), "classification")
    place = model.path / "saved_model"
    export(trained, tiny.family("tfidf"), Classification(), tiny.WORDS, ["a", "b"], 16, ["text"], place)
    write_golden(place, {"text": TEXTS})
    return model


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder first on PATH, and a function that puts a stand-in for a server into it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    serve = f"cd {ROOT} && exec {sys.executable} -m tests.contracts.model_server"

    def put(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script.format(serve=serve)}\n")
        (folder / name).chmod(0o755)

    return put


def case_fold(texts):
    import tensorflow_text as tf_text

    return tf_text.case_fold_utf8(texts)


def trim(texts):
    import tensorflow_text as tf_text

    (kept,) = tf_text.RoundRobinTrimmer(4).trim([tf.strings.split(texts)])
    return tf.strings.reduce_join(kept, axis=-1, separator=" ")


def strict(texts):
    return tf.strings.unicode_encode(tf.strings.unicode_decode(texts, "UTF-8", errors="strict"), "UTF-8")


def test_a_model_with_text_ops_loads_in_the_servers_runtime_and_answers_the_same(tmp_path):
    validation = validate(tmp_path, normalise=case_fold)
    assert validation.properties["loads"] is True and validation.properties["server"] is None
    report = json.loads((validation.path / "infra.json").read_text())
    assert "CaseFoldUTF8" in report["ops"] and len(report["ops"]) == validation.properties["ops"]
    assert report["requests"][:2] == ["serving_default: 3 rows", "serving_default: an empty text"]
    assert all(report[name] > 0 for name in ("load_seconds", "cold_ms", "first_ms", "p50_ms", "p99_ms", "peak_mb"))


def test_the_request_that_fails_is_named(tmp_path):
    with pytest.raises(StageError, match="fails at the request with bytes that are no UTF-8 to .*Invalid formatting"):
        validate(tmp_path, normalise=strict)


def test_a_model_whose_variables_are_not_restored_does_not_warm_up(tmp_path):
    """Python's loader forgives some of that; TensorFlow Serving would refuse the version."""
    model = exported.model_artifact(tmp_path / "model", texts=TEXTS)
    shutil.rmtree(model.path / "saved_model/variables")
    with pytest.raises(StageError, match="fails at a warm-up request of 'serving_default': .*does not exist"):
        validate(tmp_path, model=model)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (
            {"extra": lambda scores: tf.numpy_function(lambda x: x, [scores], tf.float32)},
            "op PyFunc.*: it calls Python",
        ),
        ({"extra": tf.function(lambda scores: scores * 2, jit_compile=True)}, "jit_compile=True: it needs XLA"),
        (
            {"normalise": trim, "target": "2.19"},
            r"op TFText>RoundRobinTrim: the TF Text that TF Serving 2.19 links .*; infra_validator.target = '2.20' has",
        ),
        ({"extra": lambda scores: xla.sort(scores)}, "op XlaSort: it needs XLA"),
        ({"extra": lambda scores: scores + newer(scores)}, "op DecodeWebP: TF Serving 2.18 has no such op"),
    ],
)
def test_an_op_that_the_server_lacks_is_named(tmp_path, params, says):
    with pytest.raises(StageError, match=says):
        validate(tmp_path, **{"target": "2.18", **params})


def newer(scores):
    """Nothing, by an op that came with TensorFlow 2.20."""

    def decode():
        return tf.reduce_sum(tf.cast(tf.raw_ops.DecodeWebP(contents="", channels=3), tf.float32))

    return tf.cond(tf.size(scores) < 0, decode, lambda: 0.0)


def test_the_servers_on_this_machine_are_asked_too(tmp_path, classifier, programs):
    programs("tensorflow_model_server", "{serve} $@")
    programs(
        "docker",
        'test "$1" = rm || {serve} --model_base_path=${{8%:/models*}} --rest_api_port=$(echo $6 | cut -d: -f2)',
    )
    validation = validate(tmp_path, server="auto", model=classifier)
    assert validation.properties["server"] == "tensorflow_model_server"
    validation = validate(tmp_path, server="docker", target="2.18", model=classifier)
    assert validation.properties["server"] == "tensorflow/serving:2.18.0"


def test_a_server_that_answers_otherwise_stops_the_model(tmp_path, classifier, programs, monkeypatch):
    """The runtime's replay is left out, so that it is the server's answer that is found wrong."""
    monkeypatch.setattr("components.infra_validator.replay", lambda *_, **__: {})
    model = Model(shutil.copytree(classifier.path, tmp_path / "model"))
    path = model.path / "saved_model" / GOLDEN
    lines = path.read_text().splitlines(keepends=True)
    swapped = [line.replace('[["a", "b"]', '[["b", "a"]') for line in lines]
    assert swapped != lines
    path.write_text("".join(swapped))
    programs("tensorflow_model_server", "{serve} $@")
    says = "in tensorflow_model_server, answers another 'classes' to the request with .* to signature 'classify'"
    with pytest.raises(StageError, match=says):
        validate(tmp_path, server="auto", model=model)


def test_a_server_that_does_not_start_or_load_says_why(tmp_path, classifier, programs, monkeypatch):
    programs("tensorflow_model_server", "echo no such flag >&2; exit 3")
    with pytest.raises(StageError, match="tensorflow_model_server ended with 3: no such flag"):
        validate(tmp_path, server="auto", model=classifier)
    programs("tensorflow_model_server", "rm ${{4#*=}}/1/variables/*.data*; {serve} $@")
    with pytest.raises(StageError, match="tensorflow_model_server does not load the model: .*variables.data"):
        validate(tmp_path, server="auto", model=classifier)
    monkeypatch.setattr(model_server.shutil, "which", lambda name: None)
    with pytest.raises(StageError, match="no docker is on PATH"):
        validate(tmp_path, server="docker", model=classifier)


def test_it_loads_nothing_heavy_when_imported():
    check_import_is_light("components.infra_validator")
