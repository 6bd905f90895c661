"""Tests `models/objectives/`: what is computed against loops in NumPy, what is learned, and what is saved."""

from pathlib import Path

import keras
import numpy as np
import pytest

from components.cooccurrence import _merged
from data.pairs import Pairs
from data.vectors import read_vectors
from models.families import FAMILIES
from models.loop import train
from models.objectives import OBJECTIVES
from models.objectives.windows import _cumulative, _kept
from models.optimizer import Optimizer
from models.strategy import create
from models.training import Training
from tests.contracts import tiny
from tests.models.test_ngrams import bulk
from tests.models.tiny import store

SIZE = len(tiny.WORDS.vocabulary)
COUNTS = np.arange(100, 100 + SIZE)
WINDOWS = ("skip_gram", "cbow")


def build(name, family="word2vec", counts=COUNTS, **params):
    keras.utils.set_random_seed(3)
    kind = FAMILIES[family](width=4, **({"characters": (2, 3), "buckets": 20} if family == "fasttext" else {}))
    objective = OBJECTIVES[name](**params)
    model = objective.build(kind, tiny.VOCABULARY, counts)
    for weight in model.trainable_weights:
        weight.assign(keras.random.normal(weight.shape, stddev=0.5))
    return objective, kind, model


def rows(seed=0, longest=6):
    random = np.random.default_rng(seed)
    length = np.array([longest, 1, 0, longest - 2], np.int32)
    ids = random.integers(1, SIZE, [4, longest]).astype(np.int32)  # unknown and special ids among them
    return {"ids": np.where(np.arange(longest) < length[:, None], ids, 0).astype(np.int32), "length": length}


def vectors(model, family):
    words = model.words
    if family != "fasttext":
        return words.table.numpy()
    table, buckets, made = words.words.table.numpy(), words.buckets.table.numpy(), []
    for i, word in enumerate(tiny.WORDS.vocabulary):
        hashes, _ = bulk.character_ngrams([word.encode()], 2, 3)
        grams = [] if i in tiny.VOCABULARY.special else [buckets[h % 20] for h in hashes]
        made.append(np.mean([table[i], *grams], axis=0))
    return np.array(made)


def softplus(x):
    return np.log1p(np.exp(x))


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("family", ["word2vec", "fasttext"])
def test_the_loss_of_windows_is_the_papers(name, family):
    """Every word stays and every window is whole here, and the negatives are what the model says it drew."""
    objective, kind, model = build(name, family, window=1, negatives=3, sample=0)
    batch, drawn = rows(), []
    targets = type(objective).targets

    def spy(self, model, ids):
        drawn[:] = [ids.numpy(), *(each.numpy() for each in targets(self, model, ids))]
        return drawn[1], drawn[2]

    type(objective).targets = spy
    try:
        found = model(batch).numpy()
    finally:
        type(objective).targets = targets
    inputs, outputs = vectors(model, family), model.outputs.table.numpy()
    flat, draws, counted = drawn
    assert np.array_equal(
        counted, np.concatenate([np.ones([len(flat), 1], bool), draws[:, 1:] != flat[:, None]], axis=1)
    )
    assert draws.min() >= 5 and len(np.unique(draws[:, 1:])) > 3  # words only
    place, expected = 0, np.zeros(4)
    for row, (ids, length) in enumerate(zip(batch["ids"], batch["length"], strict=True)):
        words = [i for i in ids[:length] if i not in tiny.VOCABULARY.special]
        for n, word in enumerate(words):
            assert flat[place] == word
            near = [words[m] for m in (n - 1, n + 1) if 0 <= m < len(words)]
            against = [outputs[k] for k, kept in zip(draws[place, 1:], counted[place, 1:], strict=True) if kept]
            place += 1
            given = (
                [inputs[i] for i in near]
                if name == "skip_gram"
                else [np.mean([inputs[i] for i in near], axis=0)] * (near != [])
            )
            for vector in given:
                expected[row] += softplus(-vector @ outputs[word]) + sum(softplus(vector @ other) for other in against)
    assert place == len(flat) and expected[0] > 0
    np.testing.assert_allclose(found, expected / np.maximum(batch["length"], 1), rtol=1e-4)


def test_windows_are_drawn_and_frequent_words_dropped():
    """A word d away is there with probability (window - d + 1) / window, and stays as word2vec.c says."""
    counts = np.full(SIZE, 1000)
    counts[6] = 100_000
    objective, _, model = build("skip_gram", counts=counts, window=4, sample=1e-3)
    kept = _kept(np.where(np.isin(np.arange(SIZE), list(tiny.VOCABULARY.special)), 0, counts).astype(float), 1e-3)
    share = 100_000 / (7 * 1000 + 100_000)
    assert kept[6] == pytest.approx((np.sqrt(share / 1e-3) + 1) * 1e-3 / share) and kept[:5].tolist() == [0] * 5
    ids = np.full([300, 30], 7, np.int32)
    ids[:, ::2] = 6
    flat, _, near, there = objective.positions(model, {"ids": ids, "length": np.full(300, 30, np.int32)})
    flat, near, there = (each.numpy() for each in (flat, near, there))
    assert (flat == 6).mean() == pytest.approx(kept[6] / (kept[6] + kept[7]), abs=0.02)
    inner = np.abs(near - np.arange(len(flat))[:, None])[there]
    shares = np.bincount(inner, minlength=5)[1:] / np.bincount(inner, minlength=5)[1]
    assert shares[0] == 1 and np.all(np.diff(shares) < 0)


def test_negatives_are_drawn_by_count_to_the_three_quarters():
    counts = np.array([0, 0, 10, 1000, 100, 0.0])
    ends = _cumulative(counts)
    drawn = np.searchsorted(ends, np.linspace(0, 1, 100_000, endpoint=False), side="right")
    np.testing.assert_allclose(np.bincount(drawn, minlength=6) / 100_000, counts**0.75 / sum(counts**0.75), atol=1e-4)


@pytest.mark.parametrize("name", WINDOWS)
def test_words_of_like_company_become_alike_and_a_resumed_run_is_the_same(name, tmp_path):
    """Rows of 1 to 9: 7 and 8 stand in the same places, 6 in others."""
    random = np.random.default_rng(0)
    texts = [[5, int(random.choice([7, 8])), 9] if n % 2 else [10, 6, 11] for n in range(300)]
    rows = Texts(texts)
    objective, family = OBJECTIVES[name](window=1, sample=0, negatives=3), FAMILIES["word2vec"](width=6)
    counts = np.bincount(np.ravel(texts), minlength=SIZE)
    training = Training(
        epochs=8,
        batch_tokens=120,
        max_tokens=3,
        buckets=1,
        checkpoint_seconds=0,
        optimizer=Optimizer(name="adam", learning_rate=0.05, clip_norm=None),
        seed=4,
    )

    def run(directory, callbacks=()):
        return train(
            lambda: objective.build(family, tiny.VOCABULARY, counts),
            objective,
            rows,
            None,
            training=training,
            strategy=create("one"),
            checkpoint_dir=directory,
            callbacks=callbacks,
        )

    result = run(tmp_path / "whole")
    table = result.model.words.table.numpy()
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    assert table[7] @ table[8] > 0.9 and table[7] @ table[6] < 0.7
    from tests.models.test_loop import Crash, CrashAfter

    with pytest.raises(Crash):
        run(tmp_path / "again", [CrashAfter(result.steps // 2)])
    again = run(tmp_path / "again")
    assert [w.numpy().tobytes() for w in again.model.weights] == [w.numpy().tobytes() for w in result.model.weights]


class Texts:
    """The part of a store that the loop uses."""

    def __init__(self, texts):
        self.texts, self.dropped = texts, {}
        self.lengths = np.array([len(text) for text in texts], np.int32)
        self.weights = self.lengths.astype(np.float32)

    def __len__(self):
        return len(self.texts)

    def gather(self, rows, length, tight=False):
        filler = rows < 0
        rows = np.where(filler, rows[np.argmin(filler)], rows)
        ids = np.zeros([len(rows), length], np.int32)
        for row, text in enumerate(rows):
            ids[row, : len(self.texts[text][:length])] = self.texts[text][:length]
        lengths = np.minimum(self.lengths[rows], length)
        return {"ids": ids, "length": lengths, "weight": np.where(filler, 0, self.weights[rows]).astype(np.float32)}


def pairs(directory: Path, matrix: np.ndarray) -> Pairs:
    first, second = np.nonzero(matrix)
    (first * len(matrix) + second).astype(np.int64).tofile(directory / "keys.bin")
    matrix[first, second].astype(np.float32).tofile(directory / "counts.bin")
    return Pairs(directory, len(matrix))


def test_glove_is_the_papers_and_fits_the_logarithms(tmp_path):
    objective, kind, model = build("glove", most=10.0)
    words, contexts = model.words.table.numpy(), model.contexts.table.numpy()
    batch = {"ids": np.array([[5, 6], [7, 5]], np.int32), "count": np.array([2.5, 40], np.float32)}
    expected = []
    for (i, j), count in zip(batch["ids"], batch["count"], strict=True):
        error = words[i, :4] @ contexts[j, :4] + words[i, 4] + contexts[j, 4] - np.log(count)
        expected.append(min(1.0, (count / 10) ** 0.75) * error**2)
    np.testing.assert_allclose(model(batch), expected, rtol=1e-4)
    random = np.random.default_rng(0)
    matrix = np.zeros([SIZE, SIZE])
    matrix[5:, 5:] = np.exp(random.normal(1, 1, [SIZE - 5, 1]) + random.normal(1, 1, [1, SIZE - 5]))
    rows = pairs(tmp_path, matrix)
    batch = rows.gather(np.array([3, -1]), 1)
    assert batch["weight"].tolist() == [1, 0] and (batch["ids"][0] == batch["ids"][1]).all()
    assert batch["count"][0] == pytest.approx(matrix[tuple(batch["ids"][0])])
    result = train(
        lambda: objective.build(kind, tiny.VOCABULARY, COUNTS),
        objective,
        rows,
        None,
        training=Training(
            epochs=60,
            batch_tokens=16,
            max_tokens=1,
            optimizer=Optimizer(name="adagrad", learning_rate=0.5, clip_norm=None),
        ),
        strategy=create("one"),
        checkpoint_dir=tmp_path / "checkpoints",
    )
    assert result.history[-1]["loss"] < 0.02 * result.history[0]["loss"]
    saved = read_vectors(tmp_path / objective.save(result.model, tmp_path))
    tables = [layer.table.numpy()[5:, :4] for layer in (result.model.words, result.model.contexts)]
    np.testing.assert_allclose(saved.table, tables[0] + tables[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["word2vec", "fasttext", "lstm"])
def test_what_is_saved_is_what_the_family_starts_from(family, tmp_path):
    if family == "lstm":
        kind, objective = FAMILIES["lstm"](embedding=4, width=3), OBJECTIVES["skip_gram"]()
        model = objective.build(kind, tiny.VOCABULARY, COUNTS)
    else:
        objective, kind, model = build("skip_gram", family)
    start = objective.save(model, tmp_path)
    begun = kind.start_from(str(tmp_path / start))
    adapted = begun.adapt([], tiny.VOCABULARY)
    assert adapted["found"][5:].all()
    np.testing.assert_allclose(adapted["vectors"][5:], vectors(model, family)[5:], rtol=1e-4, atol=1e-6)
    if family == "fasttext":
        assert start == "vectors.bin"
        np.testing.assert_array_equal(adapted["buckets"], model.words.buckets.table.numpy())
        assert begun.word_ngrams == kind.word_ngrams
    begun.build(
        tiny.VOCABULARY, 8, 2, adapted | ({"weight": np.ones(SIZE, np.float32)} if family == "word2vec" else {})
    )


def test_runs_are_merged_by_ranges(monkeypatch):
    from components import cooccurrence

    monkeypatch.setattr(cooccurrence, "MOST", 10)
    random, runs, total = np.random.default_rng(0), [], np.zeros(100)
    for _ in range(5):
        keys = np.sort(random.choice(100, 20, replace=False))
        run = np.zeros(20, [("key", np.int64), ("count", np.float64)])
        run["key"], run["count"] = keys, random.random(20)
        total[keys] += run["count"]
        runs.append(run)
    parts = list(_merged(runs))
    assert len(parts) > 5 and max(len(keys) for keys, _ in parts) < 30
    keys = np.concatenate([keys for keys, _ in parts])
    assert np.array_equal(keys, np.flatnonzero(total))
    np.testing.assert_allclose(np.concatenate([counts for _, counts in parts]), total[keys])


def test_counts_of_a_store(tmp_path):
    rows = store(tmp_path, 50)
    expected = np.bincount(rows.gather(np.arange(50), 30)["ids"].ravel(), minlength=12)
    assert rows.counts(12)[1:].tolist() == expected[1:].tolist()
