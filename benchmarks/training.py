"""Training throughput of the loop against Keras `fit` on the same model, both in one run.

    python -m benchmarks.training [EPOCHS]

Two settings. "padding": lengths log-normal between 10 and 200; `fit` pads every row to 200 in batches
of 32, the loop has buckets and a constant number of tokens a batch. "fixed": every row has 64 tokens and
both have batches of 32, so the ratio is the cost of the loop itself: near 1, it takes three times the epochs
to tell it from the machine's noise. Epochs of the two are interleaved, the first of each (tracing) is not
counted. `fit` gets NumPy arrays, the fastest way to feed it here.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa

from data.schema import CLASS, IDS, LENGTH
from data.store import Shards, TokenStore, ragged, write_shard
from models.build import build_model
from models.families.base import Vocabulary
from models.families.bert import Bert
from models.families.recurrent import Lstm
from models.loop import train
from models.optimizer import Optimizer
from models.strategy import create
from models.tasks.classification import Classification
from models.training import Training

LABELS = ("no", "yes")
VOCABULARY = Vocabulary(8000, pad=0, unknown=1, start=2, end=3, mask=4)
FAMILIES = {"lstm": Lstm(), "bert": Bert()}
LONGEST, ROWS, BATCH, BATCH_TOKENS = 200, 2400, 32, 6400
OPTIMIZER = Optimizer(learning_rate=2e-3, schedule="linear", warmup=0.1)


class Both(keras.callbacks.Callback):
    """Before each epoch of the loop, runs one of `fit`; keeps the seconds of both."""

    def __init__(self, fit):
        super().__init__()
        self.fit, self.fit_seconds, self.loop_seconds = fit, [], []

    def on_epoch_begin(self, epoch, logs=None):
        start = time.perf_counter()
        self.fit()
        self.middle = time.perf_counter()
        self.fit_seconds.append(self.middle - start)

    def on_epoch_end(self, epoch, logs=None):
        self.loop_seconds.append(time.perf_counter() - self.middle)


def corpus(directory: Path, lengths: np.ndarray, seed: int) -> TokenStore:
    """Rows of random ids, four of them from two sets of 10; the class is the set that three of them come from."""
    random = np.random.default_rng(seed)
    ids = random.integers(50, 250, lengths.sum()).astype(np.int32)
    splits = np.concatenate([[0], np.cumsum(lengths)])
    classes = random.integers(0, 2, len(lengths))
    for start, length, sign in zip(splits[:-1], lengths, classes, strict=True):
        places = start + random.choice(length, 4, replace=False)
        ids[places] = 10 + random.integers(0, 10, 4) + 10 * np.where(np.arange(4) < 3, sign, 1 - sign)
    columns = {"key": np.arange(len(lengths)), IDS: ragged(ids, splits, LONGEST), CLASS: classes.astype(np.int32)}
    columns["weight"] = np.ones(len(lengths), np.float32)
    path = directory / f"{seed}.arrow"
    write_shard(path, [pa.record_batch({name: pa.array(column) for name, column in columns.items()})])
    return TokenStore([Shards([path], LABELS)], LABELS)


def build(name: str) -> keras.Model:
    return build_model(FAMILIES[name], Classification(), VOCABULARY, LONGEST + 2, LABELS, pairs=False)


def compare(
    name: str, store: TokenStore, length: int, batch_tokens: int, epochs: int
) -> tuple[Both, list[keras.Model]]:
    """Trains one model by `fit`, in batches of 32 rows padded to `length`, and one by the loop."""
    fitted, rows = build(name), store.gather(np.arange(len(store)), length)
    optimizer = OPTIMIZER.build(fitted.trainable_variables, steps=(epochs + 1) * len(store) // BATCH)
    fitted.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    inputs = {IDS: rows[IDS], LENGTH: rows[LENGTH]}
    both = Both(lambda: fitted.fit(inputs, rows[CLASS], batch_size=BATCH, epochs=1, verbose=0))
    training = Training(epochs=epochs + 1, batch_tokens=batch_tokens, max_tokens=length, optimizer=OPTIMIZER)
    with tempfile.TemporaryDirectory() as directory:
        places = {"strategy": create("one"), "checkpoint_dir": directory}
        result = train(
            lambda: build(name), Classification(), store, None, training=training, callbacks=[both], **places
        )
    return both, [fitted, result.model]


def accuracy(model: keras.Model, test: TokenStore) -> float:
    rows = test.gather(np.arange(len(test)), LONGEST)
    logits = model.predict({IDS: rows[IDS], LENGTH: rows[LENGTH]}, batch_size=64, verbose=0)
    return float(np.mean(logits.argmax(axis=1) == rows[CLASS]))


def main(epochs: int = 5) -> None:
    random = np.random.default_rng(0)
    normal = np.clip(random.lognormal(3.5, 0.6, 2 * ROWS), 10, LONGEST).astype(np.int64)
    print("setting | model | fit rows/s | loop rows/s | ratio: median (lowest, highest) | accuracy of fit, of loop")
    with tempfile.TemporaryDirectory() as directory:
        test = corpus(Path(directory), normal[ROWS:], 2)
        settings = {
            "padding": (corpus(Path(directory), normal[:ROWS], 0), LONGEST, BATCH_TOKENS, epochs),
            "fixed": (corpus(Path(directory), np.full(ROWS, 64), 1), 64, 64 * BATCH, 3 * epochs),
        }
        for setting, (store, *how) in settings.items():
            for name in FAMILIES:
                both, models = compare(name, store, *how)
                rates = (
                    len(store) / statistics.median(seconds) for seconds in (both.fit_seconds[1:], both.loop_seconds[1:])
                )
                ratios = [fit / loop for fit, loop in zip(both.fit_seconds, both.loop_seconds, strict=True)][1:]
                spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f})"
                scores = ", ".join(f"{accuracy(model, test):.3f}" for model in models)
                print(setting, name, *(f"{rate:.0f}" for rate in rates), spread, scores, sep=" | ", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
