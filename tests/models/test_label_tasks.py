"""Tests multi_label, ordinal and what windows answer together."""

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from sklearn import metrics as reference

from data.errors import DataError
from models import metrics
from models.build import build_model
from models.evaluation.multi_label import MultiLabelJudgement
from models.evaluation.ordinal import OrdinalJudgement
from models.ordinal_head import OrdinalHead
from models.signatures import Served
from models.tasks.classification import Classification
from models.tasks.multi_label import MultiLabel
from models.tasks.ordinal import Ordinal
from tests.contracts import tiny

LABELS = ["a", "b", "c"]


def lists(*rows):
    return pa.array(rows, pa.list_(pa.string()))


def test_labels_that_the_model_does_not_know_are_left_out():
    column = MultiLabel().encode(pa.record_batch({"label": lists(["c", "x", "a"], [])}), LABELS, {})["classes"]
    assert column.to_pylist() == [[2, 0], []]
    with pytest.raises(DataError, match=r"got 0 label\(s\)"):
        MultiLabel().n_outputs([])


def multi(answered=(["a", "", "c"], ["", "b", ""], ["", "", ""]), actual=(["a"], ["b", "x"], [])):
    answers = {"labels": np.array(answered, object), "scores": np.full([3, 3], 0.25, np.float32)}
    rows = pa.table({"key": [1, 2, 3], "text": ["x"] * 3, "label": lists(*actual)})
    return MultiLabelJudgement(answers, rows, pa.table({"label": lists(["a"], ["a", "b"], ["c"])}), LABELS), answers


def test_multi_label_figures_are_those_of_scikit_learn():
    judgement, answers = multi()
    wanted, answered = judgement.wanted, judgement.answers
    values = {name: each["value"] for name, each in judgement.measure(20, 0).items()}
    for name in ("micro", "macro"):
        assert values[f"{name}_f1"] == pytest.approx(reference.f1_score(wanted, answered, average=name))
    assert values["exact_match"] == pytest.approx(reference.accuracy_score(wanted, answered)) == pytest.approx(1 / 3)
    assert judgement.loss.tolist() == [1, 1, 0]
    assert judgement.baseline()[1].startswith("always 'a',")
    assert [(name, rows.tolist()) for name, rows in judgement.groups("label")][-1] == ("(none)", [2])
    assert judgement.predictions(answers, LABELS)[0]["labels"] == ["a", "c"]
    assert judgement.details(5, 0)["by_label"]["x"]["rows"] == 1


def test_multi_label_metrics_of_training_agree_with_the_evaluators():
    judgement, _ = multi(actual=(["a"], ["b"], []))
    outcome = {"answered": judgement.answers, "wanted": judgement.wanted}
    found = MultiLabel().metrics(outcome, {"weight": np.ones(3, np.float32)})
    values = {name: each["value"] for name, each in judgement.measure(5, 0).items()}
    assert found == pytest.approx({name: values[name] for name in found})


@pytest.mark.parametrize("labels", [2, 3, 6])
def test_ordinal_probabilities_sum_to_one_and_follow_the_number(labels):
    keras.utils.set_random_seed(0)
    head = OrdinalHead(labels, keras.layers.Identity())
    numbers = tf.constant([[-90.0], [-1.0], [0.0], [2.0], [90.0]])
    found = tf.exp(head(numbers)).numpy()
    head.gaps.assign(np.linspace(-9, 3, labels - 2))
    for shares in (found, tf.exp(head(numbers)).numpy()):
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
        assert shares[0].argmax() == 0 and shares[-1].argmax() == labels - 1
        assert np.all(np.diff(np.cumsum(shares, axis=1)[:, :-1], axis=0) <= 1e-6)  # a higher number, higher labels
    assert np.isfinite(head(tf.constant([[-1e4], [1e4]]))).all()


def test_a_number_learns_an_order_and_not_labels():
    assert Ordinal().n_outputs(LABELS) == 1
    with pytest.raises(DataError, match="wanted at least 2"):
        Ordinal().n_outputs(["a"])


def test_ordinal_figures_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    labels, answers, weights = random.integers(0, 4, 50), random.integers(0, 4, 50), random.random(50)
    scores = np.eye(4)[answers]
    kappa = reference.cohen_kappa_score(labels, answers, weights="quadratic", sample_weight=weights)
    assert metrics.quadratic_kappa(labels, scores, weights) == pytest.approx(kappa)
    mae = reference.mean_absolute_error(labels, answers, sample_weight=weights)
    assert metrics.mean_distance(labels, scores, weights) == pytest.approx(mae)
    rows = pa.table({"key": [1, 2, 3], "text": ["x"] * 3, "label": ["a", "c", "z"]})
    answer = {"label": np.array(["b", "c", "c"]), "scores": np.eye(3, dtype=np.float32)[[1, 2, 2]]}
    judgement = OrdinalJudgement(answer, rows, pa.table({"label": ["a", "b"]}), LABELS)
    values = {name: each["value"] for name, each in judgement.measure(50, 0).items()}
    assert values["mae"] == 0.5 and values["accuracy"] == pytest.approx(1 / 3)  # z has no place


@pytest.mark.parametrize("task", [Classification, MultiLabel, Ordinal])
@pytest.mark.parametrize("how", ["mean", "max"])
def test_windows_of_a_text_answer_together(task, how):
    """The answer to a long text is the mean, or the largest, of those to its windows; short texts answer as ever."""
    keras.utils.set_random_seed(1)
    spec, family = task(windows=how), tiny.family("lstm")
    model = build_model(family, spec, tiny.VOCABULARY, tiny.MAX_TOKENS, LABELS, False)
    texts = ["good film", "", "bad " * 9 + "good plot film " * 7, "fun"]
    arguments = model, tiny.WORDS, LABELS, tiny.MAX_TOKENS, ["text"], family
    windowed = Served(*arguments, 6, spec.merge)
    found = spec.answer(windowed.logits(tf.constant(texts)), LABELS)["scores"].numpy()
    words = texts[2].split()
    parts = [" ".join(words[start : start + 14]) for start in range(0, 18, 6)]
    assert len(words) == 30 and words[12 + 14 :] == words[26:]
    parts.append(" ".join(words[18:]))
    alone = spec.answer(Served(*arguments).logits(tf.constant([*texts[:2], texts[3], *parts])), LABELS)[
        "scores"
    ].numpy()
    np.testing.assert_allclose(found[[0, 1, 3]], alone[:3], atol=1e-5)
    wanted = alone[3:].mean(axis=0) if how == "mean" else alone[3:].max(axis=0)
    np.testing.assert_allclose(found[2], wanted if task is MultiLabel else wanted / wanted.sum(), atol=1e-5)
    assert windowed.logits(tf.constant([], tf.string)).shape == (0, 3)
