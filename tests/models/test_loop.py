"""Tests `models/loop.py` and `models/steps.py` on one device; several are in test_parallel.py."""

import csv
import os
import signal
from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.batches import Plan
from data.errors import ConfigError, DataError, StageError
from data.store import Shards, TokenStore
from models.checkpoint import Checkpoints
from models.loop import train
from models.optimizer import Optimizer
from models.strategy import create
from models.training import EarlyStopping, Training
from tests.models import tiny

FAST = Optimizer(name="adamw", learning_rate=0.02)
BASE = {"epochs": 3, "batch_tokens": 512, "max_tokens": 30, "buckets": 2, "optimizer": FAST, "checkpoint_seconds": 0}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stores")
    return tiny.store(directory, 200), tiny.store(directory, 60, seed=1)


def run(stores, directory, build=lambda: tiny.build(dropout=0.2), task=None, callbacks=(), options=None, **changes):
    return train(
        build,
        task or tiny.Yes(),
        *stores,
        training=Training(**(BASE | changes)),
        strategy=create("one"),
        checkpoint_dir=directory / "checkpoints",
        log_dir=directory / "logs",
        callbacks=callbacks,
        **(options or {}),
    )


def weights_of(result) -> list[bytes]:
    return [weight.numpy().tobytes() for weight in result.model.weights]


class Crash(Exception):
    pass


class CrashAfter(keras.callbacks.Callback):
    """What SIGKILL does, as seen from the files: nothing after this call happens."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def on_train_batch_end(self, batch, logs=None):
        self.calls -= 1
        if self.calls < 0:
            raise Crash


@pytest.fixture(scope="module")
def undisturbed(stores, tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed")
    return run(stores, directory, early_stopping=EarlyStopping(metric="accuracy")), directory


def test_it_learns_and_says_how(undisturbed):
    result, directory = undisturbed
    losses = [row["loss"] for row in result.history]
    assert all(after < before for before, after in pairwise(losses))
    assert list(result.history[0]) == ["epoch", "learning_rate", "loss", "val_loss", "val_accuracy"]
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    with (directory / "logs" / "history.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert rows == result.history


def test_a_resumed_run_equals_an_undisturbed_one_bit_for_bit(undisturbed, stores, tmp_path):
    """With dropout, momentum and early stopping; killed in each of the epochs."""
    calls = undisturbed[0].steps // 3
    stopping = EarlyStopping(metric="accuracy")
    for crash_after in (calls // 2, calls, calls):
        with pytest.raises(Crash):
            run(stores, tmp_path, callbacks=[CrashAfter(crash_after)], early_stopping=stopping)
    result = run(stores, tmp_path, early_stopping=stopping)
    assert weights_of(result) == weights_of(undisturbed[0])
    assert result.history == undisturbed[0].history
    assert result[2:4] == undisturbed[0][2:4]
    assert (tmp_path / "logs/history.csv").read_bytes() == (undisturbed[1] / "logs/history.csv").read_bytes()


@pytest.mark.parametrize("name", ["adam", "adagrad", "sgd"])
def test_a_table_updated_by_rows_resumes_bit_for_bit(stores, tmp_path, name):
    options = {"build": lambda: tiny.build(0.2, by_rows=True), "optimizer": Optimizer(name=name, learning_rate=0.02)}
    whole = run(stores, tmp_path / "whole", **options)
    with pytest.raises(Crash):
        run(stores, tmp_path, callbacks=[CrashAfter(whole.steps // 2)], **options)
    assert weights_of(run(stores, tmp_path, **options)) == weights_of(whole)
    assert whole.history[2]["loss"] < whole.history[0]["loss"]


def test_a_finished_run_is_not_run_again(undisturbed, stores):
    result, directory = undisturbed
    again = run(stores, directory, callbacks=[CrashAfter(0)], early_stopping=EarlyStopping(metric="accuracy"))
    assert weights_of(again) == weights_of(result)


def test_sigterm_writes_a_checkpoint_and_exits(undisturbed, stores, tmp_path):
    def terminate(done, total):
        if done == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    stopping = EarlyStopping(metric="accuracy")
    with pytest.raises(SystemExit, match="143"):
        run(stores, tmp_path, options={"on_progress": terminate}, early_stopping=stopping, checkpoint_seconds=1000)
    assert signal.getsignal(signal.SIGTERM) is before
    seen = []
    result = run(
        stores,
        tmp_path,
        options={"on_progress": lambda done, total: seen.append((done, total))},
        early_stopping=stopping,
    )
    assert seen[0] == (3, undisturbed[0].steps)
    assert weights_of(result) == weights_of(undisturbed[0])


def test_several_steps_a_call_are_the_same_steps(stores, tmp_path):
    """The order of batches differs with the size of calls, so: one bucket, plain SGD, one epoch's sum of gradients."""
    plain = {
        "buckets": 1,
        "epochs": 1,
        "optimizer": Optimizer(name="sgd", momentum=0, learning_rate=1e-5, clip_norm=None),
    }
    results = [run(stores, tmp_path / str(k), build=tiny.build, steps_per_call=k, **plain) for k in (1, 4)]
    assert results[0].steps == results[1].steps
    for one, other in zip(*(result.model.weights for result in results), strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), abs=1e-7)


def test_the_loss_is_the_weighted_mean_and_penalties_count_once(stores, tmp_path):
    still = Optimizer(name="sgd", learning_rate=1e-12)
    result = run(stores, tmp_path, build=tiny.build, optimizer=still, epochs=1)
    train_store, valid_store = stores
    for store, name, penalty in ((train_store, "loss", float(sum(result.model.losses))), (valid_store, "val_loss", 0)):
        batch = store.gather(np.arange(len(store)), 30)
        losses = tiny.Yes().loss(result.model({"ids": batch["ids"], "length": batch["length"]}), batch)
        wanted = np.average(losses, weights=store.weights) + penalty
        assert result.history[0][name] == pytest.approx(wanted, rel=1e-5)


def test_early_stopping_keeps_the_best_epoch(stores, tmp_path):
    losses, weights = iter([9, 0.5, 0.3, 0.4, 0.6, 0.1]), []  # the first is measured before the epochs

    class Scripted(tiny.Yes):
        def metrics(self, logits, batch):
            return {"loss": next(losses)}

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            weights.append([weight.numpy().tobytes() for weight in self.model.weights])

    stopping = EarlyStopping(patience=2)
    result = run(stores, tmp_path, task=Scripted(), callbacks=[Keep()], epochs=6, early_stopping=stopping)
    assert [row["val_loss"] for row in result.history] == [0.5, 0.3, 0.4, 0.6]
    assert result.best_epoch == 2
    assert weights_of(result) == weights[1]


@pytest.mark.parametrize(
    ("metric", "mode", "values", "best"),
    [
        ("loss", None, [3, 1, 2], 2),
        ("accuracy", None, [3, 1, 2], 1),
        ("accuracy", "min", [3, 1, 2], 2),
        ("loss", "max", [1, 3, 3], 2),
        ("mae", None, [3, 1, 2], 2),
        ("loss", None, [np.nan, 2, np.nan, 1], 4),
        ("loss", None, [np.nan, np.nan], 1),
    ],
)
def test_the_best_epoch(metric, mode, values, best):
    assert EarlyStopping(metric=metric, mode=mode).best_epoch(values) == best


def test_a_loss_that_is_not_a_number_names_epoch_and_step(stores, tmp_path):
    rows = tiny.store(tmp_path, 200)
    calls = Plan(rows.lengths, rows.weights, batch_tokens=512, max_tokens=30, buckets=2).epoch(0)
    rows.weights[calls[0].rows[0, 0]] = np.nan
    with pytest.raises(StageError, match=f"epoch 1, step 1 of {len(calls)}: .*not finite.*learning_rate"):
        run((rows, stores[1]), tmp_path, checkpoint_seconds=1000)
    assert Checkpoints(tmp_path / "checkpoints").newest() is None


def test_keras_callbacks_work(stores, tmp_path):
    class Seen(keras.callbacks.Callback):
        batches, epochs = [], []

        def on_train_batch_end(self, batch, logs=None):
            self.batches.append((batch, logs["loss"]))

        def on_epoch_end(self, epoch, logs=None):
            self.epochs.append((epoch, sorted(logs)))
            self.model.stop_training = epoch == 1

    callbacks = [
        seen := Seen(),
        keras.callbacks.CSVLogger(tmp_path / "keras.csv"),
        keras.callbacks.TensorBoard(tmp_path / "tensorboard", update_freq=1),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "best.weights.h5"), save_best_only=True, save_weights_only=True),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
    ]
    result = run(stores, tmp_path, callbacks=callbacks, epochs=5)
    assert seen.epochs == [(epoch, ["loss", "val_accuracy", "val_loss"]) for epoch in (0, 1)]
    assert len(seen.batches) == result.steps
    assert seen.batches[result.steps // 2 - 1][1] == result.history[0]["loss"]
    assert [row["learning_rate"] for row in result.history] == pytest.approx([0.01, 0.005])
    assert len((tmp_path / "keras.csv").read_text().splitlines()) == 3
    assert (tmp_path / "best.weights.h5").exists()
    assert list((tmp_path / "tensorboard/train").iterdir())
    assert getattr(result.model, "optimizer", None) is None


def test_a_callback_can_stop_within_an_epoch(stores, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 2

    result = run(stores, tmp_path, callbacks=[Stop()])
    assert (result.steps, len(result.history)) == (3, 1)


def test_tensorboard_events_hold_the_history(undisturbed):
    result, directory = undisturbed
    (path,) = (directory / "logs").glob("events.*")
    events = [tf.compat.v1.Event.FromString(each.numpy()) for each in tf.data.TFRecordDataset(str(path))]
    losses = [(e.step, v.simple_value) for e in events for v in e.summary.value if v.tag == "val_loss"]
    assert losses == [(row["epoch"], pytest.approx(row["val_loss"])) for row in result.history]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_and_resumes(stores, tmp_path, precision):
    half = {"precision": precision, "epochs": 2, "optimizer": Optimizer(name="sgd", learning_rate=0.05)}
    whole = run(stores, tmp_path / "whole", **half)
    with pytest.raises(Crash):
        run(stores, tmp_path, callbacks=[CrashAfter(3)], **half)
    assert weights_of(run(stores, tmp_path, **half)) == weights_of(whole)
    assert whole.history[1]["loss"] < whole.history[0]["loss"] - 0.01
    assert keras.config.dtype_policy().name == "float32"


def test_the_step_compiles_with_xla(stores, tmp_path):
    """What TPU needs. One step of each bucket, the same as without."""
    short = {"epochs": 1, "buckets": 1, "batch_tokens": 3000}
    plain = run(stores, tmp_path / "plain", build=tiny.build, **short)
    compiled = run(stores, tmp_path / "xla", build=tiny.build, jit_compile=True, **short)
    for one, other in zip(plain.model.weights, compiled.model.weights, strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), abs=1e-5)
    rows = {**short, "build": lambda: tiny.build(by_rows=True)}
    plain, compiled = (run(stores, tmp_path / f"rows-{jit}", jit_compile=jit, **rows) for jit in (False, True))
    assert plain.model.weights[0].numpy() == pytest.approx(compiled.model.weights[0].numpy(), abs=1e-5)


def test_mistakes_are_said_before_training(stores, tmp_path):
    with pytest.raises(ConfigError, match="early_stopping.metric: got 'mae'; known: .*accuracy"):
        run(stores, tmp_path, early_stopping=EarlyStopping(metric="mae"))
    with pytest.raises(ConfigError, match="no valid split to watch"):
        run((stores[0], None), tmp_path, early_stopping=EarlyStopping())
    rows = tiny.store(tmp_path, 5)
    empty = TokenStore([Shards([tmp_path / "0-5.arrow"], tiny.LABELS)], ["other"])
    assert len(rows) == 5
    with pytest.raises(DataError, match="no rows in split 'train' .5 rows of unknown label"):
        run((empty, None), tmp_path)


def test_another_models_checkpoint_is_refused(undisturbed, stores):
    with pytest.raises(StageError, match="checkpoint holds .* other arrays"):
        run(stores, undisturbed[1], build=lambda: tiny.build(width=4))
