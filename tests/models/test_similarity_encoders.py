"""Tests `models/similarity_head.py` in models: pairs that are read together, and triplets from examples to the loss."""

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from components.transform import _Job, _Lengths, _records
from data.store import Shards, TokenStore, write_shard
from models.build import adapt, build_model
from models.signatures import export
from models.tasks.similarity import Similarity
from tests.contracts import tiny


def built(name: str, task: Similarity, batch):
    keras.utils.set_random_seed(0)
    family = tiny.family(name)
    adapted = adapt(family, [batch], tiny.VOCABULARY, tiny.MAX_TOKENS, task.apart)
    return family, build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, [], True, adapted)


def learned(model, task, batch) -> list[float]:
    """The loss of each of 60 steps."""
    optimizer = keras.optimizers.Adam(0.1)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = task.loss(model(batch, training=True), batch)
        gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        optimizer.apply(gradients, model.trainable_weights)
        return tf.reduce_mean(loss)

    return [float(step()) for _ in range(60)]


@pytest.mark.parametrize("name", ["bag_of_words", "transformer"])
def test_a_cross_encoder_learns_scores_of_pairs_and_answers_in_their_range(name, tmp_path):
    """A linear family's output is the score; others have a layer for it."""
    task, batch = Similarity(encoder="cross", low=1.0, high=5.0), tiny.batch("similarity", 5)
    batch["score"] = np.array([1, 5, 1, 5, 5, 1, 5, 1], np.float32)
    family, model = built(name, task, batch)
    logits = model(batch, training=False)["score"].numpy()
    share = (batch["score"] - 1) / 4
    wanted = share * np.log1p(np.exp(-logits)) + (1 - share) * np.log1p(np.exp(logits))
    np.testing.assert_allclose(task.loss(model(batch, training=False), batch), wanted, rtol=1e-4)
    losses = learned(model, task, batch)
    assert losses[-1] < losses[0] / 4
    export(model, family, task, tiny.WORDS, [], tiny.MAX_TOKENS, ["text", "text_pair"], tmp_path)
    asked = tf.saved_model.load(str(tmp_path)).signatures
    assert "vector" not in asked
    rows = tiny.examples("similarity")[0]
    texts = {each: tf.constant(rows.column(each).to_pylist()) for each in ("text", "text_pair")}
    score = asked["serving_default"](**texts)["score"].numpy()
    np.testing.assert_allclose(score, 1 + 4 / (1 + np.exp(-model(batch, training=False)["score"])), atol=1e-4)
    assert np.abs(score - batch["score"]).max() < 1


def triplets(tmp_path) -> dict[str, np.ndarray]:
    """A batch of three texts a row, as `transform` writes it and the store gathers it."""
    examples = pa.record_batch(
        {
            "key": pa.array(range(4)),
            "text": ["good film", "bad film", "fun plot", "very dull"],
            "text_pair": ["very good", "not good", "very fun", "dull"],
            "negative": ["dull", "good plot", "not fun plot", "fun"],
        }
    )
    job = _Job("", "", "similarity", (), 5, 0, 0)
    lengths = _Lengths(np.zeros(6, np.int64))
    write_shard(tmp_path / "a.arrow", [_records(examples, tiny.WORDS, Similarity(), "train", job, lengths)])
    return TokenStore([Shards([tmp_path / "a.arrow"], ())], ()).gather(np.arange(4), 5)


def test_triplets_go_from_examples_through_one_encoder_to_what_the_margin_lacks(tmp_path):
    task, batch = Similarity(objective="triplet", margin=0.5), triplets(tmp_path)
    assert batch["length_negative"].tolist() == [1, 2, 3, 1] and batch["ids_negative"][1, :2].tolist() == [5, 8]
    _, model = built("word2vec", task, batch)
    found = model(batch, training=False)
    for name, suffix in (("text", ""), ("pair", "_pair"), ("negative", "_negative")):
        alone = {each: batch[each + suffix] for each in ("ids", "length")}
        vectors = model.encoder(model.pack(alone), training=False).pooled.numpy()
        np.testing.assert_allclose(found[name], vectors / np.linalg.norm(vectors, axis=1, keepdims=True), atol=1e-5)
    near, far = ((found["text"].numpy() * found[name].numpy()).sum(axis=1) for name in ("pair", "negative"))
    np.testing.assert_allclose(task.loss(found, batch), np.maximum(far - near + 0.5, 0), atol=1e-5)
    losses = learned(model, task, batch)
    assert losses[0] > 0.1 and losses[-1] == 0
    assert (task.outcome(model(batch, training=False), batch)["rank"].numpy() == 1).all()
