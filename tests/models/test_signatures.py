"""Tests `models/signatures.py`: what is exported is small, answers by several signatures, and in float32."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.tokenizers.wordpiece import WordPiece
from models.build import build_model
from models.families import FAMILIES
from models.families.base import Encoded, Vocabulary
from models.families.bert import Bert
from models.families.recurrent import Lstm
from models.layers import TextModel
from models.packing import pack
from models.signatures import export
from models.tasks import TASKS
from models.tasks.base import Task
from models.tasks.classification import Classification
from tests.contracts import family as contract
from tests.contracts import tiny
from tests.contracts.serving import check_exported, check_older_tensorflow

LABELS = ["no", "sí"]


def save(directory: Path, name: str = "lstm", pairs: bool = False, model=None, tokenizer=tiny.WORDS, **params):
    """The loaded model."""
    family = tiny.family(name, **params)
    model = model or contract.build(family, "classification", pairs)
    export(
        model,
        family,
        Classification(),
        tokenizer,
        LABELS,
        tiny.MAX_TOKENS,
        ["text", "text_pair"][: 1 + pairs],
        directory,
    )
    return tf.saved_model.load(str(directory))


def pieces(vocabulary: list[str]) -> WordPiece:
    """A tokenizer with TF Text's ops."""
    return WordPiece(vocabulary, tiny.WORDS.special, {"lowercase": True, "strip_accents": False})


def test_a_model_of_pairs_with_text_ops_and_dropout_between_steps_keeps_the_contract(tmp_path):
    family, tokenizer = tiny.family("lstm", recurrent_dropout=0.3), pieces(tiny.WORDS.vocabulary)
    check_exported(contract.build(family, "classification", True), family, "classification", tmp_path, True, tokenizer)


def test_a_megabyte_of_words_is_answered(tmp_path):
    loaded = save(tmp_path)
    texts = tf.constant([b"good " * 209_715, b"good " * tiny.MAX_TOKENS, b"bad"])
    scores = loaded.signatures["serving_default"](text=texts)["scores"].numpy()
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)
    vectors = loaded.signatures["embed"](text=texts)
    assert vectors["length"].numpy().tolist() == [tiny.MAX_TOKENS, tiny.MAX_TOKENS, 1]
    np.testing.assert_allclose(vectors["pooled"][0], vectors["pooled"][1], atol=1e-6)


def example(**texts: bytes) -> bytes:
    made = tf.train.Example()
    for name, text in texts.items():
        made.features.feature[name].bytes_list.value.append(text)
    return made.SerializeToString()


def test_classify_answers_what_serving_default_does(tmp_path):
    signatures = (loaded := save(tmp_path, "tfidf", pairs=True)).signatures
    texts = {"text": [b"good film", b"", b"bad"], "text_pair": [b"fun", b"plot", b""]}
    scores = signatures["serving_default"](**{name: tf.constant(column) for name, column in texts.items()})["scores"]
    rows = [example(text=text, text_pair=pair) for text, pair in zip(*texts.values(), strict=True)]
    found = signatures["classify"](inputs=tf.constant(rows))
    np.testing.assert_allclose(found["scores"], scores, atol=1e-6)
    assert [[label.decode() for label in row] for row in found["classes"].numpy()] == [LABELS] * 3
    for broken, says in (
        (example(text=b"good"), "text_pair .* is required"),
        (b"good", "Could not parse example input"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=says):
            loaded.signatures["classify"](inputs=tf.constant([broken]))


def test_a_model_of_pairs_embeds_one_text(tmp_path):
    model = contract.build(tiny.family("bert"), "classification", pairs=True)
    loaded = save(tmp_path, "bert", pairs=True, model=model)
    packed = pack({"ids": [[5, 7]], "length": [2]}, tiny.VOCABULARY, tiny.MAX_TOKENS, "bert")
    pooled = loaded.signatures["embed"](text=tf.constant(["good film"]))["pooled"]
    np.testing.assert_allclose(pooled, model.encoder(packed).pooled, atol=1e-6)


def test_offsets_are_code_points_of_the_text_as_it_was_sent(tmp_path):
    loaded = save(tmp_path, "bert", tokenizer=pieces([*tiny.WORDS.vocabulary[:-1], "##s"]))
    text = "¡Ágil! 🎬 Good FILMS"
    found = loaded.signatures["embed"](text=tf.constant([text, "bad"]))
    assert found["length"].numpy().tolist() == [7, 1]
    spans = np.stack([found["start"], found["end"]], axis=2)
    assert [text[start:end] for start, end in spans[0]] == [
        "¡",
        "Ágil",
        "!",
        "🎬",
        "Good",
        "FILM",
        "S",
    ]
    assert spans[1].tolist() == [[0, 3]] + [[-1, -1]] * 6


class Width(keras.layers.Layer):
    """An encoder whose vector of a text is how wide the ids are that it is given."""

    def call(self, packed, training=False):
        rows, tokens = tf.unstack(tf.shape(packed["ids"]))
        return Encoded(None, tf.cast(tf.fill([rows, 1], tokens), tf.float32), (), packed["mask"])


class Raw(Classification):
    """Answers the logits."""

    signatures = Task.signatures

    def answer(self, logits, labels):
        return {"width": logits}


def test_rows_are_padded_to_the_longest_of_the_batch_and_cut_to_max_tokens(tmp_path):
    """Padding to max_tokens would double the time of a typical request; a long text must not widen all the others."""

    def no_packing(batch):
        return {"ids": batch["ids"], "mask": batch["ids"] > 0}

    model = TextModel(no_packing, Width(), Raw().unpack, keras.layers.Identity())
    model({"ids": np.zeros([1, 1], np.int32), "length": np.ones(1, np.int32)})
    export(model, tiny.family("lstm"), Raw(), tiny.WORDS, LABELS, tiny.MAX_TOKENS, ["text"], tmp_path)
    signatures = (loaded := tf.saved_model.load(str(tmp_path))).signatures
    assert set(signatures) == {"serving_default", "embed"}
    for signature, output in (("serving_default", "width"), ("embed", "pooled")):

        def width(*texts, ask=loaded.signatures[signature], output=output):
            return ask(text=tf.constant(texts))[output].numpy().ravel().tolist()

        assert width("good film", "not very good", "") == [3] * 3
        assert width("good " * 99, "bad") == [tiny.MAX_TOKENS] * 2
        assert width("") == [1]


def test_each_weight_is_written_once_and_nothing_else(tmp_path):
    size, family = 20_000, Lstm(embedding=64, width=8, recurrent_dropout=0.1)
    model = build_model(
        family, Classification(), Vocabulary(size, 0, 1, 2, 3, 4), tiny.MAX_TOKENS, ["no", "yes"], False
    )
    model.optimizer = keras.optimizers.Adam()
    model.optimizer.build(model.trainable_variables)
    export(model, family, Classification(), tiny.WORDS, LABELS, tiny.MAX_TOKENS, ["text"], tmp_path)
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
    texts = tiny.examples("classification")[0].column("text").to_pylist()
    answers = save(tmp_path, "bert", model=mixed).signatures["serving_default"](text=tf.constant(texts))
    np.testing.assert_allclose(answers["scores"], tf.nn.softmax(plain(batch)), atol=1e-6)
    assert np.array_equal(mixed(batch), before) and not np.array_equal(before, plain(batch))


@pytest.mark.slow
@pytest.mark.parametrize("task_name", TASKS)
@pytest.mark.parametrize("name", FAMILIES)
def test_it_answers_in_the_tensorflow_of_tf_serving(name, task_name, older_tensorflow, tmp_path):
    if name in tiny.fitting(task_name):
        family = tiny.family(name)
        check_older_tensorflow(contract.build(family, task_name), family, task_name, tmp_path, older_tensorflow)
