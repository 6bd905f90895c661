"""Tests `models/fine_tuning.py` and what the loop makes of it, of `accumulate` and of `ema`, on real training runs."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.errors import ConfigError
from models.averaging import Average
from models.build import build_model
from models.families.bag import BagOfWords
from models.families.base import Vocabulary
from models.families.recurrent import Lstm, Rnn
from models.fine_tuning import FineTuning
from models.loop import train
from models.optimizer import Optimizer
from models.steps import any_shape, train_function
from models.strategy import create
from models.tasks.classification import Classification
from models.training import Training
from tests.models import tiny
from tests.models.test_build import NextToken
from tests.models.test_loop import Crash, CrashAfter, stores, weights_of  # noqa: F401

FAMILY = Rnn(width=4, embedding=4, layers=2, dropout=0.0, bidirectional=False)
PLAIN = Optimizer(name="sgd", momentum=0, learning_rate=0.5, clip_norm=None)
FAST = Optimizer(learning_rate=0.02, weight_decay=0.1)
LEVELS = ("embedding", "lower", "upper", "head")
LEVEL_OF = ("embedding", *3 * ["lower"], *3 * ["upper"], *2 * ["head"])  # of the model's weights, in order


def build(family=FAMILY) -> keras.Model:
    return build_model(family, Classification(), Vocabulary(10), 30, ["no", "yes"], False)


def run(stores, directory, build=build, task=None, callbacks=(), **changes):  # noqa: F811
    base = {"epochs": 1, "batch_tokens": 2000, "max_tokens": 30, "buckets": 1, "optimizer": FAST}
    return train(
        build,
        task or tiny.Yes(),
        *stores,
        training=Training(**(base | changes)),
        strategy=create("one"),
        checkpoint_dir=directory / "checkpoints",
        callbacks=callbacks,
    )


class Trace(keras.callbacks.Callback):
    """The weights before training and after each step."""

    def on_train_begin(self, logs=None):
        self.steps = [[weight.numpy() for weight in self.model.weights]]

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append([weight.numpy() for weight in self.model.weights])


def changed(before, after) -> set[str]:
    """The levels of which every weight changed; fails where only some did."""
    moved = {level: set() for level in LEVELS}
    for level, one, other in zip(LEVEL_OF, before, after, strict=True):
        moved[level].add(not np.array_equal(one, other))
    assert all(len(each) == 1 for each in moved.values()), moved
    return {level for level, each in moved.items() if each == {True}}


@pytest.mark.parametrize("frozen, moving", [(0, LEVELS), (1, LEVELS[1:]), (2, LEVELS[2:]), ("all", LEVELS[3:])])
def test_frozen_layers_stay_as_they_are_and_the_others_do_not(frozen, moving, stores, tmp_path):  # noqa: F811
    trace = Trace()
    run(stores, tmp_path, callbacks=[trace], fine_tuning=FineTuning(frozen=frozen))
    assert changed(trace.steps[0], trace.steps[-1]) == set(moving)


@pytest.mark.parametrize("frozen", [0, 2])
def test_gradual_unfreezing_goes_down_layer_by_layer(frozen, stores, tmp_path):  # noqa: F811
    trace, tuning = Trace(), FineTuning(unfreeze_every=2, frozen=frozen)
    result = run(stores, tmp_path, callbacks=[trace], epochs=8, fine_tuning=tuning)
    steps = result.steps // 8
    for epoch in range(8):
        moved = changed(trace.steps[epoch * steps], trace.steps[(epoch + 1) * steps])
        assert moved == set(LEVELS[max(3 - epoch // 2, frozen) :]), epoch


def test_a_resumed_run_unfreezes_as_an_undisturbed_one(stores, tmp_path):  # noqa: F811
    options = {"epochs": 2, "fine_tuning": FineTuning(unfreeze_every=1), "ema": 0.9, "checkpoint_seconds": 0}
    whole = run(stores, tmp_path / "whole", **options)
    with pytest.raises(Crash):
        run(stores, tmp_path, callbacks=[CrashAfter(whole.steps // 2 + 1)], **options)
    assert weights_of(run(stores, tmp_path, **options)) == weights_of(whole)


def test_rates_fall_from_layer_to_layer(stores, tmp_path):  # noqa: F811
    """The first step of plain SGD moves each weight by its rate times its gradient."""
    moves = []
    for decay in (1.0, 0.5):
        trace, tuning = Trace(), FineTuning(layer_decay=decay)
        options = {"callbacks": [trace], "optimizer": PLAIN, "fine_tuning": tuning}
        run(stores, tmp_path / str(decay), **options)
        moves.append([after - before for before, after in zip(*trace.steps[:2], strict=True)])
    for level, whole, less in zip(LEVEL_OF, *moves, strict=True):
        share = 0.5 ** (3 - LEVELS.index(level))
        assert np.abs(whole).max() > 1e-5
        np.testing.assert_allclose(less, share * whole, atol=1e-7)


def test_mistakes_are_said_before_training(stores, tmp_path):  # noqa: F811
    with pytest.raises(ConfigError, match="fine_tuning.frozen: got 4, wanted at most 3"):
        run(stores, tmp_path, fine_tuning=FineTuning(frozen=4))
    tied = Lstm(width=4, embedding=4, tied_embeddings=True)
    with pytest.raises(ConfigError, match="got all layers frozen, wanted some to train"):
        FineTuning(frozen="all").trained(build_model(tied, NextToken(), Vocabulary(10), 30, ["no", "yes"], False))
    batch = {"ids": np.array([[1, 2]]), "mask": np.array([[True, True]])}
    adapted = BagOfWords().adapt([batch], Vocabulary(10))
    flat = build_model(BagOfWords(), Classification(), Vocabulary(10), 30, ["no", "yes"], False, adapted)
    with pytest.raises(ConfigError, match="a family without layers"):
        FineTuning(frozen="all").trained(flat)


@pytest.mark.parametrize(("compiled", "by_rows"), [(False, False), (True, False), (False, True), (True, True)])
def test_a_batch_in_pieces_gives_the_same_step(compiled, by_rows, stores, tmp_path):  # noqa: F811
    """With a penalty, unequal weights, and rows that the pieces do not divide."""
    seen = []

    class Counting(tiny.Yes):
        def loss(self, logits, batch):
            seen.append(logits.shape[0])
            return super().loss(logits, batch)

    options = {
        "build": partial(tiny.build, by_rows=by_rows),
        "task": Counting(),
        "optimizer": PLAIN,
        "jit_compile": compiled,
    }
    results = [run(stores, tmp_path / str(k), accumulate=k, **options) for k in (1, 3)]
    for one, other in zip(*(result.model.weights for result in results), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert results[0].history[0]["loss"] == pytest.approx(results[1].history[0]["loss"], rel=1e-5)
    if compiled:  # static shapes: the rows of a whole batch, of a piece, and of validation batches
        assert max(seen) % 3 and -(-max(seen) // 3) in seen


def test_pieces_of_a_table_of_rows_stay_sparse(stores):  # noqa: F811
    with tf.Graph().as_default():
        model = tiny.build(by_rows=True)
        task, training = tiny.Yes(), Training(accumulate=3, optimizer=Optimizer(name="adam"))
        weights, strategy = model.trainable_variables, create("one")
        optimizer = training.optimizer.build(weights, 10)
        shapes = any_shape(stores[0], 1, 1)
        call = train_function(model, weights, task, optimizer, Average(weights, 0.0), strategy, shapes, training)
        library = call.get_concrete_function().graph.as_graph_def().library.function
    made = {node.op for function in library for node in function.node_def}
    # What the pieces gave is put together, not added up, and the table is changed where a row has a gradient.
    assert {"TensorListConcatV2", "ResourceScatterSub"} <= made


def test_the_running_mean_is_what_is_measured_and_returned(stores, tmp_path):  # noqa: F811
    trace = Trace()
    result = run(stores, tmp_path, build=tiny.build, callbacks=[trace], epochs=3, ema=0.5)
    means = [np.asarray(value, np.float64) for value in trace.steps[0]]
    for t, weights in enumerate(trace.steps[1:], start=1):
        share = 1 - min(0.5, (1 + t) / (10 + t))
        means = [mean + share * (weight - mean) for mean, weight in zip(means, weights, strict=True)]
    for weight, mean, last in zip(result.model.weights, means, trace.steps[-1], strict=True):
        np.testing.assert_allclose(weight, mean, atol=1e-6)
        assert np.abs(mean - last).max() > 1e-4
    batch = stores[1].gather(np.arange(len(stores[1])), 30)
    losses = tiny.Yes().loss(result.model({"ids": batch["ids"], "length": batch["length"]}), batch)
    assert result.history[-1]["val_loss"] == pytest.approx(np.average(losses, weights=stores[1].weights), rel=1e-5)
