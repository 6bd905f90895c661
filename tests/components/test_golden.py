"""Tests `components/golden.py` and `components/native_session.py`: a model proves itself by what it carries."""

import math
import shutil

import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from components.golden import GOLDEN, Golden, compare_all, read_golden, replay, write_golden
from components.native_client import ask_native
from components.native_session import from_json, to_json
from components.warmup import WARMUP, read_warmup, write_warmup
from data.errors import StageError
from tests.components import exported
from tests.contracts.component import check_import_is_light

TEXTS = {"text": [b"good good", b"bad", "día".encode()] * 4}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = exported.save(tmp_path_factory.mktemp("models") / "saved_model")
    write_golden(directory, TEXTS)
    return directory


def test_a_model_answers_its_golden_requests_in_the_runtime_of_a_server(saved):
    names = [(g.request["signature_name"], g.name) for g in read_golden(saved)]
    odd = ["an empty text", "bytes that are no UTF-8", "a text of 20,000 words"]
    assert names == [("serving_default", name) for name in ["8 rows", *odd]]
    assert replay(saved)["peak_mb"] > 1


def test_another_answer_is_refused_by_name(saved, tmp_path):
    place = shutil.copytree(saved, tmp_path / "1")
    text = (place / GOLDEN).read_text().replace('"label": ["bad"]', '"label": ["good"]')
    (place / GOLDEN).write_text(text)
    with pytest.raises(StageError, match="another 'label' to the request with an empty text to signature 'serving_def"):
        replay(place)
    (place / "variables/variables.data-00000-of-00001").unlink()
    with pytest.raises(StageError, match=r"C\+\+ runtime, does not load: "):
        replay(place)
    for broken in (b"no protobuf", None):
        (place / "saved_model.pb").write_bytes(broken) if broken else (place / "saved_model.pb").unlink()
        with pytest.raises(StageError, match="saved_model.pb cannot be read .*wanted a whole SavedModel"):
            replay(place)
    (place / GOLDEN).unlink()
    with pytest.raises(StageError, match="no assets.extra/golden.jsonl inside"):
        replay(place)


def test_the_same_model_writes_the_same_bytes(saved, tmp_path):
    place = shutil.copytree(saved, tmp_path / "1")
    write_golden(place, TEXTS)
    assert all((place / name).read_bytes() == (saved / name).read_bytes() for name in (GOLDEN, WARMUP))


def test_a_server_is_warmed_by_some_batch_sizes(saved, tmp_path):
    requests = read_warmup(saved)
    assert [len(request["inputs"]["text"]) for request in requests] == [1, 8, 32]
    assert all(request["signature_name"] == "serving_default" for request in requests)
    measured = ask_native(saved, [], requests, timed=3)
    assert all(measured[name] > 0 for name in ("load_seconds", "cold_ms", "first_ms", "p50_ms", "p99_ms"))
    with pytest.raises(StageError, match="fails at a warm-up request of 'serving_default'"):
        ask_native(saved, [], [{"signature_name": "serving_default", "inputs": {}}])
    assert read_warmup(tmp_path) == []


def test_each_call_of_tf_serving_has_a_message_of_its_own(tmp_path):
    examples = [tf.train.Example().SerializeToString()]
    requests = [{"signature_name": name, "inputs": {"inputs": to_json(examples)}} for name in ("classify", "regress")]
    requests.append({"signature_name": "on_tokens", "inputs": {"tokens": [["a", "b"]], "length": [2]}})
    write_warmup(tmp_path, requests)
    assert read_warmup(tmp_path) == requests
    logs = [PredictionLog.FromString(r) for r in tf.data.TFRecordDataset(str(tmp_path / WARMUP)).as_numpy_iterator()]
    assert [log.WhichOneof("log_type") for log in logs] == ["classify_log", "regress_log", "predict_log"]


def test_the_runtime_has_xla_off_as_a_server_has(tmp_path):
    exported.save(tmp_path, texts=TEXTS["text"], extra=tf.function(lambda scores: scores * 2, jit_compile=True))
    with pytest.raises(StageError, match="XLA compilation disabled"):
        replay(tmp_path)


def test_a_model_is_not_asked_nothing(saved):
    with pytest.raises(StageError, match="got no texts"):
        write_golden(saved, {"text": []})


def test_answers_must_be_the_same_and_finite():
    golden = Golden("a", {"signature_name": "s"}, {"outputs": {"label": ["good"], "scores": [[0.25, 0.75]]}})
    compare_all([golden], [{"outputs": {"label": ["good"], "scores": [[0.250001, 0.749999]]}}], "m")
    wrong = {
        "another 'scores'": {"label": ["good"], "scores": [[0.26, 0.74]]},
        "another 'label'": {"label": ["bad"], "scores": [[0.25, 0.75]]},
        "'scores' that is not finite": {"label": ["good"], "scores": [[math.nan, 0.75]]},
        r"answers \['label'\] to .*; wanted \['label', 'scores'\]": {"label": ["good"]},
    }
    for says, outputs in wrong.items():
        with pytest.raises(StageError, match=says):
            compare_all([golden], [{"outputs": outputs}], "m")
    with pytest.raises(StageError, match="m fails at the request with a to signature 's': no"):
        compare_all([golden], [{"error": "no"}], "m")


def test_tensors_of_any_type_and_shape_go_in_and_out(tmp_path):
    kinds = [tf.float32, tf.float64, tf.int32, tf.int64, tf.bool, tf.string]
    specs = [tf.TensorSpec(None, kind, name=kind.name) for kind in kinds]
    module = tf.Module()
    same = tf.function(lambda *given: {k.name: tf.identity(g) for k, g in zip(kinds, given, strict=True)}, specs)
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": same})
    values = {"float32": [[0.5], [-1.0]], "float64": 0.1, "int32": [1, -2], "int64": [[[1 << 40]]], "bool": [True]}
    inputs = {**values, "string": [["día", {"b64": "/w=="}], ["", "a\0b\0"]]}
    requests = [{"signature_name": "serving_default", "inputs": inputs}]
    requests += [{"signature_name": "serving_default", "inputs": {name: [] for name in inputs}}]
    answers = ask_native(tmp_path, requests)["answers"]
    assert [answer["outputs"] for answer in answers] == [request["inputs"] for request in requests]


def test_strings_are_text_or_base64():
    assert to_json([b"d\xc3\xada", [b"\xff\0"]]) == ["día", [{"b64": "/wA="}]]
    assert from_json(["día", [{"b64": "/wA="}], 1]) == [b"d\xc3\xada", [b"\xff\0"], 1]


def test_the_process_of_the_server_imports_no_tensorflow():
    check_import_is_light("components.native_session")
