"""Tests `components/evaluator.py` and `models/evaluation.py`: what the exported model answers, against the truth."""

import json
import random

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sklearn

from components.artifacts import Evaluation
from components.base import Runtime
from components.evaluator import check_slices, check_thresholds, evaluator
from data.errors import ConfigError, DataError
from tests.components import exported


def rows(n, seed=0, **columns):
    """Texts whose words agree with the label seven times in ten."""
    draw = random.Random(seed)
    labels = [draw.choice(["good", "bad", "bad"]) for _ in range(n)]
    other = {"good": "bad", "bad": "good"}
    words = [[label if draw.random() < 0.7 else other[label] for _ in range(draw.randint(1, 6))] for label in labels]
    texts = [" ".join(w + ["día"] * draw.randint(0, 9)) for w in words]
    return {"text": texts, "label": labels, **{name: make(draw, n) for name, make in columns.items()}}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return exported.model_artifact(tmp_path_factory.mktemp("models") / "abcd")


def evaluate(tmp_path, model, *spans, **params):
    evaluation = Evaluation(tmp_path / "evaluation")
    evaluation.clear()
    examples = [
        exported.examples_artifact(tmp_path / f"e{i}", span=str(i), **splits) for i, splits in enumerate(spans, 1)
    ]
    evaluator(examples, model, evaluation, Runtime(), **{"resamples": 200, **params})
    return evaluation


def test_metrics_agree_with_scikit_learn(model, tmp_path):
    test = rows(400, weight=lambda draw, n: [draw.uniform(0.5, 2) for _ in range(n)])
    found = evaluate(tmp_path, model, {"train": rows(300, seed=1), "test": test})
    table = pq.read_table(str(found.path / "predictions.parquet"))
    actual, answered, weight = test["label"], table.column("predicted").to_pylist(), test["weight"]
    scores = np.array(table.column("scores").to_pylist())
    scores /= scores.sum(axis=1, keepdims=True)  # they were float32
    wanted = {
        "accuracy": sklearn.accuracy_score(actual, answered, sample_weight=weight),
        "macro_f1": sklearn.f1_score(actual, answered, average="macro", sample_weight=weight),
        "mcc": sklearn.matthews_corrcoef(actual, answered, sample_weight=weight),
        "auc": sklearn.roc_auc_score([a == "good" for a in actual], scores[:, 1], sample_weight=weight),
        "log_loss": sklearn.log_loss(actual, scores, sample_weight=weight, labels=exported.LABELS),
    }
    metrics = found.properties["metrics"]
    assert {name: metrics[name]["value"] for name in wanted} == pytest.approx(wanted, abs=1e-6)
    assert all(m["low"] < m["value"] < m["high"] for name, m in metrics.items() if name != "ece")
    assert metrics["accuracy"]["high"] - metrics["accuracy"]["low"] == pytest.approx(0.08, abs=0.03)
    details = json.loads((found.path / "metrics.json").read_text())
    recall = sklearn.recall_score(actual, answered, average=None, sample_weight=weight)
    assert [details["by_label"][label]["recall"]["value"] for label in exported.LABELS] == pytest.approx(list(recall))
    matrix = sklearn.confusion_matrix(actual, answered, sample_weight=weight)
    assert np.allclose(details["confusion_matrix"]["cells"], matrix)


def test_the_baseline_is_the_majority_of_train(model, tmp_path):
    train = {"text": ["a"] * 10, "label": ["good"] * 9 + ["bad"]}
    found = evaluate(tmp_path, model, {"train": train, "test": rows(100)}).properties
    assert found["baseline"]["accuracy"] == pytest.approx(rows(100)["label"].count("good") / 100)
    assert found["baseline_says"] == "always 'good', the commonest label of train (90.0% of its rows)"
    assert found["baseline"].keys() == found["metrics"].keys()


def test_files_hold_every_row_and_the_worst_first(model, tmp_path):
    found = evaluate(
        tmp_path, model, {"train": rows(9), "test": rows(60)}, {"train": rows(9), "test": rows(40, 2)}, worst=7
    )
    table = pq.read_table(str(found.path / "predictions.parquet"))
    assert table.column_names == ["key", "text", "label", "predicted", "scores", "loss"] and len(table) == 100
    assert json.loads(table.schema.metadata[b"labels"]) == exported.LABELS
    worst = [json.loads(line) for line in (found.path / "worst.jsonl").read_text().splitlines()]
    assert [w["loss"] for w in worst] == sorted(table.column("loss").to_pylist(), reverse=True)[:7]
    assert all(w["label"] != w["predicted"] for w in worst)
    for name in ("confusion_matrix.png", "reliability.png"):
        assert (found.path / name).read_bytes().startswith(b"\x89PNG")


def test_slices_are_measured_apart(model, tmp_path):
    shops = {"shop": lambda draw, n: [draw.choice(["a", "b"]) if i else None for i in range(n)]}
    spans = [{"train": rows(9), "test": rows(n, n, **shops)} for n in (200, 100)]
    slices = ["label", "length", "span", "shop", "unknown_words", "negation"]
    found = evaluate(tmp_path, model, *spans, slices=slices, few_rows=5).properties["slices"]
    assert {name: sum(v["rows"] for v in values.values()) for name, values in found.items()} == dict.fromkeys(
        slices, 300
    )
    assert {value: v["rows"] for value, v in found["span"].items()} == {"1": 200, "2": 100}
    assert found["shop"]["(none)"]["few"] and "few" not in found["shop"]["a"]
    assert [name.split()[0] for name in found["length"]] == ["short", "middle", "long"]
    assert all(80 <= v["rows"] <= 120 for v in found["length"].values())
    assert "auc" not in found["label"]["good"], "one label alone has no ROC curve"
    total = sum(v["accuracy"]["value"] * v["rows"] for v in found["shop"].values())
    assert total == pytest.approx(sum(v["accuracy"]["value"] * v["rows"] for v in found["label"].values()))


def test_thresholds_decide_the_blessing(model, tmp_path):
    splits = {"train": rows(9), "test": rows(200)}
    found = evaluate(
        tmp_path, model, splits, at_least={"accuracy": 0.5, "mcc": 0.99}, at_most={"log_loss": 0.01}
    ).properties
    assert found["blessed"] is False and [reason.split()[0] for reason in found["reasons"]] == ["mcc", "log_loss"]
    assert "below evaluator.at_least = 0.99" in found["reasons"][0] and "above evaluator.at_most" in found["reasons"][1]
    found = evaluate(tmp_path, model, splits, at_least={"accuracy": 0.5}).properties
    assert found["blessed"] is True and found["reasons"][0].endswith("within evaluator.at_least = 0.5")
    found = evaluate(tmp_path, model, splits).properties
    assert found["blessed"] is True and "no threshold is set" in found["reasons"][0]


def test_a_threshold_or_slice_that_makes_no_sense_is_named():
    assert check_thresholds("classification", {"accuracy": 1, "auc": 1}, {"ece": 0.1}) == []
    (unknown,) = check_thresholds("classification", {"acuracy": 0.8}, {})
    assert unknown == "evaluator.at_least.acuracy: classification has no such metric; did you mean 'accuracy'?"
    (upside_down,) = check_thresholds("classification", {"log_loss": 0.5}, {})
    assert "better when lower; wanted evaluator.at_most.log_loss" in upside_down
    assert check_slices(["label", "length", "span", "shop"], ["text", "label", "shop"]) == []
    assert "did you mean 'shop'" in check_slices(["shops"], ["text", "label", "shop"])[0]


def test_wrong_params_stop_before_any_answer(tmp_path):
    class Unread:
        properties = exported.PROPERTIES

    with pytest.raises(ConfigError) as error:
        evaluate(tmp_path, Unread(), {"test": rows(5)}, at_least={"acuracy": 0.8}, slices=["shop"])
    assert len(error.value.problems) == 2


def test_a_label_the_model_does_not_know_counts_as_one_error(model, tmp_path):
    test = rows(100)
    before = evaluate(tmp_path, model, {"train": rows(9), "test": test}).properties["metrics"]
    strange = {"text": test["text"] + ["good", "bad"], "label": test["label"] + ["meh", None]}
    found = evaluate(tmp_path, model, {"train": rows(9), "test": strange}).properties
    accuracy = found["metrics"]["accuracy"]["value"]
    assert accuracy == pytest.approx(before["accuracy"]["value"] * 100 / 102)
    assert 0 < before["macro_f1"]["value"] - found["metrics"]["macro_f1"]["value"] < 0.02
    assert found["remarks"] == [
        "1 test rows have no label and count as errors",
        "1 test rows have the label 'meh', which the model does not know, and count as errors",
    ]
    details = json.loads((tmp_path / "evaluation/metrics.json").read_text())
    assert details["confusion_matrix"]["rows"] == ["bad", "good", "(no label)", "meh"]
    assert details["confusion_matrix"]["cells"][2:] == [[1, 0], [0, 1]]


def test_an_empty_test_split_is_an_error_that_says_what_to_do(model, tmp_path):
    with pytest.raises(
        DataError, match=r"test split is empty \(train 9, valid 0, test 0 rows\); give example_gen.splits"
    ):
        evaluate(tmp_path, model, {"train": rows(9)})


def test_the_same_inputs_give_the_same_bytes(model, tmp_path):
    splits = {"train": rows(20), "test": rows(50)}
    first, second = (evaluate(tmp_path / name, model, splits, slices=["length"]) for name in "ab")
    names = sorted(path.name for path in first.path.iterdir())
    assert [(first.path / n).read_bytes() == (second.path / n).read_bytes() for n in names] == [True] * len(names)
