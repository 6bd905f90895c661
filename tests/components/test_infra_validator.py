"""Tests `components/infra_validator.py`: a model that its server could not run is stopped here, and told why."""

import json

import numpy as np
import pytest
import tensorflow as tf

from components.artifacts import Validation
from components.infra_validator import _compare, infra_validator
from data.errors import StageError
from tests.components import exported

ROWS = {"text": ["good good", "bad", "día"], "label": ["good", "bad", "bad"]}


def validate(tmp_path, target="2.20", **params):
    model = exported.model_artifact(tmp_path / "model", **params)
    examples = exported.examples_artifact(tmp_path / "examples", test=ROWS)
    validation = Validation(tmp_path / "validation")
    validation.clear()
    infra_validator(model, [examples], validation, target=target)
    return validation


def case_fold(texts):
    import tensorflow_text as tf_text

    return tf_text.case_fold_utf8(texts)


def trim(texts):
    import tensorflow_text as tf_text

    (kept,) = tf_text.RoundRobinTrimmer(4).trim([tf.strings.split(texts)])
    return tf.strings.reduce_join(kept, axis=-1, separator=" ")


def strict(texts):
    return tf.strings.unicode_encode(tf.strings.unicode_decode(texts, "UTF-8", errors="strict"), "UTF-8")


def test_a_model_with_text_ops_loads_without_keras_and_answers_the_same(tmp_path):
    validation = validate(tmp_path, normalise=case_fold)
    assert validation.properties["loads"] is True
    report = json.loads((validation.path / "infra.json").read_text())
    assert "CaseFoldUTF8" in report["ops"] and len(report["ops"]) == validation.properties["ops"]
    assert report["requests"][:2] == ["the first 3 test rows", "an empty text"]
    assert all(report[name] > 0 for name in ("load_seconds", "first_ms", "p50_ms"))


def test_the_request_that_fails_is_named(tmp_path):
    with pytest.raises(StageError, match="fails at the request with bytes that are no UTF-8: .*Invalid formatting"):
        validate(tmp_path, normalise=strict)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (
            {"extra": lambda scores: tf.numpy_function(lambda x: x, [scores], tf.float32)},
            "op PyFunc.*: it calls Python",
        ),
        ({"extra": tf.function(lambda scores: scores * 2, jit_compile=True)}, "jit_compile=True: it needs XLA"),
        ({"normalise": trim, "target": "2.19"}, "op TFText>RoundRobinTrim: TF Serving 2.19 does not link it"),
    ],
)
def test_an_op_that_the_server_lacks_is_named(tmp_path, params, says):
    with pytest.raises(StageError, match=says):
        validate(tmp_path, **params)


def test_answers_must_be_the_same_and_finite():
    here = [{"label": np.array(["good"], object), "scores": np.array([[0.25, 0.75]])}]
    requests = [("an empty text", {})]
    _compare(requests, here, [{"label": ["good"], "scores": [[0.250001, 0.749999]]}])
    with pytest.raises(StageError, match="'scores' differs at the request with an empty text"):
        _compare(requests, here, [{"label": ["good"], "scores": [[0.26, 0.74]]}])
    with pytest.raises(StageError, match="'label' differs"):
        _compare(requests, here, [{"label": ["bad"], "scores": [[0.25, 0.75]]}])
    with pytest.raises(StageError, match="not finite"):
        _compare(requests, here, [{"label": ["good"], "scores": [[float("nan"), 0.75]]}])
