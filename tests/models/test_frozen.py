"""Tests `models/frozen.py`: frozen layers are computed once a row, and training goes as it would without."""

from functools import partial

import keras
import numpy as np
import pyarrow as pa
import pytest

from data.schema import FROZEN, IDS, IDS_PAIR, WORD_BYTES, WORD_BYTES_PAIR
from data.store import Shards, TokenStore, ragged, write_shard
from models.build import build_model
from models.families.elmo import Elmo
from models.fine_tuning import FineTuning
from models.frozen import cache_frozen
from models.loop import train
from models.optimizer import Optimizer
from models.strategy import create
from models.tasks.classification import Classification
from models.training import Training
from pipeline.report import Screen
from tests.contracts import tiny
from tests.models import elmo_reference, tf1_module

ALL = FineTuning(frozen="all")
TEXTS = ["good film", "bad film plot", "fun", "dull plot not fun at all", "very good", "very very dull"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return elmo_reference.write(tmp_path_factory.mktemp("published"), lstm={"n_layers": 1})


def store(directory, texts=TEXTS, pairs=False) -> TokenStore:
    """Texts, and for pairs the same in reverse order, labelled by whether a text has a letter u."""
    directory.mkdir(parents=True, exist_ok=True)
    columns = {"key": pa.array(range(len(texts))), "class": pa.array([int("u" in text) for text in texts], pa.int32())}
    for ids, words, rows in ((IDS, WORD_BYTES, texts), (IDS_PAIR, WORD_BYTES_PAIR, texts[::-1]))[: 1 + pairs]:
        columns[ids] = ragged(*tiny.WORDS.encode(rows), 16)
        splits = np.cumsum([0, *(len(text) for text in rows)])
        columns[words] = ragged(np.frombuffer("".join(rows).encode(), np.uint8), splits, 1000)
    write_shard(directory / "rows.arrow", [pa.record_batch(columns)])
    return TokenStore([Shards([directory / "rows.arrow"], ["no", "yes"])], ["no", "yes"], Elmo.word_bytes)


class Crash(keras.callbacks.Callback):
    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def on_train_batch_end(self, batch, logs=None):
        self.calls -= 1
        if not self.calls:
            raise KeyboardInterrupt


def run(family, directory, callbacks=(), pairs=False, on_notice=lambda text: None, **changes):
    options = {"epochs": 2, "batch_tokens": 16, "buckets": 2, "max_tokens": tiny.MAX_TOKENS, "checkpoint_seconds": 0}
    arguments = family, Classification(), tiny.VOCABULARY, tiny.MAX_TOKENS, ["no", "yes"], pairs
    stores = store(directory / "train", pairs=pairs), store(directory / "valid", TEXTS[2:], pairs)
    return train(
        partial(build_model, *arguments),
        Classification(),
        *stores,
        training=Training(**(options | {"optimizer": Optimizer(learning_rate=0.05)} | changes)),
        strategy=create("one"),
        checkpoint_dir=directory / "checkpoints",
        callbacks=callbacks,
        on_notice=on_notice,
    ), stores


def cached(family, directory, **changes) -> dict:
    """A batch of all rows, as training would be given it."""
    rows, training = store(directory), Training(max_tokens=tiny.MAX_TOKENS, **changes)
    model = build_model(family, Classification(), tiny.VOCABULARY, tiny.MAX_TOKENS, ["no", "yes"], False)
    cache_frozen(model, {"train": rows}, training, directory / "frozen")
    return rows.gather(np.arange(6), 6)


def weights_of(result) -> list[bytes]:
    return [weight.numpy().tobytes() for weight in result.model.weights]


@pytest.mark.parametrize("pairs", [False, True])
def test_training_goes_as_without_the_cache(published, tmp_path, pairs):
    family = Elmo(weights=str(published), dropout=0.2)
    cached, stores = run(family, tmp_path / "cached", pairs=pairs)
    plain, others = run(family, tmp_path / "plain", pairs=pairs, frozen_cache_gb=0)
    for found, expected in zip(cached.model.weights, plain.model.weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=found.path)
    assert cached.history[-1]["val_loss"] == pytest.approx(plain.history[-1]["val_loss"], abs=1e-5)
    mix = cached.model.encoder.parts["mix"]
    assert np.abs(mix.s.numpy()).min() > 0 and float(mix.gamma) != 1  # it was trained
    # Without the bytes of the words the network could not have been run in training.
    names = [set(each.gather(np.array([0]), 5)) & {FROZEN, WORD_BYTES, WORD_BYTES_PAIR} for each in (*stores, *others)]
    words = {WORD_BYTES, WORD_BYTES_PAIR} if pairs else {WORD_BYTES}
    assert names == [{FROZEN}, {FROZEN}, words, words]


def test_a_run_that_was_killed_reads_what_it_read_before(published, tmp_path):
    family = Elmo(weights=str(published), dropout=0.2)
    whole, _ = run(family, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(family, tmp_path / "killed", [Crash(3)])
    done = tmp_path / "killed/checkpoints/frozen/train.done"
    written = done.stat().st_mtime_ns
    resumed, _ = run(family, tmp_path / "killed")
    assert weights_of(resumed) == weights_of(whole)
    assert done.stat().st_mtime_ns == written


@pytest.mark.slow
def test_vectors_that_were_not_finished_or_are_of_other_weights_are_made_again(published, tmp_path):
    def vectors(folder):
        return cached(Elmo(weights=str(folder)), tmp_path)[FROZEN]

    first = vectors(published)
    assert first.shape == (6, 6, 4 + 8) and not first[0, 2:].any() and first[3].all()
    with (tmp_path / "frozen/train.bin").open("r+b") as file:
        file.write(bytes(100))
    assert not np.array_equal(vectors(published), first)  # as it says that it is whole
    (tmp_path / "frozen/train.done").unlink()
    assert np.array_equal(vectors(published), first)
    other = vectors(elmo_reference.write(tmp_path / "other", seed=9, lstm={"n_layers": 1}))
    assert np.abs(other - first).max() > 0.1
    assert np.array_equal(vectors(published), first)


def test_hub_modules_and_half_precision_are_cached_too(tmp_path):
    family = Elmo(hub=str(tf1_module.write(tmp_path / "module")))
    _, stores = run(family, tmp_path / "hub", epochs=1)
    assert stores[0].gather(np.array([0]), 5)[FROZEN].shape == (1, 5, 3 + 6 + 6)
    family = tiny.family("elmo", frozen=True, layers=1)
    cached, stores = run(family, tmp_path / "half", epochs=1, precision="mixed_bfloat16")
    plain, _ = run(family, tmp_path / "plain", epochs=1, precision="mixed_bfloat16", frozen_cache_gb=0)
    assert stores[0].gather(np.array([0]), 5)[FROZEN].dtype.itemsize == 2
    assert cached.history[0]["loss"] == pytest.approx(plain.history[0]["loss"], abs=0.02)


@pytest.mark.parametrize(("limit", "told"), [(1e-6, True), (0, False), (1, False)])
def test_vectors_that_would_take_too_much_are_told_once(limit, told, tmp_path, capsys):
    family = tiny.family("elmo", frozen=True, layers=1)
    run(family, tmp_path, epochs=2, frozen_cache_gb=limit, on_notice=Screen().notice)
    tokens = sum(len(text.split()) for text in TEXTS + TEXTS[2:])
    size = tokens * (4 + 2 * 4) * 4 / 1e9  # a word's own vector and both directions of the layer, float32
    wanted = f"frozen_cache_gb: got 1e-06, and the vectors of the frozen layers take {size:.3g} GB: "
    assert [wanted in line for line in capsys.readouterr().err.splitlines() if "frozen_cache_gb" in line] == told * [
        True
    ]


def test_what_is_trained_is_not_cached(tmp_path):
    half = FineTuning(frozen=2)
    for changes, kept in (({}, False), ({"fine_tuning": half}, False), ({"fine_tuning": ALL}, True)):
        assert (FROZEN in cached(tiny.family("elmo"), tmp_path, **changes)) == kept


def test_the_step_compiles_with_xla_over_the_cache(tmp_path):
    """Even where the frozen layers could not: strings stay outside."""
    family = Elmo(hub=str(tf1_module.write(tmp_path / "module")), dropout=0.0)
    compiled, _ = run(family, tmp_path / "xla", epochs=1, buckets=1, jit_compile=True)
    plain, _ = run(family, tmp_path / "plain", epochs=1, buckets=1)
    for found, expected in zip(compiled.model.weights, plain.model.weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
