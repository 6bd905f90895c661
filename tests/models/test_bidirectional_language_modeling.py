"""Tests models/tasks/bidirectional_language_modeling.py and models/two_way.py: what each direction knows and tells."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from data.blocks import write_pieces
from data.errors import ConfigError
from data.store import Shards, TokenStore, ragged, split_words, write_shard
from data.tokenizers.base import SpecialTokens
from models import scoring
from models.build import build_model, check_fit
from models.evaluation.bidirectional_language_modeling import BidirectionalLanguageModelingJudgement
from models.families.elmo import Elmo
from models.signatures import Served
from models.tasks.bidirectional_language_modeling import BidirectionalLanguageModeling
from models.two_way import two_way_scores
from tests.contracts import tiny

WORDS = ["good", "bad", "film", "not", "fun", "dull", "very", "plot"]
SIDES = "forwards", "backwards"


def built(family: str, max_tokens: int = 8) -> Served:
    """With weights that are all away from zero."""
    made = tiny.family(family, dropout=0.0, layers=2)
    model = build_model(made, BidirectionalLanguageModeling(), tiny.VOCABULARY, max_tokens, [], False)
    for weight in model.trainable_weights:
        weight.assign(tf.random.stateless_normal(weight.shape, [1, weight.shape.num_elements()]))
    return Served(model, tiny.WORDS, [], max_tokens, ["text"], made)


def batch_of(words: list[str]) -> dict[str, np.ndarray]:
    text = " ".join(words)
    return {
        "ids": np.array([tiny.WORDS.encode([text])[0]], np.int32),
        "length": np.array([len(words)], np.int32),
        "word_bytes": split_words([np.frombuffer(text.encode(), np.uint8)], len(words), tiny.WIDTH),
    }


def logits_of(served: Served, words: list[str]) -> np.ndarray:
    """Of each direction <float>[2, words + 1, size]."""
    return served.model(batch_of(words))["logits"].numpy().reshape(2, len(words) + 1, -1)


@pytest.fixture(scope="module", params=["gru", "elmo"])
def served(request):
    """Reads six tokens at once, between a begin and an end."""
    return built(request.param)


@pytest.mark.parametrize("place", range(5))
def test_a_direction_knows_nothing_of_what_it_is_to_tell(served, place):
    first, words = logits_of(served, WORDS[:5]), list(WORDS[:5])
    words[place] = "plot"
    second = logits_of(served, words)
    same = np.abs(first - second).max(axis=2) < 1e-6
    assert same[0].tolist() == [n <= place for n in range(6)], "forwards, place n has read the tokens before n"
    assert same[1].tolist() == [n > place for n in range(6)], "backwards, place n has read token n and those behind it"


def told_by_hand(served: Served, words: list[str], stride: int) -> np.ndarray:
    """Nats forwards and backwards <float>[2], each token from the first and from the last window that holds it."""
    nats, room = np.zeros(2), served.max_tokens - 2
    begins = [0]
    while begins[-1] + room < len(words):
        begins.append(begins[-1] + stride)
    ids = [tiny.VOCABULARY.start, *tiny.WORDS.encode([" ".join(words)])[0], tiny.VOCABULARY.end]
    for token in range(-1, len(words) + 1):
        of_text = 0 <= token < len(words)
        holding = [b for b in begins if b <= token < b + room] if of_text else [begins[0] if token < 0 else begins[-1]]
        for side, begin in enumerate((holding[0], holding[-1])):
            if token != (-1, len(words))[side]:  # forwards no begin is told, backwards no end
                log_p = tf.nn.log_softmax(logits_of(served, words[begin : begin + room])[side]).numpy()
                nats[side] -= log_p[token - begin + side, ids[token + 1]]
    return nats


@pytest.mark.parametrize("stride", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 6))])
@pytest.mark.parametrize("length", [1, 6, 7, 13])
def test_a_long_text_is_told_once_in_each_direction(served, length, stride):
    words = [WORDS[n * n % 7] for n in range(length)]
    text = tf.constant([" ".join(words), "fun"])
    found = two_way_scores(served, BidirectionalLanguageModeling(stride=stride), text)
    for side, expected in zip(SIDES, told_by_hand(served, words, stride), strict=True):
        np.testing.assert_allclose(found[side][0], expected, rtol=1e-5)
    np.testing.assert_allclose(found["loss"], (found["forwards"] + found["backwards"]) / 2, rtol=1e-6)
    assert found["tokens"].numpy().tolist() == [length + 1, 2]


def test_texts_answer_the_same_together_and_one_by_one_in_many_passes(served, monkeypatch):
    task, texts = BidirectionalLanguageModeling(stride=2), [" ".join(WORDS * 2), "strange", "", "good film"]
    together = two_way_scores(served, task, tf.constant(texts))
    assert together["unknown"].numpy().tolist() == [0, 1, 0, 0] and together["tokens"].numpy()[2] == 1
    monkeypatch.setattr(scoring, "TOKENS", 8)  # a window a pass
    traced = served.function(lambda text: two_way_scores(served, task, text), ["text"])
    for row, text in enumerate(texts):
        alone = traced(tf.constant([text]))
        for side in SIDES:
            np.testing.assert_allclose(alone[side], together[side][row : row + 1], rtol=1e-5)


def test_pieces_of_texts_keep_the_bytes_of_their_words(tmp_path):
    texts = [WORDS[:5], [], WORDS[5:7]]
    ids, splits = tiny.WORDS.encode([" ".join(text) for text in texts])
    spelled = [" ".join(text).encode() for text in texts]
    words, rows = np.frombuffer(b"".join(spelled), np.uint8), np.cumsum([0, *map(len, spelled)])
    columns = {"ids": ragged(ids, splits, 99), "word_bytes": ragged(words, rows, 999)}
    write_shard(tmp_path / "texts.arrow", [pa.RecordBatch.from_pydict(columns)])
    assert write_pieces([tmp_path / "texts.arrow"], tmp_path / "pieces.arrow", 2) == 4
    batch = TokenStore([Shards([tmp_path / "pieces.arrow"])], word_bytes=8).gather(np.arange(4), 2)
    found = [[bytes(word).rstrip(b"\0").decode() for word in row] for row in batch["word_bytes"]]
    assert found == [WORDS[0:2], WORDS[2:4], [WORDS[4], ""], WORDS[5:7]]
    assert [row[:n].tolist() for row, n in zip(batch["ids"], batch["length"], strict=True)] == [
        tiny.WORDS.encode([" ".join(row)])[0].tolist() for row in found
    ]


@pytest.mark.parametrize("family", ["bert", "gpt2", "transformer", "fasttext"])
def test_a_family_whose_directions_are_not_apart_is_refused(family):
    with pytest.raises(ConfigError, match="does not give bidirectional.*families that do: elmo, gru, lstm, rnn"):
        check_fit(family, "bidirectional_language_modeling")


def test_what_cannot_tell_words_from_one_side_is_refused():
    for family, key in ((tiny.family("lstm", characters=4), "characters"), (Elmo(hub="module"), "hub")):
        with pytest.raises(ConfigError, match=f"trainer.family.{key}: got .* for a task that tells"):
            build_model(family, BidirectionalLanguageModeling(), tiny.VOCABULARY, 8, [], False)
    bare = tiny.Words("a")
    bare.special = SpecialTokens(0, 1, None, 3)
    with pytest.raises(ConfigError, match="lacks a token for one of them"):
        BidirectionalLanguageModeling().bound(bare)
    (problem,) = BidirectionalLanguageModeling(stride=7).check_places(tiny.family("lstm"), 8)
    assert "head.stride: got 7, wanted 6 at most" in problem


def test_the_figures_are_of_both_directions_and_of_each():
    table = pa.table({"key": [1, 2], "text": ["the niño slept", "a dog"]})
    answers = {
        "log_likelihood": np.array([-12.0, -6.0], np.float32),
        "log_likelihood_forwards": np.array([-10.0, -6.0], np.float32),
        "log_likelihood_backwards": np.array([-14.0, -6.0], np.float32),
        "tokens": np.array([4, 3], np.int32),
        "unknown": np.zeros(2, np.int32),
    }
    judged = BidirectionalLanguageModelingJudgement(answers, table, pa.table({"text": ["the dog"]}), [])
    found = {name: each["value"] for name, each in judged.measure(20, 0).items()}
    assert set(found) == set(BidirectionalLanguageModelingJudgement.lower)
    assert found["perplexity"] == pytest.approx(np.exp(18 / 7))
    assert found["perplexity_forwards"] == pytest.approx(np.exp(16 / 7))
    assert found["perplexity_backwards"] == pytest.approx(np.exp(20 / 7))
    assert set(judged.baseline()[0]) <= set(found) and judged.details(20, 0)["totals"]["bytes"] == 22
