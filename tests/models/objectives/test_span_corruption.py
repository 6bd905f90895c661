"""Tests `models/objectives/span_corruption.py` and what it draws."""

import numpy as np
import pytest
import tensorflow as tf

from data.errors import ConfigError
from models.objectives.span_corruption import SENTINELS, SpanCorruption
from models.objectives.spans import lost, with_sentinels
from tests.contracts import tiny
from tests.models.objectives import texts

FAMILY = tiny.family("t5")


def uniform(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).random(shape), tf.float32)


def spans_of(mask) -> list[int]:
    """Sizes of the runs of True."""
    edges = np.flatnonzero(np.diff([0, *mask.astype(int), 0]))
    return (edges[1::2] - edges[::2]).tolist()


def test_exactly_so_many_tokens_are_lost_in_so_many_spans():
    length = np.array([100, 60, 20, 5, 2, 1, 0], np.int32)
    tokens, spans = SpanCorruption().sizes(length)
    assert tokens.tolist() == [15, 9, 3, 1, 1, 0, 0] and spans.tolist() == [5, 3, 1, 1, 1, 0, 0]
    seen = set()
    for seed in range(20):
        gone = lost(uniform(2, 7, 100, seed=seed), tf.constant(length), tf.constant(tokens), tf.constant(spans)).numpy()
        assert gone.sum(axis=1).tolist() == tokens.tolist()
        assert [len(spans_of(row)) for row in gone] == spans.tolist()
        assert not gone[:, 0].any() and all(row[count - 1] for row, count in zip(gone[:5], length[:5], strict=True))
        seen |= {tuple(spans_of(gone[0]))}
    assert len(seen) > 15 and {max(each) for each in seen} > {5}


def test_every_way_to_cut_is_as_likely():
    """Four lost tokens in two spans: 1 + 3, 2 + 2, 3 + 1; six kept ones in two: five ways."""
    rows = 6000
    sizes = (tf.fill([rows], n) for n in (10, 4, 2))
    gone = lost(uniform(2, rows, 10), *sizes).numpy()
    ways = [(tuple(spans_of(row)), tuple(spans_of(~row))) for row in gone]
    counts = {way: ways.count(way) / rows for way in set(ways)}
    assert len(counts) == 15 and max(abs(share - 1 / 15) for share in counts.values()) < 0.015


def test_sentinels_stand_for_spans():
    """The paper's figure 2, with its two lost spans."""
    words = "Thank you for inviting me to your party last week".split()  # noqa: SIM905
    ids = tf.constant([list(range(10)), [0, 1, 2, 3, 4, 0, 0, 0, 0, 0]])
    gone = tf.constant([[w in ("for", "inviting", "last") for w in words], [n == 4 for n in range(10)]])
    length = tf.constant([10, 5])
    source, count = with_sentinels(ids, gone, length, 99)
    assert source.numpy()[0, :9].tolist() == [0, 1, 99, 4, 5, 6, 7, 98, 9] and count.numpy().tolist() == [9, 5]
    assert source.numpy()[1].tolist() == [0, 1, 2, 3, 99, 0, 0, 0, 0, 0]
    target, count = with_sentinels(ids[1:], ~gone[1:], length[1:], 99)
    assert target.numpy()[0].tolist() == [99, 4] + [0] * 8 and count.numpy().tolist() == [2]


def test_the_loss_is_that_of_writing_the_lost_spans():
    """By hand, of the one way to lose one of two tokens: source `good <0> </s>`, target `<0> film </s>`."""
    model = SpanCorruption().build(tiny.family("t5", dropout=0.0), *texts.TEXT)
    first, end = tiny.VOCABULARY.size + SENTINELS - 1, tiny.VOCABULARY.end
    losses = model({"ids": tf.constant([[5, 7, 0], [8, 6, 9]]), "length": tf.constant([2, 3])}).numpy()
    packed = {
        "ids": tf.constant([[5, first, end]]),
        "mask": tf.ones([1, 3], tf.bool),
        "target_ids": tf.constant([[0, first, 7]]),
        "target_mask": tf.ones([1, 3], tf.bool),
    }
    logits = model.decoder.logits(model.decoder(packed).sequence)[0].numpy()
    by_hand = np.log(np.exp(logits).sum(axis=1)) - logits[range(3), [first, 7, end]]
    assert losses[0] == pytest.approx(by_hand.mean(), abs=1e-5)
    assert SpanCorruption().weights(np.array([2, 3, 100])).tolist() == [3, 3, 21]


def test_it_learns_what_was_lost(tmp_path):
    rows = texts.store(tmp_path, SpanCorruption())
    history = texts.pretrain(SpanCorruption(), FAMILY, rows, tmp_path / "run", epochs=20).history
    assert history[0]["loss"] > 2.5 and history[-1]["loss"] < 0.6


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_one_left_alone(tmp_path):
    texts.same_when_killed(SpanCorruption(), FAMILY, texts.store(tmp_path, SpanCorruption()), tmp_path)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_family_starts_from_what_was_pretrained(version, tmp_path):
    """Its encoder alone, and both halves; the activation too."""
    family = tiny.family("t5", version=version, layers=2)
    model = SpanCorruption().build(family, *texts.TEXT)
    started = family.start_from(str(tmp_path / SpanCorruption().save(model, tmp_path)))
    packed = {"ids": tf.constant([[5, 6, 7, 3]]), "mask": tf.ones([1, 4], tf.bool)}
    both = {**packed, "target_ids": tf.constant([[0, 8, 9]]), "target_mask": tf.ones([1, 3], tf.bool)}
    encoder = started.build(tiny.VOCABULARY, tiny.MAX_TOKENS, 2, {})
    np.testing.assert_array_equal(encoder(packed).sequence, model.decoder.encode(packed).sequence)
    decoder = started.build_decoder(tiny.VOCABULARY, tiny.MAX_TOKENS, memory=True)
    scores, wanted = (each.logits(each(both).sequence) for each in (decoder, model.decoder))
    np.testing.assert_array_equal(scores, wanted)


def test_more_spans_than_sentinels_are_refused():
    with pytest.raises(ConfigError, match="makes 150 spans; wanted 100 at most"):
        SpanCorruption(span=1.0).build(FAMILY, *texts.TEXT[:2], 1001)
    with pytest.raises(ConfigError, match="wants an end token"):
        SpanCorruption().build(FAMILY, tiny.VOCABULARY._replace(end=None), *texts.TEXT[1:])
