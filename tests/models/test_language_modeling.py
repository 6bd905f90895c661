"""Tests `models/tasks/language_modeling.py`, models/scoring.py and the judgement: likelihoods, and what they are of."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from data.errors import ConfigError
from models import scoring
from models.build import build_model
from models.evaluation.language_modeling import LanguageModelingJudgement, _Unigrams
from models.scoring import scores
from models.signatures import Served
from models.tasks.language_modeling import LanguageModeling
from tests.contracts import tiny


@pytest.fixture(scope="module")
def served():
    family = tiny.family("gru", dropout=0.0)
    model = build_model(family, LanguageModeling(), tiny.VOCABULARY, 6, [], False)
    for weight in model.trainable_weights:
        weight.assign(tf.random.stateless_normal(weight.shape, [1, weight.shape.num_elements()]))
    return Served(model, tiny.WORDS, [], 6, ["text"], family)


@pytest.mark.parametrize("stride", [1, 3, 5, None])
@pytest.mark.parametrize("words", [0, 1, 4, 5, 6, 13])
def test_each_token_of_a_long_text_is_told_once_from_the_window_before_it(served, stride, words):
    text = " ".join(["good", "bad", "film", "not", "fun"][n * n % 5] for n in range(words))
    end, most, step = tiny.VOCABULARY.end, 6, stride or 3
    ids = [end, *tiny.WORDS.encode([text])[0].tolist(), end]
    expected, told, begin = 0.0, 1, 0
    while told < len(ids):
        window = np.array([ids[begin : begin + most]], np.int32)
        logits = served.model({"ids": window, "length": np.array([window.shape[1]], np.int32)})
        log_p = tf.nn.log_softmax(logits)[0].numpy()
        for place in range(told, begin + window.shape[1]):
            expected -= log_p[place - begin - 1, ids[place]]
        told, begin = begin + window.shape[1], begin + step
    found = scores(served, LanguageModeling(stride=stride), tf.constant([text, "good"]))
    np.testing.assert_allclose(found["loss"][0], expected, rtol=1e-5)
    assert found["tokens"].numpy().tolist() == [words + 1, 2]


def test_windows_that_are_read_in_several_passes_tell_the_same(served, monkeypatch):
    texts = tf.constant(["good bad film not fun good bad film", "good", "", "not fun"])
    together = scores(served, LanguageModeling(stride=2), texts)
    monkeypatch.setattr(scoring, "TOKENS", 6)  # a window a pass: the last ones are shorter than the first
    traced = served.function(lambda text: scores(served, LanguageModeling(stride=2), text), ["text"])
    apart = traced(texts)
    np.testing.assert_allclose(apart["loss"], together["loss"], rtol=1e-5)
    assert apart["tokens"].numpy().tolist() == together["tokens"].numpy().tolist() == [9, 2, 1, 3]


def test_an_exported_model_has_places_for_what_it_writes():
    gru, cached = tiny.family("gru"), tiny.family("transformer")
    task = LanguageModeling(generation={"max_tokens": 20})
    assert task.generation_of(gru, 16).max_tokens == 20 and task.check_places(gru, 16) == []
    with pytest.raises(ConfigError, match="max_tokens: got 20, wanted 15 at most"):
        task.generation_of(cached, 16)
    assert LanguageModeling().generation_of(cached, 16).max_tokens == 15
    beams = LanguageModeling(generation={"method": "beam", "min_tokens": 3})
    assert beams.generation_of(cached, 16).model_dump(exclude_unset=True) == {
        "method": "beam",
        "min_tokens": 3,
        "max_tokens": 15,
    }
    (problem,) = LanguageModeling(generation={"min_tokens": 15}).check_places(cached, 16)
    assert "min_tokens: got 15, wanted 14 at most" in problem


def test_a_window_moves_by_less_than_itself():
    (problem,) = LanguageModeling(stride=16).check_places(tiny.family("gru"), 16)
    assert "stride: got 16, wanted 15 at most" in problem
    assert LanguageModeling(stride=15).check_places(tiny.family("gru"), 16) == []


def test_blocks_count_by_the_tokens_they_tell():
    class Store:
        lengths, weights = np.array([6, 6, 2]), np.ones(3, np.float32)

    assert LanguageModeling().weights(Store()).tolist() == [5, 5, 1]


TEXTS = ["the niño slept", "a dog"]


def judged(**answers):
    table = pa.table({"key": [1, 2], "text": TEXTS})
    given = {
        "log_likelihood": np.array([-12.0, -6.0], np.float32),
        "tokens": np.array([5, 4], np.int32),
        "unknown": np.array([1, 0], np.int32),
    }
    return LanguageModelingJudgement(given | answers, table, pa.table({"text": ["the dog slept", "the dog"]}), [])


def test_words_and_bytes_are_of_the_text_and_its_end():
    found = {name: each["value"] for name, each in judged().measure(20, 0).items()}
    assert found["perplexity"] == pytest.approx(np.exp(18 / 9))
    assert found["word_perplexity"] == pytest.approx(np.exp(18 / (4 + 3)))
    assert found["bits_per_byte"] == pytest.approx(18 / np.log(2) / (len("the niño slept".encode()) + 1 + 5 + 1))
    assert "1 of 9 tokens are words that the vocabulary lacks" in judged().remarks()[0]
    assert judged(unknown=np.zeros(2, np.int32)).remarks() == []
    assert LanguageModelingJudgement.lower[0] == "bits_per_byte", "which decides between models with other tokens"


def test_unigrams_are_probabilities():
    model = _Unigrams(["the dog slept", "the dog"])
    known = np.exp([-model._loss(word) for word in ("the", "dog", "slept", None)])
    np.testing.assert_allclose(known, np.array([2, 2, 1, 2]) / (7 + 4))
    letters = [c for c in model.characters if c not in ("", "\n")]
    new = sum(np.exp(-model._loss(a)) for a in letters) + sum(
        np.exp(-model._loss(a + b)) for a in letters for b in letters
    )
    assert 0 < new < 4 / 11
    assert "bits_per_byte" in judged().baseline()[0] and "perplexity" not in judged().baseline()[0]
