"""Tests `models/objectives/masked.py` and what it draws."""

import numpy as np
import pytest
import tensorflow as tf

from data.errors import ConfigError
from models.hiding import begins_word
from models.objectives.masked import Masked
from models.objectives.masking import choose, replace
from tests.contracts import tiny
from tests.models.objectives import texts

FAMILIES = ["bert", "roberta", "distilbert", "albert"]


def uniform(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).random(shape), tf.float32)


def test_an_exact_share_of_the_tellable_tokens_is_chosen():
    tellable = tf.sequence_mask([40, 20, 3, 0], 40)
    chosen = choose(uniform(4, 40), tellable, None, 0.15)
    assert tf.reduce_sum(tf.cast(chosen, tf.int32), axis=1).numpy().tolist() == [6, 3, 1, 0]
    assert not np.any(chosen & ~tellable)
    assert np.any(chosen != choose(uniform(4, 40, seed=1), tellable, None, 0.15))


def test_tokens_are_chosen_alike_wherever_they_stand():
    chosen = choose(uniform(4000, 10), tf.ones([4000, 10], tf.bool), None, 0.2)
    assert np.abs(np.mean(chosen, axis=0) - 0.2).max() < 0.03


def test_whole_words_go_together():
    """Pieces 0 | 1 2 | (special) | 4 5 | 6: what follows a special token is a word of its own."""
    begins = tf.constant([[True, True, False, False, False, False, True]])
    tellable = tf.constant([[True, True, True, False, True, True, True]])
    words, seen = [{0}, {1, 2}, {4, 5}, {6}], set()
    for seed in range(30):
        chosen = np.flatnonzero(choose(uniform(1, 7, seed=seed), tellable, begins, 0.3)[0])
        assert set(chosen) in [a | b for a in words for b in words] and len(chosen) >= 2
        seen |= {tuple(chosen)}
    assert {(1, 2), (4, 5), (0, 6)} <= seen


def test_a_row_may_begin_within_a_word():
    begins, tellable = tf.constant([[False, False, True]]), tf.ones([1, 3], tf.bool)
    seen = {tuple(np.flatnonzero(choose(uniform(1, 3, seed=n), tellable, begins, 0.3)[0])) for n in range(20)}
    assert seen == {(0, 1), (2,)}


def test_eight_in_ten_are_hidden_and_one_is_another():
    ids, words = tf.fill([100, 100], 7), tf.constant([5, 6, 8])
    read = replace(uniform(100, 100), uniform(100, 100, seed=1), ids, words, 4, (0.8, 0.1)).numpy()
    shares = {int(i): np.mean(read == i) for i in np.unique(read)}
    assert shares.keys() == {4, 5, 6, 7, 8}
    assert shares[4] == pytest.approx(0.8, abs=0.02) and shares[7] == pytest.approx(0.1, abs=0.02)
    assert shares[5] == pytest.approx(0.1 / 3, abs=0.01) and shares[8] == pytest.approx(0.1 / 3, abs=0.01)
    last = replace(tf.constant([[0.85]]), tf.constant([[1.0]]), tf.constant([[7]]), words, 4, (0.8, 0.1))
    assert last.numpy() == 8


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        (["[PAD]", "play", "##ing", "##s", "#"], [True, True, False, False, True]),
        (["<pad>", "Ġplay", "ing", ","], [False, True, False, False]),
        (["<pad>", "▁play", "ing", "▁"], [False, True, False, True]),
        (["<pad>", "play", "ing"], [True, True, True]),
    ],
)
def test_words_begin_where_the_tokenizers_mark_says(tokens, wanted):
    assert begins_word(tokens).tolist() == wanted


def test_only_what_was_chosen_counts_and_special_tokens_never_are(tmp_path):
    """All words told, none shown: the loss is the cross-entropy at each word, by hand."""
    objective = Masked(share=0.99, hidden=1.0, random=0.0)
    model = objective.build(tiny.family("bert", dropout=0.0), *texts.TEXT)
    ids = np.array([[5, 6, 7], [8, 1, 0]], np.int32)  # 1: unknown, 0: padding
    losses = model({"ids": tf.constant(ids), "length": tf.constant([3, 2])}).numpy()
    for row, read, places in ((0, [2, 4, 4, 4, 3], [1, 2, 3]), (1, [2, 4, 1, 3], [1])):
        packed = {"ids": tf.constant([read]), "mask": tf.ones([1, len(read)], tf.bool)}
        hidden = model.encoder({**packed, "segment_ids": tf.zeros([1, len(read)], tf.int32)}).sequence
        logits = model.head(hidden, tf.constant([places]))[0].numpy()
        targets = ids[row][[place - 1 for place in places]]
        by_hand = np.log(np.exp(logits).sum(axis=1)) - logits[range(len(places)), targets]
        assert losses[row] == pytest.approx(by_hand.mean(), abs=1e-5)


def test_padding_changes_no_loss_where_all_is_chosen():
    model = Masked(share=0.99, hidden=1.0, random=0.0).build(tiny.family("bert", dropout=0.0), *texts.TEXT)
    ids, length = tf.constant([[5, 6, 7], [8, 9, 0]]), tf.constant([3, 2])
    wider = {"ids": tf.pad(ids, [[0, 0], [0, 4]]), "length": length}
    np.testing.assert_allclose(model({"ids": ids, "length": length}), model(wider), atol=1e-5)


def test_weights_are_the_numbers_of_tokens_told():
    lengths = np.array([0, 3, 10, 20, 200], np.int32)
    assert Masked().weights(lengths).tolist() == [1, 1, 2, 3, 30]


def test_it_learns_what_stands_beside_a_word(tmp_path):
    """`film` only ever follows `good`: at best a hidden one of the four sentences is told by its neighbours."""
    objective = Masked()
    rows = texts.store(tmp_path, objective)
    history = texts.pretrain(
        objective, tiny.family("bert", layers=1, dropout=0.0), rows, tmp_path / "run", epochs=25
    ).history
    assert history[0]["loss"] > 1.5 and history[-1]["loss"] < 0.9


def test_a_run_that_was_killed_ends_as_one_left_alone(tmp_path):
    objective = Masked(whole_words=True)
    texts.same_when_killed(objective, tiny.family("bert", layers=1), texts.store(tmp_path, objective), tmp_path)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_family_starts_from_what_was_pretrained(name, tmp_path):
    """By the door of presets: the same vectors."""
    objective, family = Masked(), tiny.family(name, pooling="mean")
    model = objective.build(family, *texts.TEXT)
    start = tmp_path / objective.save(model, tmp_path)
    started = family.start_from(str(start))
    assert started == type(family)(preset=str(start), pooling="mean")
    ids = tf.constant([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]])
    packed = {"ids": ids, "mask": ids > 0, "segment_ids": tf.zeros_like(ids)}
    encoder = started.build(tiny.VOCABULARY, tiny.MAX_TOKENS, 2, {})
    np.testing.assert_array_equal(encoder(packed).sequence, model.encoder(packed).sequence)


def test_what_is_saved_is_the_same_bytes(tmp_path):
    model = Masked().build(tiny.family("bert"), *texts.TEXT)
    for name in ("one", "two"):
        Masked().save(model, tmp_path / name)
    files = [sorted(path.name for path in (tmp_path / name / "preset").iterdir()) for name in ("one", "two")]
    assert files[0] == files[1] == ["config.json", "masked_head.npz", "model.weights.h5"]
    for name in files[0]:
        one, two = ((tmp_path / each / "preset" / name).read_bytes() for each in ("one", "two"))
        assert one == two, name


def test_other_families_are_refused():
    with pytest.raises(ConfigError, match="bert, roberta, distilbert, albert; 'lstm' has 'skip_gram'"):
        Masked().check(tiny.family("lstm"))
    with pytest.raises(ConfigError, match="trainer.family.preset: got 'x' and"):
        Masked().check(type(tiny.family("bert"))(preset="x"))


def test_a_tokenizer_without_a_mask_is_refused():
    with pytest.raises(ConfigError, match=r"wants a mask token.*'wordpiece' learned here"):
        Masked().build(tiny.family("bert"), tiny.VOCABULARY._replace(mask=None), *texts.TEXT[1:])


def test_shares_are_checked():
    with pytest.raises(ValueError, match="got hidden 0.9 and random 0.2"):
        Masked(hidden=0.9, random=0.2)
