"""Tests `models/signatures.py`: what is exported is small, answers any bytes, and loads where it will be served."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.tokenizers.wordpiece import WordPiece
from models.build import build_model
from models.families.base import Vocabulary
from models.families.bert import Bert
from models.families.recurrent import Lstm
from models.signatures import export
from models.tasks.classification import Classification
from tests.contracts import family as contract
from tests.contracts import tiny
from tests.contracts.serving import ask, operations

LABELS = ["no", "sí"]
NASTY = [b"", b" ", b"good film", b"\xff\xfe\x80 film", b"good\0film \0", b"good " * 209_715, "¡película! 🎬".encode()]


def save(directory: Path, name: str = "lstm", pairs: bool = False, model=None, tokenizer=tiny.WORDS, **params) -> Path:
    family = tiny.family(name, **params)
    model = model or contract.build(family, "classification", pairs)
    export(model, family, Classification(), tokenizer, LABELS, tiny.MAX_TOKENS, pairs, directory)
    return directory


def serve(directory: Path, *texts):
    signature = tf.saved_model.load(str(directory)).signatures["serving_default"]
    return signature(**dict(zip(("text", "text_pair"), map(tf.constant, texts), strict=False)))


@pytest.mark.parametrize("name", ["tfidf", "lstm", "bert"])
def test_rows_of_a_mixed_batch_answer_as_they_do_alone(name, tmp_path):
    """Any bytes get an answer: nothing, invalid UTF-8, NUL, a megabyte of words."""
    signature = tf.saved_model.load(str(save(tmp_path, name))).signatures["serving_default"]
    together = signature(text=tf.constant(NASTY))
    assert together["scores"].dtype == tf.float32 and together["label"].dtype == tf.string
    np.testing.assert_allclose(tf.reduce_sum(together["scores"], axis=1), 1.0, rtol=1e-6)
    for row, text in enumerate(NASTY):
        alone = signature(text=tf.constant([text]))
        np.testing.assert_allclose(alone["scores"][0], together["scores"][row], atol=1e-5)
        assert alone["label"][0].numpy().decode() == LABELS[int(np.argmax(alone["scores"]))]


class Width(keras.Model):
    """Answers how wide the ids of its batch are, in place of logits."""

    def call(self, batch, training=False):
        rows, tokens = tf.unstack(tf.shape(batch["ids"]))
        return tf.fill([rows, 1], tokens)


class Raw(Classification):
    def answer(self, logits, labels):
        return {"width": logits}


def test_rows_are_padded_to_the_longest_of_the_batch_and_cut_to_max_tokens(tmp_path):
    """Padding to max_tokens would double the time of a typical request; a long text must not widen all the others."""
    export(Width(), tiny.family("lstm"), Raw(), tiny.WORDS, LABELS, tiny.MAX_TOKENS, False, tmp_path)
    assert serve(tmp_path, ["good", "not very good", ""])["width"].numpy().tolist() == [[3]] * 3
    assert serve(tmp_path, ["good " * 99, "bad"])["width"].numpy().tolist() == [[tiny.MAX_TOKENS]] * 2
    assert serve(tmp_path, [""])["width"].numpy().tolist() == [[1]]


@pytest.mark.parametrize("loader", ["cpp", "python"])
@pytest.mark.parametrize("name, pairs", [("bert", True), ("tfidf", False)])
def test_it_answers_in_a_fresh_process(name, pairs, loader, tmp_path):
    """In the C++ loader with XLA off, as in TF Serving, and in a Python that cannot import Keras."""
    texts = [["Good film", "", "bad"], ["very dull!", "fun", "plot"]][: 1 + pairs]
    options = {"lowercase": True, "strip_accents": False}
    pieces = WordPiece(tiny.WORDS.vocabulary, tiny.WORDS.special, options)  # with TF Text's ops
    expected = serve(save(tmp_path, name, pairs, tokenizer=pieces), *texts)
    inputs = dict(zip(("text", "text_pair"), ([text.encode() for text in rows] for rows in texts), strict=False))
    answers = ask(loader, tmp_path, inputs)
    np.testing.assert_allclose(answers["scores"], expected["scores"], atol=1e-6)
    assert [label.encode() for label in answers["label"]] == expected["label"].numpy().tolist()


@pytest.mark.parametrize("name", ["bag_of_words", "lstm", "bert"])
def test_no_op_is_one_that_tf_serving_lacks(name, tmp_path):
    found = operations(save(tmp_path, name, **({"recurrent_dropout": 0.3} if name == "lstm" else {})))
    assert not [op for op in found if "PyFunc" in op or "Xla" in op or "Random" in op or op.startswith("TFText>")]


def test_each_weight_is_written_once_and_nothing_else(tmp_path):
    size, family = 20_000, Lstm(embedding=64, width=8, recurrent_dropout=0.1)
    model = build_model(family, Classification(), Vocabulary(size, 0, 1, 2, 3, 4), tiny.MAX_TOKENS, 2, False)
    model.optimizer = keras.optimizers.Adam()
    model.optimizer.build(model.trainable_variables)
    export(model, family, Classification(), tiny.WORDS, LABELS, tiny.MAX_TOKENS, False, tmp_path)
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert written <= 1.1 * 4 * model.count_params() + (1 << 20)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_model_of_mixed_precision_is_served_in_float32(policy, tmp_path):
    family = Bert(layers=1, width=8, heads=2)
    plain = contract.build(family, "classification")
    keras.config.set_dtype_policy(policy)
    try:
        mixed = contract.build(family, "classification")
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(plain.get_weights())
    batch = tiny.batch("classification", 5)
    before = mixed(batch).numpy()
    answers = serve(save(tmp_path, "bert", model=mixed), tiny.examples("classification")[0].column("text").to_pylist())
    np.testing.assert_allclose(answers["scores"], tf.nn.softmax(plain(batch)), atol=1e-6)
    assert np.array_equal(mixed(batch), before) and not np.array_equal(before, plain(batch))
