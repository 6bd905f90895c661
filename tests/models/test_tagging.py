"""Tests `models/tasks/tagging.py`, its head and its judgement: tags of words, and spans."""

import keras
import numpy as np
import pyarrow as pa
import pytest
import seqeval.metrics
import tensorflow as tf

from data.errors import DataError
from models.build import build_model
from models.evaluation.tagging import TaggingJudgement
from models.tag_head import TagHead, marginals
from models.tasks.base import Places
from models.tasks.tagging import Tagging, words_of
from tests.contracts import tiny

LABELS = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]


def lists(*rows):
    return pa.array(rows, pa.list_(pa.string()))


def test_tokens_become_a_text_and_tags_bio():
    columns = {"tokens": lists(["U.N.", "man"], ["x"], None), "tags": lists(["I-ORG", "O"], ["S-PER"], ["O"])}
    found, ((mask, reason),) = Tagging.complete(columns)
    assert found["text"].to_pylist()[:2] == ["U.N. man", "x"] and "tokens" not in found
    assert found["label"].to_pylist()[:2] == [["B-ORG", "O"], ["B-PER"]]
    assert mask.to_pylist() == [False, False, True] and reason == "tags: not one a token"


def test_parts_of_speech_stay_as_they_are():
    columns = {"tokens": lists(["a", "dog"]), "tags": lists(["DET", "NOUN"])}
    assert Tagging.complete(columns)[0]["label"].to_pylist() == [["DET", "NOUN"]]


def test_a_words_later_pieces_are_inside_of_what_it_begins():
    # "Joe Lyon Bonn" in pieces J oe L yon Bo nn; the model knows no I-ORG, and never heard of X.
    examples = pa.record_batch({"text": ["Joe Lyon Bonn a"], "label": lists(["B-PER", "I-PER", "B-LOC", "X"])})
    places = Places(np.array([0, 7]), np.array([0, 1, 4, 5, 9, 11, 14]), np.array([1, 3, 5, 8, 11, 13, 15]))
    tags, splits = Tagging().encode(examples, LABELS, {"text": places})["tags"]
    assert [LABELS[tag] if tag >= 0 else None for tag in tags] == [
        *("B-PER", "I-PER", "I-PER", "I-PER", "B-LOC", "I-LOC"),
        None,
    ]
    assert splits.tolist() == [0, 7]


def test_words_are_found_by_the_places_of_tokens():
    assert words_of("a bcd  e", np.array([0, 1, 2, 4, 7])).tolist() == [0, 0, 1, 1, 3]


def test_one_tag_is_nothing_to_choose_between():
    with pytest.raises(DataError, match=r"got 1 tag\(s\) in the training split \(O\)"):
        Tagging().n_outputs(["O"])


def test_marginals_are_those_of_all_sequences():
    head = TagHead(3, learns_chain=True, dropout=0.0, allowed=None)
    vectors, keep = np.random.default_rng(0).normal(size=[2, 3, 4]).astype(np.float32), np.ones([2, 3], bool)
    keep[1, 2] = False
    head((vectors, keep))
    for weight in head.weights_of_chain:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    logits = head((vectors, keep))
    scores, chain = logits["scores"][0].numpy(), logits["chain"][0].numpy()
    every = np.stack(np.meshgrid(*[range(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    total = np.array([
        sum(scores[n, tag] for n, tag in enumerate(path)) + chain[path[0], path[1]] + chain[path[1], path[2]]
        + chain[3, path[0]] + chain[4, path[2]]
        for path in every
    ])  # fmt: skip
    share = np.exp(total - total.max()) / np.exp(total - total.max()).sum()
    expected = np.stack([[share[every[:, n] == tag].sum() for tag in range(3)] for n in range(3)])
    found = marginals(logits, learns_chain=True).numpy()
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    np.testing.assert_allclose(found[1].sum(axis=1), [1, 1, 0], atol=1e-5)


@pytest.mark.parametrize("decoder", ["crf", "softmax"])
def test_no_answer_breaks_the_scheme_unless_it_may(decoder):
    def tags(constrained):
        keras.utils.set_random_seed(0)
        task = Tagging(decoder=decoder, constrained=constrained)
        model = build_model(tiny.family("lstm"), task, tiny.VOCABULARY, tiny.MAX_TOKENS, LABELS, False)
        model.head.scores.bias.assign([0, 0, 9, 8, 0])  # I-LOC and I-PER everywhere
        found = model({"ids": np.full([1, 4], 5, np.int32), "length": np.array([4], np.int32)})
        return [LABELS[tag] for tag in found["tags"][0].numpy()]

    assert tags(constrained=False) == ["I-LOC"] * 4
    assert tags(constrained=True) == ["B-LOC", "I-LOC", "I-LOC", "I-LOC"]


def test_a_crf_learns_nothing_from_a_row_with_an_unknown_tag():
    task = Tagging()
    model = build_model(tiny.family("lstm"), task, tiny.VOCABULARY, tiny.MAX_TOKENS, LABELS, False)
    batch = {"ids": np.full([2, 3], 5, np.int32), "length": np.array([2, 3], np.int32)}
    batch["tags"] = np.array([[0, 4, -1], [0, -1, 4]], np.int32)
    loss = task.loss(model(batch, training=True), batch).numpy()
    assert loss[0] > 0 and loss[1] == 0


@pytest.mark.parametrize("labels", [LABELS, ["ADJ", "DET", "NOUN", "NUM", "VERB"]])
def test_validation_counts_tokens_inside_of_spans(labels):
    """Against counts by hand over answers half of which are right; truth of -1 and rows of weight 0 count nothing."""
    task, random = Tagging(decoder="softmax", constrained=False), np.random.default_rng(0)
    model = build_model(tiny.family("lstm"), task, tiny.VOCABULARY, tiny.MAX_TOKENS, labels, False)
    lengths = np.array([7, 4, 0, 6, 7], np.int32)
    batch = {"ids": random.integers(5, 13, [5, 7]).astype(np.int32), "length": lengths}
    batch |= {"tags": random.integers(-1, 5, [5, 7]).astype(np.int32), "weight": np.array([1, 2, 1, 0, 1], np.float32)}
    logits = tf.nest.map_structure(np.asarray, model(batch, training=False))
    logits["tags"] = np.where(random.random([5, 7]) < 0.5, np.maximum(batch["tags"], 0), logits["tags"])
    counted = [
        (labels[answer], labels[truth])
        for row, length in enumerate(lengths)
        for answer, truth in zip(logits["tags"][row, :length], batch["tags"][row, :length], strict=True)
        if truth >= 0 and batch["weight"][row] > 0
    ]
    right = sum(answer == truth for answer, truth in counted)
    found = sum(answer == truth != "O" for answer, truth in counted)
    answered, actual = (sum(each != "O" for each in side) for side in zip(*counted, strict=True))
    assert 0 < found < actual and (found == right) == ("O" not in labels), "or the counts below tell nothing apart"
    measured = task.metrics(task.outcome(logits, batch), batch)
    assert measured["accuracy"] == pytest.approx(right / len(counted))
    precision, recall = found / answered, found / actual
    assert measured["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    nothing = task.metrics(task.outcome(logits, batch), {"weight": np.zeros(5, np.float32)})
    assert nothing == {"accuracy": 0.0, "f1": 0.0}


def entities(*rows):
    """What a model answers: for each row (label, start, end) of its entities."""
    most = max(map(len, rows))
    filled = [[*row, *[("", -1, -1)] * (most - len(row))] for row in rows]
    kind, start, end = (np.array([[each[n] for each in row] for row in filled]) for n in range(3))
    score = np.where(start >= 0, 0.5, 0.0)
    return {
        "type": kind.astype(object),
        "start": start,
        "end": end,
        "score": score,
        "length": np.array([*map(len, rows)]),
    }


ROWS = pa.table({
    "key": [1, 2, 3],
    "text": ["Rex Smith in New York", "nobody here", "Bonn and Rome"],
    "label": lists(["B-PER", "I-PER", "O", "B-LOC", "I-LOC"], ["O", "O"], ["B-LOC", "O", "B-LOC"]),
})  # fmt: skip
TRAIN = pa.table({"text": ["Bonn is Bonn", "Rex"], "label": lists(["B-LOC", "O", "B-LOC"], ["B-PER"])})
ANSWERS = entities([("PER", 0, 9), ("LOC", 13, 16)], [], [("LOC", 0, 4), ("PER", 9, 13)])


def judged(rows=ROWS, answers=ANSWERS):
    return TaggingJudgement(answers, rows, TRAIN, LABELS)


def test_figures_are_those_of_seqeval():
    judgement = judged()
    assert judgement.answered[0] == ["B-PER", "I-PER", "O", "B-LOC", "O"]
    measured = judgement.measure(50, 0)
    for name in ("span_f1", "precision", "recall"):
        score = getattr(seqeval.metrics, f"{name.removeprefix('span_')}_score")
        wanted = score(judgement.actual, judgement.answered)
        assert measured[name]["value"] == pytest.approx(wanted)
        assert measured[name]["low"] <= wanted <= measured[name]["high"]
    assert measured["accuracy"]["value"] == pytest.approx(8 / 10)
    details = judgement.details(50, 0)
    assert (
        details["by_type"]["LOC"]["recall"]["value"] == pytest.approx(1 / 3) and details["by_type"]["LOC"]["spans"] == 3
    )
    assert details["seqeval"]["LOC"]["recall"] == pytest.approx(1 / 3)


def test_the_baseline_remembers_words():
    values, says = judged().baseline()
    assert values["recall"] == pytest.approx(2 / 4) and "commonest tag in train" in says


def test_predictions_and_slices_are_by_entity():
    judgement = judged()
    assert judgement.predictions(ANSWERS, LABELS)[1] == {"entities": []}
    first = judgement.predictions(ANSWERS, LABELS)[0]["entities"][0]
    assert first == {"type": "PER", "score": 0.5, "start": 0, "end": 9}
    assert [(kind, rows.tolist()) for kind, rows in judgement.groups("entity_type")] == [
        ("LOC", [0, 2]), ("PER", [0]), ("(none)", [1])
    ]  # fmt: skip
    assert judgement.loss.tolist() == [2, 0, 2] and judgement.table().column_names[-1] == "loss"


def test_entities_have_the_places_of_the_text_that_was_sent(tmp_path):
    """Two entities of a kind side by side are two; what is cut off is none."""
    from models.signatures import Served

    labels = ["B-X", "I-X", "O"]
    task, family = Tagging(decoder="softmax"), tiny.family("lstm")
    model = build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, labels, False)

    class Scripted(keras.layers.Layer):
        """good: B-X, bad: I-X, all else O."""

        def call(self, inputs, training=False):
            sequence, keep = inputs
            ids = tf.cast(sequence[:, :, 0], tf.int32)
            scores = tf.one_hot(tf.where(ids == 5, 0, tf.where(ids == 6, 1, 2)), 3) * 9
            length = tf.reduce_sum(tf.cast(keep, tf.int32), axis=1)
            return {"scores": scores, "length": length, "tags": tf.argmax(scores, -1, tf.int32)}

    object.__setattr__(model, "head", Scripted())
    model.encoder.forward = lambda parts, packed, training: tiny_encoded(packed)
    served = Served(model, tiny.WORDS, labels, tiny.MAX_TOKENS, ["text"], family)
    answer = task.signatures(served)["serving_default"](
        tf.constant(["¡ good bad good film", "", "film " * 15 + "good good", "bad bad plot bad"])
    )
    assert answer["length"].numpy().tolist() == [2, 0, 1, 2]
    assert answer["start"].numpy().tolist() == [[2, 11], [-1, -1], [75, -1], [0, 13]]
    assert answer["end"].numpy().tolist() == [[10, 15], [-1, -1], [79, -1], [7, 16]]
    assert answer["type"].numpy()[0].tolist() == [b"X", b"X"]
    assert answer["text"].numpy()[0].tolist() == [b"good bad", b"good"]
    words = task.signatures(served)["words"](tf.constant(["good bad  film", "", "film " * 15 + "good good"]))
    assert words["length"].numpy().tolist() == [4, 1, 17]
    assert words["tag"].numpy()[0, :5].tolist() == [b"B-X", b"I-X", b"O", b"O", b""]
    assert words["tag"].numpy()[2, 14:].tolist() == [b"O", b"B-X", b"O"]


def tiny_encoded(packed):
    from models.families.base import Encoded

    return Encoded(tf.cast(packed["ids"], tf.float32)[:, :, None], None, (), packed["mask"])
