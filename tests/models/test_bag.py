"""Tests `models/families/bag.py` against scikit-learn's vectorizers and LogisticRegression."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from data.errors import DataError
from models.build import adapt, build_model
from models.families import bag
from models.families.bag import BagOfWords, Tfidf
from models.families.base import Vocabulary
from models.packing import pack
from models.tasks.classification import Classification

TREC = Path(__file__).parents[2] / "../shared/data/trec"
FIRST = 5  # the first id that is a word
SIZE = 30
VOCABULARY = Vocabulary(SIZE, pad=0, unknown=1, start=2, end=3, mask=4)


def texts(rows: int, seed: int, size: int = SIZE, longest: int = 12) -> list[np.ndarray]:
    """Rows of word ids, frequent words first, of 0 to `longest` words."""
    random = np.random.default_rng(seed)
    return [
        np.minimum(FIRST + random.geometric(0.15, random.integers(0, longest + 1)) - 1, size - 1).astype(np.int32)
        for _ in range(rows)
    ]


def batches(rows: list[np.ndarray], size: int = 64, labels=None, order=None) -> list[dict[str, np.ndarray]]:
    made, order = [], np.arange(len(rows)) if order is None else order
    for chosen in (order[start : start + size] for start in range(0, len(rows), size)):
        length = np.array([len(rows[row]) for row in chosen], np.int32)
        ids = np.zeros([len(chosen), max(1, *length)], np.int32)
        for place, row in enumerate(chosen):
            ids[place, : len(rows[row])] = rows[row]
        made.append({"ids": ids, "length": length, "weight": np.ones(len(chosen), np.float32)})
        if labels is not None:
            made[-1]["class"] = labels[chosen]
    return made


def as_text(rows: list[np.ndarray]) -> list[str]:
    return [" ".join(map(str, row)) for row in rows]


def vectors(family, train: list[np.ndarray], test: list[np.ndarray], vocabulary=VOCABULARY) -> np.ndarray:
    """Dense vectors <float64>[rows, features] of the test rows, from the sparse ones in the graph."""
    adapted = adapt(family, batches(train), vocabulary, 64)
    encoder = family.build(vocabulary, 64, 2, adapted)
    found = np.zeros([len(test), len(adapted["texts"])])
    start = 0
    for batch in batches(test, size=17):
        packed = pack({k: batch[k] for k in ("ids", "length")}, vocabulary, 64, "")
        indices, weights = (each.numpy() for each in family.indices_and_weights(encoder.parts, packed))
        np.add.at(found, (start + np.arange(len(indices))[:, None], indices), weights)
        start += len(indices)
    return found


def columns(vectorizer, ngrams: tuple[int, int]) -> list[int]:
    """scikit-learn's columns in our order: by length, then by the words' ids."""
    names = [tuple(map(int, name.split())) for name in vectorizer.get_feature_names_out()]
    return sorted(range(len(names)), key=lambda column: (len(names[column]), names[column]))


@pytest.mark.parametrize("ngrams", [(1, 1), (1, 2), (2, 3), (1, 4)])
@pytest.mark.parametrize("sublinear", [False, True])
def test_tfidf_vectors_equal_scikit_learns(ngrams, sublinear):
    train, test = texts(200, 1), texts(100, 2)
    vectorizer = TfidfVectorizer(ngram_range=ngrams, sublinear_tf=sublinear, token_pattern=r"\S+")
    vectorizer.fit(as_text(train))
    expected = vectorizer.transform(as_text(test)).toarray()[:, columns(vectorizer, ngrams)]
    found = vectors(Tfidf(ngrams=ngrams, sublinear=sublinear), train, test)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("options, ours", [({}, {}), ({"min_df": 5}, {"min_texts": 5})])
def test_counts_equal_scikit_learns(options, ours):
    train, test = texts(200, 1), texts(100, 2)
    vectorizer = CountVectorizer(ngram_range=(1, 3), token_pattern=r"\S+", **options).fit(as_text(train))
    expected = vectorizer.transform(as_text(test)).toarray()[:, columns(vectorizer, (1, 3))]
    assert np.array_equal(vectors(BagOfWords(ngrams=(1, 3), **ours), train, test), expected)


def test_a_cap_keeps_the_ngrams_of_most_texts_and_still_finds_long_ones():
    """With trigrams only, the words and bigrams before them are looked up but are no features."""
    train, test = texts(200, 1), texts(100, 2)
    vectorizer = CountVectorizer(ngram_range=(3, 3), token_pattern=r"\S+", binary=True).fit(as_text(train))
    order = columns(vectorizer, (3, 3))
    in_texts = vectorizer.transform(as_text(train)).toarray().sum(axis=0)[order]
    kept = np.sort(np.argsort(-in_texts, kind="stable")[:40])
    expected = vectorizer.set_params(binary=False).transform(as_text(test)).toarray()[:, order][:, kept]
    assert expected.any()
    assert np.array_equal(vectors(BagOfWords(ngrams=(3, 3), max_features=40), train, test), expected)


def test_no_ngram_holds_a_special_token_or_runs_across_one():
    train = [np.array([7, 8, 9], np.int32), np.array([7, 1, 8, 3, 9, 0, 7], np.int32)]
    adapted = adapt(BagOfWords(), batches(train), VOCABULARY, 64)
    assert adapted["texts"].tolist() == [2, 2, 2, 1, 1]  # 7, 8, 9 in both; 7 8 and 8 9 in the first only
    assert (adapted["keys_2"] == [-1, 7 * SIZE + 8, 8 * SIZE + 9]).all()


def test_what_is_counted_does_not_depend_on_order_batches_or_merging(monkeypatch):
    train = texts(300, 1)
    once = adapt(Tfidf(ngrams=(1, 3)), batches(train, 300), VOCABULARY, 64)
    monkeypatch.setattr(bag, "MERGE_AT", 50)
    order = np.random.default_rng(0).permutation(300)
    again = adapt(Tfidf(ngrams=(1, 3)), batches(train, 7, order=order), VOCABULARY, 64)
    assert once.keys() == again.keys() and all(np.array_equal(once[name], again[name]) for name in once)


def test_rows_that_only_fill_a_batch_are_no_texts():
    (batch,) = batches(texts(20, 1))
    filled = {name: np.concatenate([array, array[:5]]) for name, array in batch.items()}
    filled["weight"][20:] = 0
    assert adapt(Tfidf(), [filled], VOCABULARY, 64)["rows"] == 20


def test_no_ngram_at_all_is_said():
    with pytest.raises(DataError, match="no n-gram of order 5 to 6 in 1 or more of 2 texts"):
        adapt(Tfidf(ngrams=(5, 6)), batches([np.array([7, 8], np.int32)] * 2), VOCABULARY, 64)


def test_ngrams_must_rise():
    with pytest.raises(ValueError, match="shortest <= longest"):
        Tfidf(ngrams=(2, 1))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_penalised_loss_is_logistic_regressions(classes):
    """At scikit-learn's optimum the gradient of ours vanishes, and it does not anywhere else."""
    train = [row for row in texts(150, 1) if len(row)]
    labels = np.random.default_rng(0).integers(0, classes, len(train)).astype(np.int32)
    family = Tfidf(c=3.0)
    model = fitted(family, train, labels, VOCABULARY)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    order = columns(vectorizer.fit(as_text(train)), (1, 2))
    best = LogisticRegression(C=3.0, tol=1e-10, max_iter=10_000).fit(vectorizer.transform(as_text(train)), labels)
    weights, bias = best.coef_.T[order], best.intercept_
    if classes == 2:  # scikit-learn has one column for two labels, the second's
        weights, bias = np.concatenate([-weights, weights], axis=1) / 2, np.array([-bias[0], bias[0]]) / 2
    (batch,) = batches(train, len(train), labels)

    def steepness():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(Classification().loss(model(batch), batch)) + sum(model.losses)
        gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        return max(np.abs(tf.convert_to_tensor(gradient)).max() for gradient in gradients)

    assert steepness() > 1e-3
    for weight in model.trainable_weights:
        weight.assign(bias if weight.name == "bias" else weights)
    assert steepness() < 1e-6


def fitted(family, train, labels, vocabulary, epochs=0, batch_rows=1024) -> keras.Model:
    """Trained as the family recommends, in a plain loop."""
    adapted = adapt(family, batches(train), vocabulary, 512)
    task, names = Classification(), [str(n) for n in range(int(labels.max()) + 1)]
    model = build_model(family, task, vocabulary, 512, names, False, adapted)
    plan = family.recommended["optimizer"]
    steps = epochs * -(-len(train) // batch_rows)
    rate = keras.optimizers.schedules.CosineDecay(plan["learning_rate"], max(steps, 1))
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(model.trainable_weights)

    @tf.function(reduce_retracing=True)
    def step(batch):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(task.loss(model(batch, training=True), batch)) + sum(model.losses)
        gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        optimizer.apply(gradients, model.trainable_weights)

    random = np.random.default_rng(0)
    for _ in range(epochs):
        for batch in batches(train, batch_rows, labels, random.permutation(len(train))):
            step({name: tf.constant(array) for name, array in batch.items()})
    return model


@pytest.mark.slow
@pytest.mark.skipif(not TREC.exists(), reason="needs the TREC corpus in ../shared/data")
def test_tfidf_is_as_good_as_scikit_learn_on_trec():
    """Both see the same tokens: words between spaces, lower-cased."""

    def read(name):
        lines = (TREC / name).read_text("latin-1").splitlines()
        return [line.split(" ", 1)[1].lower().split() for line in lines], [line.split(":")[0] for line in lines]

    (train, train_labels), (test, test_labels) = read("TREC.train"), read("TREC.test")
    words = {word: place + FIRST for place, word in enumerate(sorted({word for row in train for word in row}))}
    names = sorted(set(train_labels))
    labels = np.array([names.index(label) for label in train_labels], np.int32)
    rows, test_rows = (
        [np.array([words.get(word, 1) for word in row], np.int32) for row in each] for each in (train, test)
    )
    model = fitted(Tfidf(), rows, labels, Vocabulary(len(words) + FIRST, 0, 1, 2, 3, 4), epochs=60)
    answers = [names[i] for batch in batches(test_rows) for i in model(batch).numpy().argmax(axis=1)]
    ours = np.mean(np.array(answers) == test_labels)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    best = LogisticRegression(max_iter=2000).fit(vectorizer.fit_transform(map(" ".join, train)), train_labels)
    theirs = best.score(vectorizer.transform(map(" ".join, test)), test_labels)
    assert abs(ours - theirs) <= 0.005, (ours, theirs)
