"""Tests `models/objectives/bidirectional.py` and its layers."""

import math

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from data.errors import ConfigError
from data.schema import IDS, WORD_BYTES
from data.store import Shards, TokenStore, ragged, write_shard
from models.families.elmo import Elmo
from models.loop import train
from models.objectives.bidirectional import Bidirectional
from models.objectives.bidirectional_layers import WordSoftmax, log_expected, log_uniform, next_and_previous
from models.optimizer import Optimizer
from models.strategy import create
from models.training import Training
from tests.contracts import tiny

FAMILY = tiny.family("elmo", filters=[[1, 8], [2, 8]], units=16, width=8)
SENTENCES = ["good film", "not very dull", "bad plot"] * 8


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "rows.arrow"
    splits = np.cumsum([0, *map(len, SENTENCES)])
    columns = {
        "key": pa.array(range(len(SENTENCES))),
        IDS: ragged(*tiny.WORDS.encode(SENTENCES), 16),
        WORD_BYTES: ragged(np.frombuffer("".join(SENTENCES).encode(), np.uint8), splits, 1000),
    }
    write_shard(path, [pa.record_batch(columns)])
    made = TokenStore([Shards([path])], None, Elmo.word_bytes)
    made.weights = Bidirectional().weights(made.lengths)
    return made


def batch(store, rows, length=3):
    return {name: tf.constant(value) for name, value in store.gather(np.array(rows), length).items()}


def test_every_place_says_its_neighbours():
    forwards, backwards = next_and_previous(
        tf.constant([[7, 8, 9], [5, 0, 0], [0, 0, 0]]), tf.constant([3, 1, 0]), 2, 3
    )
    assert forwards.numpy().tolist() == [[7, 8, 9, 3, -1], [5, 3, -1, -1, -1], [3, -1, -1, -1, -1]]
    assert backwards.numpy().tolist() == [[-1, 2, 7, 8, 9], [-1, 2, 5, -1, -1], [-1, 2, -1, -1, -1]]


def test_samples_are_log_uniform():
    size, samples = 50, 200_000
    drawn = np.bincount(log_uniform(tf.constant([1, 2]), samples, size), minlength=size)
    expected = np.exp(log_expected(tf.range(size), samples, size))
    assert len(drawn) == size and expected.sum() == pytest.approx(samples, rel=1e-4)
    assert np.all(np.abs(drawn - expected) < 5 * np.sqrt(expected))
    assert expected[0] == pytest.approx(samples * math.log(2) / math.log(size + 1), rel=1e-4)


def test_the_loss_is_tensorflows_for_the_same_samples():
    """Theirs corrects the target too, by how often it was to be expected: 1 here, as it is always there."""
    softmax = WordSoftmax(30, 4)
    softmax.set_weights([np.random.default_rng(0).normal(size=shape) for shape in ((30, 4), 30)])
    hidden = tf.constant(np.random.default_rng(1).normal(size=[5, 4]), tf.float32)
    targets, sampled = tf.constant([0, 3, 29, 7, 7]), tf.constant([7, 1, 9, 0, 12, 4])
    expected = tf.ones([5, 1]), tf.exp(log_expected(sampled, 6, 30))
    theirs = tf.nn.sampled_softmax_loss(
        softmax.vectors, softmax.bias, tf.cast(targets[:, None], tf.int64), hidden, 6, 30,
        sampled_values=(tf.cast(sampled, tf.int64), *expected),
    )  # fmt: skip
    np.testing.assert_allclose(softmax(hidden, targets, sampled), theirs, atol=1e-5)
    logits = hidden.numpy() @ softmax.vectors.numpy().T + softmax.bias.numpy()
    exact = np.log(np.exp(logits).sum(axis=1)) - logits[range(5), targets.numpy()]
    np.testing.assert_allclose(softmax(hidden, targets), exact, atol=1e-5)
    many = log_uniform(tf.constant([3, 4]), 20_000, 30)
    np.testing.assert_allclose(softmax(hidden, targets, many), exact, atol=0.1)


def test_sampling_and_its_loss_compile_with_xla():
    """What a TPU needs, and the same samples; that the network compiles, the family's contract checks."""
    softmax, hidden, targets = WordSoftmax(30, 4), tf.random.stateless_normal([5, 4], [1, 2]), tf.range(5)

    def loss():
        return softmax(hidden, targets, log_uniform(tf.constant([3, 4]), 8, 30))

    np.testing.assert_allclose(tf.function(loss, jit_compile=True)(), loss(), atol=1e-5)


def test_no_direction_sees_what_it_is_to_say():
    """A word changes forwards the vectors from its own place on, and backwards those up to it."""
    network = FAMILY.network()
    raw = np.random.default_rng(0).integers(97, 123, [1, 5, 48], np.uint8)
    other = raw.copy()
    other[0, 2] = 65
    first, second = (network.words.in_sentences(tf.constant(each), tf.constant([5]))[0] for each in (raw, other))
    layers, changed = (network.bilm(words, words, tf.constant([7]))[0][-1][0] for words in (first, second))
    moved = np.abs(layers - changed) > 1e-7
    assert moved[:, :8].any(axis=1).tolist() == [False] * 3 + [True] * 4
    assert moved[:, 8:].any(axis=1).tolist() == [True] * 4 + [False] * 3


def test_padding_changes_no_loss(store):
    model = Bidirectional().build(FAMILY, tiny.VOCABULARY)
    np.testing.assert_allclose(model(batch(store, [0, 1, 2], 3)), model(batch(store, [0, 1, 2], 6)), atol=1e-6)


def test_rows_go_on_with_the_states_of_the_rows_before(store):
    """Rows of unlike lengths in a batch, as each by itself."""
    model = Bidirectional().build(FAMILY, tiny.VOCABULARY)
    zero = [[[tf.zeros([2, 16]), tf.zeros([2, 8])] for _ in range(2)] for _ in range(2)]
    first, states = model.go_on(batch(store, [0, 1]), zero)
    np.testing.assert_allclose(first, model(batch(store, [0, 1])), atol=1e-6)
    together, _ = model.go_on(batch(store, [1, 2]), states)
    assert np.abs(together - model(batch(store, [1, 2]))).max() > 1e-4
    for row, (before, after) in enumerate(((0, 1), (1, 2))):
        one = tf.nest.map_structure(lambda state: state[:1], zero)
        _, one = model.go_on(batch(store, [before], int(store.lengths[before])), one)
        alone, _ = model.go_on(batch(store, [after], int(store.lengths[after])), one)
        np.testing.assert_allclose(together[row], alone[0], atol=1e-6)


class Crash(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise KeyboardInterrupt


def pretrain(store, directory, samples, callbacks=(), epochs=25, **changes):
    objective, family = Bidirectional(samples=samples), FAMILY.model_copy(update={"layers": 1})
    rate = Optimizer(name="adam", learning_rate=0.05)
    options = {"batch_tokens": 24, "max_tokens": 16, "buckets": 1, "checkpoint_seconds": 0, "optimizer": rate}
    return train(
        lambda: objective.build(family, tiny.VOCABULARY),
        objective,
        store,
        store,
        training=Training(**options, epochs=epochs, **changes),
        strategy=create("one"),
        checkpoint_dir=directory,
        callbacks=callbacks,
    )


@pytest.mark.parametrize("samples", [0, 6])
def test_it_learns_with_all_words_and_with_a_sample(store, tmp_path, samples):
    """Of three sentences as likely as each other, the first word tells the rest: at best 1.39; by frequency 7.2."""
    history = pretrain(store, tmp_path, samples).history
    assert history[0]["val_perplexity"] > 4 and history[-1]["val_perplexity"] < 3.5
    last = history[-1]
    mean = math.sqrt(last["val_perplexity_forwards"] * last["val_perplexity_backwards"])
    assert last["val_perplexity"] == pytest.approx(mean)
    assert last["val_perplexity"] == pytest.approx(math.exp(last["val_loss"]), rel=1e-5)


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_one_left_alone(store, tmp_path):
    whole = pretrain(store, tmp_path / "whole", 6, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        pretrain(store, tmp_path / "killed", 6, [Crash()], epochs=2)
    resumed = pretrain(store, tmp_path / "killed", 6, epochs=2)
    assert [w.numpy().tobytes() for w in resumed.model.weights] == [w.numpy().tobytes() for w in whole.model.weights]


def test_the_network_it_trains_is_where_the_family_starts_from(store, tmp_path):
    """By the published format, as any other weights; then frozen, unless told otherwise."""
    model = pretrain(store, tmp_path / "run", 0, epochs=1).model
    family = FAMILY.start_from(str(tmp_path / Bidirectional().save(model, tmp_path)))
    assert family == Elmo(weights=str(tmp_path / "elmo")) and family.is_frozen
    words, mask = batch(store, [1])[WORD_BYTES], tf.ones([1, 3], tf.bool)
    for found, expected in zip(family.network()(words, mask), model.network(words, mask), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert tiny.family("elmo", mix="last", frozen=False).start_from("x") == Elmo(weights="x", mix="last", frozen=False)


def test_a_tokenizer_without_sentence_marks_is_refused():
    with pytest.raises(ConfigError, match="wants words for the begin and end of a sentence"):
        Bidirectional().build(FAMILY, tiny.VOCABULARY._replace(end=None))
