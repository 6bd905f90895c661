"""Tests `models/elmo_layers.py` and `models/published/elmo.py`: the network computes what was published."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

from data.errors import ConfigError
from models.elmo_layers import ScalarMix, characters, sentence_marks
from models.families.elmo import Elmo, embed_sentence
from models.published import elmo as published
from tests.models.elmo_reference import Reference, write

GOLD = Path(__file__).parents[3] / "shared/data/elmo_tiny_fixture"
SENTENCES = [["El", "niño", "corre", "."], ["x" * 60], ["日本語", "ab"]]


def raw(sentences: list[list[str]], tokens: int) -> np.ndarray:
    """Bytes <uint8>[sentences, tokens, 48]."""
    found = np.zeros([len(sentences), tokens, 48], np.uint8)
    for row, words in enumerate(sentences):
        for place, word in enumerate(words):
            data = word.encode()[:48]
            found[row, place, : len(data)] = list(data)
    return found


def test_characters_are_those_of_the_published_models():
    codes = characters(tf.constant(raw([["ab", "", "y" * 60]], 3))).numpy()[0]
    assert codes[0].tolist() == [258, 97, 98, 259] + [260] * 46
    assert codes[1].tolist() == [258, 259] + [260] * 48
    assert codes[2].tolist() == [258] + [121] * 48 + [259]
    start, end = sentence_marks(50).tolist()
    assert start == [258, 256, 259] + [260] * 47 and end == [258, 257, 259] + [260] * 47


@pytest.mark.skipif(not GOLD.exists(), reason="needs elmo_tiny_fixture in ../shared/data")
def test_published_weights_give_the_gold_outputs():
    """The gold is the top layer of 10 batches of three, each row going on with the states of the batch before."""
    network = Elmo(weights=str(GOLD)).network()
    batches = list(zip(*json.loads((GOLD / "lm_embeddings_sentences.json").read_text()), strict=True))
    gold = [h5py.File(GOLD / f"lm_embeddings_{row}.hdf5") for row in range(3)]
    states = [[[tf.zeros([3, 64]), tf.zeros([3, 16])] for _ in range(2)] for _ in range(2)]
    for n, batch in enumerate(batches):
        sentences = [text.split() for text in batch]
        length = tf.constant([len(sentence) for sentence in sentences])
        tokens, _, _ = network.words.in_sentences(tf.constant(raw(sentences, int(max(length)) + n % 2)), length)
        layers, states = network.bilm(tokens, tokens, length + 2, states)
        for row, sentence in enumerate(sentences):
            expected = np.concatenate(list(gold[row][str(n)][...]), axis=1)
            np.testing.assert_allclose(layers[-1][row, 1 : len(sentence) + 1], expected, atol=1e-5, rtol=0)


@pytest.mark.skipif(not GOLD.exists(), reason="needs elmo_tiny_fixture in ../shared/data")
def test_the_reference_gives_the_gold_outputs_too():
    reference = Reference(GOLD)
    for n, text in enumerate(json.loads((GOLD / "lm_embeddings_sentences.json").read_text())[0][:2]):
        with h5py.File(GOLD / "lm_embeddings_0.hdf5") as file:
            expected = np.concatenate(list(file[str(n)][...]), axis=1)
        np.testing.assert_allclose(reference.layers(text.split())[-1], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "lstm, cnn",
    [
        ({}, {}),  # both clips at work, a highway layer, tanh, layers added up
        ({"use_skip_connections": False, "n_layers": 3}, {"activation": "relu", "n_highway": 2}),
        ({"dim": 4}, {"filters": [[2, 4]]}),  # neither projection
    ],
)
def test_every_layer_is_that_of_the_formulas(tmp_path, lstm, cnn):
    """Sentence by sentence, against NumPy in float64, which is right about the gold; clips bite at these weights."""
    folder = write(tmp_path, lstm=lstm, cnn=cnn)
    reference, encoder = Reference(folder), Elmo(weights=str(folder)).build(None, 64, 2, {})
    for sentence in SENTENCES:
        reference.forget()
        np.testing.assert_allclose(embed_sentence(encoder, sentence), reference.layers(sentence), atol=1e-5, rtol=0)
    layers, _, width = embed_sentence(encoder, ["a"]).shape
    assert embed_sentence(encoder, []).shape == (layers, 0, width)


def test_clips_change_the_answer(tmp_path):
    """So the test above would see a clip left out."""
    bound, free = ({"cell_clip": clip, "proj_clip": clip} for clip in (0.5, 99))
    first, second = (Reference(write(tmp_path / str(n), lstm=clips)) for n, clips in enumerate((bound, free)))
    assert np.abs(first.layers(SENTENCES[0]) - second.layers(SENTENCES[0])).max() > 0.1


def test_the_mix_is_equation_1():
    layers = np.random.default_rng(0).normal(size=[3, 2, 4, 6]).astype(np.float32)
    mix = ScalarMix(3, l2=0.5)
    np.testing.assert_allclose(mix(tf.unstack(layers)), layers.mean(axis=0), atol=1e-6)
    mix.set_weights([np.array([0.1, -2.0, 3.0]), np.array(1.7)])
    shares = np.exp([0.1, -2.0, 3.0]) / np.exp([0.1, -2.0, 3.0]).sum()
    np.testing.assert_allclose(mix(tf.unstack(layers)), 1.7 * np.tensordot(shares, layers, 1), atol=1e-5)
    np.testing.assert_allclose(sum(mix.losses), 0.5 * (0.1**2 + 2**2 + 3**2), rtol=1e-6)
    assert mix.report() == {"shares": [round(float(share), 6) for share in shares], "gamma": 1.7}
    assert not ScalarMix(3).losses


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda folder: (folder / "options.json").unlink(), "with none; wanted a folder with one .options.json"),
        (lambda folder: (folder / "b_weights.hdf5").touch(), "with b_weights.hdf5, weights.hdf5"),
        (lambda folder: (folder / "options.json").write_text("{}"), "KeyError: 'lstm'.*wanted the options of"),
        (lambda folder: (folder / "weights.hdf5").write_text("x"), "does not hold the weights of the options"),
        (lambda folder: write(folder / "x", lstm={"dim": 9}).joinpath("options.json").replace(folder / "options.json"),
         r"LSTMCell/W_0 is \(8, 24\), wanted \(8, 36\)"),
        (lambda folder: write(folder, cnn={"max_characters_per_token": 20}), "= 20; wanted 50"),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_published_elmo_says_why(tmp_path, change, said):
    change(write(tmp_path))
    with pytest.raises(ConfigError, match=said):
        Elmo(weights=str(tmp_path)).network()


def test_one_source_of_sizes():
    with pytest.raises(ValueError, match="got weights and layers, units; weights brings its own sizes"):
        Elmo(weights="folder", units=3, layers=1)
    with pytest.raises(ValueError, match="got width 10 with 4 units"):
        Elmo(width=10, units=4)


def test_what_is_written_is_read_again(tmp_path):
    """As the reference reads it too: so other readers of the published format should."""
    for number, changes in enumerate(({}, {"dim": 4, "use_skip_connections": False, "cell_clip": None})):
        first = write(tmp_path / f"{number}", lstm=changes, cnn={"filters": [[2, 4]]} if number else {})
        network = Elmo(weights=str(first)).network()
        published.write(tmp_path / f"{number}-again", network)
        again = Elmo(weights=str(tmp_path / f"{number}-again")).network()
        assert again.sizes == network.sizes
        for found, expected in zip(again.weights, network.weights, strict=True):
            assert np.array_equal(found, expected)
        names = [h5py.File(path)["char_embed"].shape for path in tmp_path.glob(f"{number}*/weights.hdf5")]
        assert names == [(261, 3)] * 2
    reference = Reference(tmp_path / "0-again").layers(["a"])
    np.testing.assert_allclose(reference, Reference(tmp_path / "0").layers(["a"]), atol=1e-12)
