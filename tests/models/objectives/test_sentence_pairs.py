"""next_sentence and sentence_order: the pairs they make; telling them trains the layer of the text's vector."""

import numpy as np
import pytest
import tensorflow as tf

from models.families.bert import Albert, Bert
from models.hub import load_backbone
from models.objectives.next_sentence import NextSentence
from models.objectives.sentence_order import SentenceOrder
from tests.contracts import tiny

ROOM = 12
SIZES = {"layers": 1, "width": 8, "heads": 2, "dropout": 0.0}


def documents(count=200, longest=9):
    """Each id tells document, sentence and place: document * 1000 + sentence * 10 + place."""
    random = np.random.default_rng(0)
    return [
        [np.arange(random.integers(1, 6), dtype=np.int32) + 1000 * n + 10 * s for s in range(random.integers(longest))]
        for n in range(count)
    ]


def ends_of(ids):
    """Document, first and last sentence of a segment; fails where it is not whole sentences in a row."""
    assert len(set(ids // 1000)) == 1
    found = ids // 10 % 100
    assert set(np.diff(found).tolist()) <= {0, 1} and not ids[0] % 10
    return ids[0] // 1000, found[0], found[-1]


@pytest.mark.parametrize("objective", [NextSentence(), SentenceOrder()])
def test_pairs(objective):
    texts = documents()
    found = list(objective.pairs(texts, ROOM, np.random.default_rng(1)))
    again = list(objective.pairs(texts, ROOM, np.random.default_rng(1)))
    for one, other in zip(found, again, strict=True):
        assert np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1]) and one[2] == other[2]
    share = np.mean([true for *_, true in found])
    assert abs(share - 0.5) < 0.06 and len(found) > 200
    seen = set()
    for first, second, true in found:
        (document, begin, end), (other, other_begin, other_end) = ends_of(first), ends_of(second)
        if true:
            assert document == other and other_begin == end + 1
        elif isinstance(objective, NextSentence):
            assert document != other
        else:
            assert document == other and begin == other_end + 1
        seen |= {(document, n) for n in range(begin, end + 1)}
    wanted = {(n, s) for n, text in enumerate(texts) if len(text) > 1 for s in range(len(text))}
    if isinstance(objective, SentenceOrder):  # every sentence is in a pair
        seen |= {(o, n) for _, second, _ in found for o, a, b in [ends_of(second)] for n in range(a, b + 1)}
        assert seen == wanted


def test_documents_that_make_no_pair():
    lone = [[np.array([1], np.int32)] * 3]
    assert not list(NextSentence().pairs(lone, ROOM, np.random.default_rng(0)))
    assert len(list(SentenceOrder().pairs(lone, ROOM, np.random.default_rng(0)))) == 1
    short = [[np.array([1], np.int32)], [], [np.array([2], np.int32)]]
    for objective in (NextSentence(), SentenceOrder()):
        assert not list(objective.pairs(short, ROOM, np.random.default_rng(0)))


def batch(count=64):
    """The second text goes on from the first where both begin with the same id."""
    random = np.random.default_rng(0)
    ids, pair = random.integers(5, 9, [2, count, 3]).astype(np.int32)
    pair[: count // 2, 0] = ids[: count // 2, 0]
    lengths = np.full(count, 3, np.int32)
    true = (ids[:, 0] == pair[:, 0]).astype(np.int32)
    weights = random.integers(1, 3, count).astype(np.float32)
    return {"ids": ids, "ids_pair": pair, "length": lengths, "length_pair": lengths, "class": true, "weight": weights}


@pytest.mark.parametrize("family", [Bert(**SIZES), Albert(**SIZES, embedding=4)])
def test_the_layer_of_the_texts_vector_is_trained_and_saved(family, tmp_path):
    objective, rows = SentenceOrder(), batch()
    model = objective.build(family, tiny.VOCABULARY, None, tiny.MAX_TOKENS)
    pooler = model.backbone.pooled_dense
    with tf.GradientTape() as tape:
        read = {name: tf.constant(value) for name, value in rows.items() if name not in ("class", "weight")}
        outputs = model(read, training=True)
        loss = objective.loss(outputs, rows)
    gradient = tape.gradient(loss, pooler.kernel.value)
    assert np.abs(gradient).max() > 0
    pairs = tf.nn.sparse_softmax_cross_entropy_with_logits(rows["class"], outputs[:, 1:])
    mean = np.average(loss, weights=rows["weight"])  # as the loop takes it: pairs count alike, tokens count alike
    assert mean == pytest.approx(np.average(outputs[:, 0], weights=rows["weight"]) + np.mean(pairs), rel=1e-5)
    objective.save(model, tmp_path)
    saved = load_backbone(str(tmp_path / "preset"), type(model.backbone)).pooled_dense.kernel
    assert np.array_equal(saved, pooler.kernel)
    right = np.argmax(outputs[:, 1:], axis=1) == rows["class"]
    assert objective.metrics(outputs.numpy(), rows)["pair_accuracy"] == np.mean(right)
