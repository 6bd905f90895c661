"""Tests `models/objectives/causal.py`."""

import numpy as np
import pytest
import tensorflow as tf

from data.errors import ConfigError
from models.objectives.causal import Causal
from tests.contracts import tiny
from tests.models.objectives import texts

FAMILY = tiny.family("gpt2")


def test_the_loss_is_the_cross_entropy_of_each_next_token():
    model = Causal().build(FAMILY, *texts.TEXT)
    ids = tf.constant([[5, 6, 7, 8], [9, 5, 0, 0]])
    losses = model({"ids": ids, "length": tf.constant([4, 2])}).numpy()
    for row, length in ((0, 4), (1, 2)):
        packed = {"ids": ids[row : row + 1, :length], "mask": tf.ones([1, length], tf.bool)}
        logits = model.encoder.logits(model.encoder(packed).sequence)[0, :-1].numpy()
        targets = ids[row, 1:length].numpy()
        by_hand = np.log(np.exp(logits).sum(axis=1)) - logits[range(length - 1), targets]
        assert losses[row] == pytest.approx(by_hand.mean(), abs=1e-5)
    assert Causal().weights(np.array([4, 2, 1])).tolist() == [3, 1, 1]


def test_it_learns_to_go_on(tmp_path):
    """Each row's first token tells the rest."""
    rows = texts.store(tmp_path, Causal())
    history = texts.pretrain(Causal(), FAMILY, rows, tmp_path / "run", epochs=15).history
    assert history[0]["loss"] > 1.5 and history[-1]["loss"] < 0.5


def test_a_run_that_was_killed_ends_as_one_left_alone(tmp_path):
    texts.same_when_killed(Causal(), FAMILY, texts.store(tmp_path, Causal()), tmp_path)


def test_the_family_starts_from_what_was_pretrained(tmp_path):
    """Its encoder, and its decoder with the same scores of the next token."""
    model = Causal().build(FAMILY, *texts.TEXT)
    started = FAMILY.start_from(str(tmp_path / Causal().save(model, tmp_path)))
    packed = {"ids": tf.constant([[5, 6, 7, 8]]), "mask": tf.ones([1, 4], tf.bool)}
    hidden = model.encoder(packed).sequence
    encoder = started.build(tiny.VOCABULARY, tiny.MAX_TOKENS, 2, {})
    np.testing.assert_array_equal(encoder(packed).sequence, hidden)
    decoder = started.build_decoder(tiny.VOCABULARY, tiny.MAX_TOKENS, memory=False)
    np.testing.assert_array_equal(decoder.logits(decoder(packed).sequence), model.encoder.logits(hidden))


def test_other_families_are_refused():
    with pytest.raises(ConfigError, match="families that can: gpt2; 'bert' has 'masked'"):
        Causal().check(tiny.family("bert"))
