"""A text and a run small enough to pretrain on in a test."""

import keras
import numpy as np
import pyarrow as pa

from data.schema import IDS
from data.store import Shards, TokenStore, ragged, write_shard
from models.loop import train
from models.objectives.base import Objective
from models.optimizer import Optimizer
from models.strategy import create
from models.training import Training
from tests.contracts import tiny

SENTENCES = ["good film", "not very dull", "bad plot", "fun"] * 8
TEXT = tiny.VOCABULARY, np.ones(tiny.VOCABULARY.size, np.int64), tiny.MAX_TOKENS


class Crash(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise KeyboardInterrupt


def store(directory, objective: Objective) -> TokenStore:
    path = directory / "rows.arrow"
    write_shard(path, [pa.record_batch({IDS: ragged(*tiny.WORDS.encode(SENTENCES), 16)})])
    made = TokenStore([Shards([path])])
    made.weights = objective.weights(made.lengths)
    return made


def pretrain(objective: Objective, family, rows: TokenStore, directory, callbacks=(), epochs=2):
    options = {"batch_tokens": 32, "buckets": 1, "checkpoint_seconds": 0, "deterministic": True}
    rate = Optimizer(name="adam", learning_rate=0.02)
    return train(
        lambda: objective.build(family, *TEXT),
        objective,
        rows,
        None,
        training=Training(**options, max_tokens=tiny.MAX_TOKENS, epochs=epochs, optimizer=rate),
        strategy=create("one"),
        checkpoint_dir=directory,
        callbacks=callbacks,
    )


def same_when_killed(objective: Objective, family, rows: TokenStore, directory) -> None:
    """A run that was killed in its first epoch and started again ends as one left alone."""
    whole = pretrain(objective, family, rows, directory / "whole")
    try:
        pretrain(objective, family, rows, directory / "killed", [Crash()])
        raise AssertionError("was not killed")
    except KeyboardInterrupt:
        resumed = pretrain(objective, family, rows, directory / "killed")
    assert [w.numpy().tobytes() for w in resumed.model.weights] == [w.numpy().tobytes() for w in whole.model.weights]
