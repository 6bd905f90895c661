"""Tests `models/tasks/word_in_context.py`, its head and its judgement: a word's vectors in two texts."""

from collections import Counter

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from models.build import adapt, build_model
from models.evaluation.word_in_context import WordInContextJudgement, _commoner
from models.signatures import Served
from models.tasks.base import Places
from models.tasks.word_in_context import WordInContext, word_at
from tests.contracts import tiny

LABELS = ["F", "T"]
TEXTS = ["good film", "not very good plot"]


def asker(name, **params):
    keras.utils.set_random_seed(0)
    task, family = WordInContext(**params), tiny.family(name)
    adapted = adapt(family, [tiny.batch("word_in_context", 5)], tiny.VOCABULARY, tiny.MAX_TOKENS)
    model = build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, LABELS, True, adapted)
    served = Served(model, tiny.WORDS, LABELS, tiny.MAX_TOKENS, list(task.inputs), family)
    ask = task.signatures(served)["serving_default"]

    def asked(*rows):
        texts = [tf.constant(column) for column in zip(*rows, strict=True)]
        return {key: value.numpy() for key, value in ask(*texts).items()}

    return asked


@pytest.mark.parametrize("name", ["word2vec", "glove", "fasttext"])
def test_the_same_form_has_the_same_static_vector(name):
    """A vector of a word alone knows no context: the cosine of two equal forms is 1, and of two others it is not."""
    found = asker(name)((*TEXTS, "0:4", "9:13"), (*TEXTS, "0:4", "14:18"), (*TEXTS, "5:9", "0:3"))["cosine"]
    assert found[0] == pytest.approx(1.0, abs=1e-6) and np.all(np.abs(found[1:]) < 0.999)


def test_a_word_in_another_context_has_another_vector():
    assert asker("lstm")((*TEXTS, "0:4", "9:13"))["cosine"][0] < 0.999


def test_what_is_no_span_means_all_of_the_text():
    ask = asker("lstm")
    spans = [b"", b"0:18", b"7:5", b"x", b"3:", b"-1:4", b"90:99", b"\xff", b"99999999999:2"]
    found = ask(*((TEXTS[0].encode(), TEXTS[1].encode(), b"0:4", span) for span in spans))
    assert np.isfinite(found["cosine"]).all() and np.ptp(found["cosine"]) < 1e-6
    assert np.ptp(found["scores"], axis=0).max() < 1e-6
    empty = ask(("", "", "0:4", ""), ("bad " * 50, "bad " * 50, "190:193", "0:3"))
    assert np.isfinite(empty["cosine"]).all() and empty["cosine"][0] == 0


def test_marks_are_the_words_tokens():
    examples = pa.record_batch({
        "text": ["El banco cierra"], "place": ["3:8"], "text_pair": ["Un banco"], "place_pair": [""], "label": ["T"]
    })  # fmt: skip
    places = Places(np.array([0, 4]), np.array([0, 3, 5, 9]), np.array([2, 5, 8, 15]))
    pair = Places(np.array([0, 2]), np.array([0, 3]), np.array([2, 8]))
    made = WordInContext().encode(examples, LABELS, {"text": places, "text_pair": pair})
    assert made["marks"][0].tolist() == [0, 1, 1, 0] and made["marks_pair"][0].tolist() == [1, 1]
    assert made["class"].to_pylist() == [1]


def test_a_wrong_span_is_told_where_it_can_be_mended():
    columns = {
        "text": ["año"] * 4,
        "text_pair": ["x"] * 4,
        "place": ["0:3", "0:4", "2:2", ""],
        "place_pair": ["0:1"] * 4,
    }
    _, rejects = WordInContext.complete({name: pa.array(column) for name, column in columns.items()})
    assert [mask.to_pylist() for mask, _ in rejects] == [[False, True, True, False], [False] * 4]
    assert word_at("año", " 0 : 2 ") == (0, 2)


def test_the_cosine_alone_is_a_threshold():
    task, family = WordInContext(features="cosine"), tiny.family("word2vec")
    model = build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, LABELS, True, adapt(
        family, [tiny.batch("word_in_context", 5)], tiny.VOCABULARY, tiny.MAX_TOKENS
    ))  # fmt: skip
    assert [tuple(weight.shape) for weight in model.head.trainable_weights] == [(1, 2), (2,)]


def test_the_rule_goes_by_shares():
    """T where the forms are equal, though F is commoner there, since T is rarer still where they differ."""
    assert _commoner(Counter(T=4, F=5), Counter(T=1, F=9), LABELS) == "T"
    assert _commoner(Counter(T=1, F=9), Counter(T=4, F=5), LABELS) == "F"
    assert _commoner(Counter(T=4, F=5), Counter(), LABELS) == "F" == _commoner(Counter(), Counter(F=1), LABELS)


def judged(labels):
    spans = {"text": ["a cat", "a cat", "a cat"], "text_pair": ["the cat", "cats", "b cat"]}
    spans |= {"place": ["2:5"] * 3, "place_pair": ["4:7", "0:4", "2:5"]}
    train = pa.table({**spans, "label": ["T", "F", "T"]})
    rows = pa.table({"key": [1, 2, 3], **spans, "label": labels})
    scores = np.array([[0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)
    answers = {"label": np.array(["T", "F", "F"], object), "scores": scores, "cosine": np.ones(3, np.float32)}
    return WordInContextJudgement(answers, rows, train, LABELS), answers


def test_the_baseline_looks_at_the_forms_alone():
    judgement, answers = judged(["T", "F", "F"])
    values, says = judgement.baseline()
    assert values["accuracy"] == pytest.approx(2 / 3) and says.startswith("'T' where the two forms")
    assert [(form, rows.tolist()) for form, rows in judgement.groups("form")] == [("equal", [0, 2]), ("different", [1])]
    assert judgement.predictions(answers, LABELS)[0] == {"label": "T", "scores": {"F": 0.2, "T": 0.8}, "cosine": 1.0}
    assert judgement.table().column("place_pair").to_pylist() == ["4:7", "0:4", "2:5"]
