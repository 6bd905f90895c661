"""Tests `models/families/elmo.py` and `models/elmo_hub.py`: the three ways in, and what the family adds to them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.errors import ConfigError
from models.build import build_model
from models.elmo_hub import HubElmo
from models.families.elmo import Elmo, embed_sentence
from models.signatures import export
from models.tasks.classification import Classification
from tests.contracts import tiny
from tests.contracts.family import build, check_answers, check_saving
from tests.models import elmo_reference, tf1_module

WORDS = [row.split() for row in tiny.examples("classification")[0].column("text").to_pylist()]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return elmo_reference.write(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return tf1_module.write(tmp_path_factory.mktemp("hub"))


def encoded(family: Elmo, pairs: bool = False):
    model = build(family, "classification", pairs)
    return model, model.encoder(model.pack(tiny.batch("classification", 5, pairs)))


@pytest.mark.parametrize("changes", [{"mix": "words", "frozen": True}, {"mix": "last", "pooling": "attention"}])
def test_the_family_keeps_the_contract_with_other_parameters(changes):
    check_answers(tiny.family("elmo", **changes), "classification", pairs=False)


def test_it_keeps_the_contract_with_published_weights(published):
    check_answers(Elmo(weights=str(published)), "classification", pairs=True)
    check_saving(Elmo(weights=str(published)), "classification")


def test_it_keeps_the_contract_with_a_hub_module(module):
    check_answers(Elmo(hub=str(module), pooling="mean"), "classification", pairs=True)


def test_weights_are_read_and_only_the_mix_and_above_are_trained(published):
    model, found = encoded(Elmo(weights=str(published)))
    reference = elmo_reference.Reference(published)
    for row, sentence in enumerate(WORDS):
        reference.forget()
        layers = np.stack([layer[row, : len(sentence)] for layer in found.layers])
        np.testing.assert_allclose(layers, reference.layers(sentence), atol=1e-5)
    assert {weight.path.split("/")[-1] for weight in model.trainable_weights} == {"s", "gamma", "kernel", "bias"}
    assert len(model.trainable_weights) == 4
    trained, _ = encoded(Elmo(weights=str(published), frozen=False))
    assert len(trained.trainable_weights) == len(trained.weights)


def test_a_text_and_its_pair_are_two_sentences_that_follow_each_other(published):
    """As the language model reads them in training: forwards a begin stands between them, backwards an end."""
    _, found = encoded(Elmo(weights=str(published)), pairs=True)
    reference = elmo_reference.Reference(published)
    pair = WORDS[2:] + WORDS[:2]
    for row in (0, 6):
        first, second = WORDS[row], pair[row]
        words = [reference.word(word.encode()) for word in (*first, "\0", *second)]
        between = len(first)
        start, end = reference.word(b"\x00"), reference.word(b"\x01")
        reference.forget()
        forwards = reference.side(0, np.array([start, *words[:between], start, *words[between + 1 :]]))[-1][1:]
        reference.forget()
        turned = [end, *words[:between:-1], end, *words[:between][::-1]]
        backwards = reference.side(1, np.array(turned))[-1][1:][::-1]
        expected = np.concatenate([forwards, backwards], axis=1)
        np.testing.assert_allclose(found.layers[-1][row, : len(words)], expected, atol=1e-5)


def test_the_mix_is_reported_and_is_what_a_token_gets(published):
    family = Elmo(weights=str(published), dropout=0.0)
    model, found = encoded(family)
    report = family.report(model.encoder)["mix"]
    assert sum(report["shares"]) == pytest.approx(1) and len(report["shares"]) == 3
    mixed = report["gamma"] * np.tensordot(report["shares"], np.stack(found.layers), 1)
    np.testing.assert_allclose(found.sequence, mixed, atol=1e-5)
    last = tiny.family("elmo", mix="last")
    assert last.report(encoded(last)[0].encoder) == {}
    assert len(model.losses) == 1 and not build(Elmo(weights=str(published), mix_l2=0), "classification").losses


@pytest.mark.parametrize("mix, layer", [("words", 0), ("last", -1)])
def test_one_layer_can_be_taken_alone(mix, layer):
    _, found = encoded(tiny.family("elmo", mix=mix))
    assert found.sequence is found.layers[layer]


@pytest.mark.parametrize("signatures", [("default", "tokens"), ("default",)])
def test_a_hub_module_gives_its_layers_by_either_signature(module, tmp_path, signatures):
    """By one the module is given our words; by the other it splits at the spaces that we put."""
    folder = module if len(signatures) == 2 else tf1_module.write(tmp_path, signatures)
    model, found = encoded(Elmo(hub=str(folder), mix_l2=0, dropout=0.0))
    ask = tf.saved_model.load(str(module), tags=[]).signatures["tokens"]
    rows = [row + [""] * (5 - len(row)) for row in WORDS]
    expected = ask(tokens=tf.constant(rows), sequence_len=tf.constant([len(row) for row in WORDS]))
    assert model.encoder.parts["network"].name == signatures[-1]
    for row, words in enumerate(WORDS):
        kept = slice(0, len(words))
        names = ("word_emb", "lstm_outputs1", "lstm_outputs2")
        for layer, name in zip(found.layers, names, strict=True):
            np.testing.assert_allclose(
                layer[row, kept][:, -6:], np.tile(expected[name][row, kept], 2)[:, -6:], atol=1e-6
            )
    assert len(found.layers) == 3 and len(model.trainable_weights) == 4


def test_the_mix_over_a_hub_module_is_the_modules_own(module):
    """With the module's own weights in it, the mix is its output `elmo`; and it can be trained, unlike the module's."""
    model, _ = encoded(Elmo(hub=str(module), mix_l2=0, dropout=0.0))
    loaded = model.encoder.parts["network"].module
    mix = next(variable for variable in loaded.variables if "mix" in variable.name)
    model.encoder.parts["mix"].set_weights([mix.numpy(), np.array(1.0)])
    text = tf.constant([" ".join(row) for row in WORDS])
    expected = loaded.signatures["default"](text=text)["elmo"]
    found = model.encoder(model.pack(tiny.batch("classification", 5))).sequence
    for row, words in enumerate(WORDS):
        np.testing.assert_allclose(found[row, : len(words)], expected[row, : len(words)], atol=1e-5)


def test_a_hub_module_travels_in_the_saved_model(module, tmp_path):
    folder = tmp_path / "module"
    tf.io.gfile.makedirs(str(folder))
    tf1_module.write(folder)
    family, task = Elmo(hub=str(folder)), Classification()
    keras.utils.set_random_seed(3)
    model = build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, ["no", "yes"], False)
    examples, labels = tiny.examples("classification")
    export(model, family, task, tiny.WORDS, labels, tiny.MAX_TOKENS, ["text"], tmp_path / "saved")
    tf.io.gfile.rmtree(str(folder))
    serve = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    texts = tf.constant(examples.column("text").to_pylist())
    expected = task.answer(model(tiny.batch("classification", 5)), labels)
    np.testing.assert_allclose(serve(text=texts)["scores"], expected["scores"], atol=1e-6)


def test_the_signature_embed_gives_every_layer(published, tmp_path):
    family, task = Elmo(weights=str(published)), Classification()
    model = build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, ["no", "yes"], False)
    export(model, family, task, tiny.WORDS, ["no", "yes"], tiny.MAX_TOKENS, ["text"], tmp_path)
    embed = tf.saved_model.load(str(tmp_path)).signatures["embed"]
    found = embed(text=tf.constant(["niño good", "bad"]))
    assert found["layers"].shape == (2, 3, 2, 8) and not np.any(found["layers"][1, :, 1])
    reference = elmo_reference.Reference(published)
    for row, sentence in enumerate((["niño", "good"], ["bad"])):
        reference.forget()
        expected = reference.layers(sentence)
        np.testing.assert_allclose(found["layers"][row, :, : len(sentence)], expected, atol=1e-5)
    assert embed(text=tf.constant([], tf.string))["layers"].shape[:2] == (0, 3)


def test_what_is_no_elmo_module_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no-module' could not be fetched or read .*give its folder"):
        HubElmo(str(tmp_path / "no-module"))
    with pytest.raises(ConfigError, match="holds variables of the oldest kind"):
        HubElmo(str(tf1_module.write(tmp_path / "legacy", legacy_variables=True)))
    module = tf.Module()
    ask = tf.function(lambda text: {"vectors": tf.strings.length(text)}, [tf.TensorSpec([None], tf.string, "text")])
    tf.saved_model.save(module, str(tmp_path / "other"), signatures={"default": ask})
    with pytest.raises(ConfigError, match=r"signatures \['default'\] with outputs \['vectors'\]; wanted 'tokens'"):
        HubElmo(str(tmp_path / "other"))


def test_a_sentence_is_embedded_by_every_way_in(published, module):
    for family, width in ((Elmo(weights=str(published)), 8), (Elmo(hub=str(module)), 6), (tiny.family("elmo"), 8)):
        encoder = family.build(tiny.VOCABULARY, 16, 2, {})
        assert embed_sentence(encoder, ["not", "bad", "!"]).shape == (3, 3, width)


def test_sources_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="got hub and layers; hub brings its own sizes"):
        Elmo(hub="google/elmo/3", layers=2)
    with pytest.raises(ValueError, match="got weights and hub"):
        Elmo(weights="folder", hub="google/elmo/3")
    with pytest.raises(ValueError, match="cannot be trained: leave frozen out"):
        Elmo(hub="google/elmo/3", frozen=False)
    assert Elmo(hub="google/elmo/3").refuses_tpu and not Elmo().refuses_tpu
