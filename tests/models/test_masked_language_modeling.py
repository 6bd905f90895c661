"""Tests `models/tasks/masked_language_modeling.py`, models/masked_head.py, models/pseudo_likelihood.py and
models/filling.py: what is hidden, what is told, and from what."""

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from data.errors import ConfigError
from data.store import Shards, TokenStore, ragged, write_shard
from data.tokenizers import TOKENIZERS
from data.tokenizers.base import SpecialTokens
from models import scoring
from models.build import build_model, check_fit
from models.evaluation.masked_language_modeling import MaskedLanguageModelingJudgement
from models.filling import filling, with_gaps
from models.hiding import begins_word
from models.loop import train
from models.masked_head import Hiding, head_weights, save_head
from models.optimizer import Optimizer
from models.packing import pack
from models.pseudo_likelihood import pseudo_scores, told_in
from models.signatures import Served
from models.strategy import create
from models.tasks.masked_language_modeling import MaskedLanguageModeling
from models.training import Training
from tests.contracts import tiny
from tests.contracts.likelihoods import told_by_hand
from tests.models.test_loop import Crash, CrashAfter, weights_of

MASK = tiny.VOCABULARY.mask
WORDS = ["good", "bad", "film", "not", "fun", "dull", "very", "plot"]


def built(family: str, task: MaskedLanguageModeling, max_tokens: int = 8) -> Served:
    """With weights that are all away from zero."""
    made = tiny.family(family, dropout=0.0)
    model = build_model(made, task, tiny.VOCABULARY, max_tokens, [], False)
    for weight in model.trainable_weights:
        weight.assign(tf.random.stateless_normal(weight.shape, [1, weight.shape.num_elements()]))
    return Served(model, tiny.WORDS, [], max_tokens, ["text"], made)


@pytest.fixture(scope="module")
def served():
    """Reads six tokens at once, between two special ones."""
    return built("bert", MaskedLanguageModeling())


def text_of(words: int) -> str:
    return " ".join(WORDS[n * n % 7] for n in range(words))


@pytest.mark.parametrize("room", [1, 2, 5, 6])
def test_windows_tell_each_token_once_and_those_inside_a_long_text_from_both_sides(room):
    lengths = [0, 1, room, room + 1, 2 * room + 1, 40]
    found = [each.numpy() for each in told_in(tf.constant(lengths), room, 3)]
    for text, length in enumerate(lengths):
        rows = list(zip(*(each[found[0] == text] for each in found), strict=True))
        assert [begin + n for _, begin, low, high, _ in rows for n in range(low, high)] == list(range(length))
        assert all(0 <= begin <= max(length - room, 0) for _, begin, *_ in rows)
        for _, begin, low, high, step in rows:
            assert step == (3 if length > room else room)
            assert begin == 0 or low >= room // 4
            assert begin + room >= length or room - high >= room // 4


@pytest.mark.parametrize("spacing", [1, 2, 6])
@pytest.mark.parametrize("words", [4, 6, 7, 13])
def test_a_long_text_is_told_in_its_windows_as_many_tokens_apart_as_is_said(served, words, spacing):
    ids, expected = tiny.WORDS.encode([text_of(words)])[0].tolist(), 0.0
    for _, begin, low, high, step in np.stack(told_in(tf.constant([words]), 6, spacing), axis=1).tolist():
        for place in range(low, high):
            hidden = [p for p in range(low, high) if (p - place) % step == 0]
            row = [MASK if n in hidden else i for n, i in enumerate(ids[begin : begin + 6])]
            expected -= told_by_hand(served.model, [row], place)[0][ids[begin + place]]
    found = pseudo_scores(served, MaskedLanguageModeling(spacing=spacing), tf.constant([text_of(words), "fun"]))
    np.testing.assert_allclose(found["loss"][0], expected, rtol=1e-5)
    assert found["tokens"].numpy().tolist() == [words, 1]


@pytest.mark.parametrize("family", ["bert", "gru"])
def test_texts_answer_the_same_together_and_one_by_one_in_many_passes(family, monkeypatch):
    task = MaskedLanguageModeling(spacing=2)
    served, texts = built(family, task), [text_of(9), "strange", "", text_of(3)]
    gaps = tf.constant([f"{text_of(n)} [MASK] {text_of(7)} [MASK]" for n in (9, 0, 2)] + ["fun"])
    together, filled = pseudo_scores(served, task, tf.constant(texts)), filling(served, 2)(gaps)
    monkeypatch.setattr(scoring, "TOKENS", 6)  # a window a pass
    traced = served.function(lambda text: pseudo_scores(served, task, text), ["text"])
    for row, text in enumerate(texts):
        np.testing.assert_allclose(traced(tf.constant([text]))["loss"], together["loss"][row : row + 1], rtol=1e-5)
    assert together["unknown"].numpy().tolist() == [0, 1, 0, 0]
    again = served.function(filling(served, 2), ["text"])(gaps)
    np.testing.assert_allclose(again["scores"], filled["scores"], atol=1e-5)
    assert np.array_equal(again["tokens"], filled["tokens"]) and filled["length"].numpy().tolist() == [2, 2, 2, 0]


def test_a_gap_of_a_long_text_is_filled_from_the_tokens_around_it(served):
    ids = tiny.WORDS.encode([text_of(9)])[0].tolist()
    found = filling(served, 99)(tf.constant([f"{text_of(9)} [MASK] {text_of(9)}"]))
    log_p = told_by_hand(served.model, [[*ids[-3:], MASK, *ids[:2]]], 3)[0]
    assert found["tokens"].shape == (1, 1, len(WORDS)), "no more than there are"
    best = tiny.WORDS.vocabulary[5 + int(np.argmax(log_p[5:]))]
    assert found["tokens"][0, 0, 0].numpy().decode() == best
    np.testing.assert_allclose(found["scores"][0, 0], np.sort(np.exp(log_p[5:]))[::-1], rtol=1e-4)


@pytest.mark.parametrize("kind", ["words", "characters", "wordpiece", "bpe", "sentencepiece"])
def test_a_gap_takes_the_place_of_a_token_and_leaves_the_others_as_they_are(kind):
    texts = ["la niña es buena", "el café no es bueno", "la pantalla es estupenda"] * 3
    tokenizer = TOKENIZERS[kind].learn(TOKENIZERS[kind].count(texts), vocabulary_size=60 if kind != "bpe" else 300)
    (ids, splits), mask = tokenizer.encode(["la niña es buena"]), tokenizer.special.mask
    spelled = "[MASK]" if kind == "characters" else "la"
    found = with_gaps(tokenizer, mask, tf.constant(["la niña [MASK] buena", "[MASK] es", "", "la[MASK]"])).to_list()
    assert [row.count(mask) for row in found] == [1, 1, 0, 1] and found[2] == []
    before, after = (tokenizer.encode([each])[0].tolist() for each in ("la niña", " buena"))
    space = tokenizer.encode([" "])[0].tolist() if kind == "characters" else []
    assert found[0] == [*before, *space, mask, *after]
    assert spelled and splits[-1] == len(ids)


def hiding(**params) -> Hiding:
    return Hiding(MaskedLanguageModeling(**params), tiny.VOCABULARY)


def packed_of(*lengths: int, wide: int = 0):
    random = np.random.default_rng(0)
    ids = np.zeros([len(lengths), max(lengths) + wide], np.int32)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = random.integers(5, tiny.VOCABULARY.size, length)
    ids[0, 0] = tiny.VOCABULARY.unknown
    return pack({"ids": ids, "length": np.array(lengths, np.int32)}, tiny.VOCABULARY, 500, "bert")


def test_training_hides_other_tokens_each_time_and_says_which():
    packed, layer = packed_of(200, 40, 3), hiding(hidden=1.0, random=0.0)
    first, second = layer(packed, training=True), layer(packed, training=True)
    assert np.any(first["ids"] != second["ids"])
    for row, told in enumerate((30, 6, 1)):
        place = first["told_place"][row].numpy()
        assert np.count_nonzero(place >= 0) == told
        assert np.flatnonzero(first["ids"][row] == MASK).tolist() == (place[place >= 0] + 1).tolist()
        assert np.array_equal(first["told"][row].numpy()[place >= 0], place[place >= 0] + 1)
    others = hiding(share=0.5, hidden=0.0, random=1.0)(packed, training=True)
    assert np.isin(others["ids"][0, 1:201], range(5, tiny.VOCABULARY.size)).mean() > 0.99, "a word in a word's place"
    kept = hiding(share=0.5, hidden=0.0, random=0.0)(packed, training=True)
    assert np.array_equal(kept["ids"], packed["ids"]) and np.count_nonzero(kept["told_place"][0] >= 0) == 100


def test_whole_words_are_hidden_with_all_their_pieces():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film", "##s", "##ed"]
    layer = Hiding(
        MaskedLanguageModeling(whole_words=True, hidden=1.0, random=0.0), tiny.VOCABULARY._replace(size=8, words=words)
    )
    assert begins_word(words).tolist() == [True] * 6 + [False] * 2
    ids = np.array([[5, 6, 7] * 20], np.int32)
    packed = pack({"ids": ids, "length": np.array([60], np.int32)}, tiny.VOCABULARY, 100, "bert")
    hidden = (layer(packed, training=True)["ids"].numpy() == MASK)[0, 1:61].reshape(20, 3)
    assert np.array_equal(hidden.any(axis=1), hidden.all(axis=1)) and hidden.all(axis=1).sum() == 3


def test_evaluation_hides_the_same_tokens_of_a_text_whatever_is_beside_it():
    layer, packed = hiding(), packed_of(200, 40, 3, 1)
    first = layer(packed)
    assert np.array_equal(first["ids"], layer(packed)["ids"])
    wider = layer(packed_of(200, 40, 3, 1, wide=7))
    assert np.array_equal(wider["ids"][:, :202], first["ids"])
    alone = layer({name: each[1:2] for name, each in packed.items()})
    assert np.array_equal(alone["ids"], first["ids"][1:2])
    told = np.count_nonzero(first["told_place"] >= 0, axis=1)
    assert told[0] in (28, 29) and told[1] in (5, 6) and told[2:].tolist() == [1, 1]
    assert np.all((first["ids"] == MASK) == (first["ids"] != packed["ids"]))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Counting: after each word of the vocabulary comes the next one."""
    made = []
    for split, rows in (("train", 64), ("valid", 16)):
        path = tmp_path_factory.mktemp("rows") / f"{split}.arrow"
        ids = 5 + (np.arange(rows)[:, None] + np.arange(6)) % len(WORDS)
        record = pa.RecordBatch.from_pydict(
            {"ids": ragged(ids.reshape(-1).astype(np.int32), np.arange(0, 6 * rows + 1, 6), 6)}
        )
        write_shard(path, [record])
        made.append(TokenStore([Shards([path])]))
        made[-1].weights = MaskedLanguageModeling().weights(made[-1])
    return made


def run(stores, directory, epochs=3, callbacks=()):
    task = MaskedLanguageModeling()
    return train(
        lambda: build_model(
            tiny.family("gru", width=16, embedding=16, dropout=0.0), task, tiny.VOCABULARY, 8, [], False
        ),
        task,
        *stores,
        training=Training(
            epochs=epochs,
            batch_tokens=128,
            max_tokens=8,
            buckets=1,
            optimizer=Optimizer(learning_rate=0.02),
            checkpoint_seconds=0,
        ),
        strategy=create("one"),
        checkpoint_dir=directory / "checkpoints",
        log_dir=directory / "logs",
        callbacks=callbacks,
    )


@pytest.mark.slow
def test_a_resumed_training_hides_what_an_undisturbed_one_hides(stores, tmp_path):
    whole = run(stores, tmp_path / "whole")
    for _ in range(2):
        with pytest.raises(Crash):
            run(stores, tmp_path, callbacks=[CrashAfter(4)])
    again = run(stores, tmp_path)
    assert weights_of(again) == weights_of(whole) and again.history == whole.history


def test_what_follows_from_its_neighbours_is_learned_by_heart(stores, tmp_path):
    keras.utils.set_random_seed(0)
    last = run(stores, tmp_path, epochs=20).history[-1]
    assert last["val_accuracy"] == 1.0 and last["val_perplexity"] < 1.2


def test_the_head_that_was_pretrained_with_a_preset_goes_on_with_it(tmp_path):
    from models.hub import save_backbone

    family = tiny.family("bert")
    encoder, head = family.build_masked(tiny.VOCABULARY, 8, {})
    for weight in head_weights(head):
        weight.assign_add(keras.random.normal(weight.shape))
    save_backbone(encoder.parts["backbone"], tmp_path / "preset")
    other = family.start_from(str(tmp_path / "preset")).build_masked(tiny.VOCABULARY, 8, {})[1]
    assert not np.array_equal(head_weights(other)[0], head_weights(head)[0])
    save_head(head, tmp_path / "preset")
    other = family.start_from(str(tmp_path / "preset")).build_masked(tiny.VOCABULARY, 8, {})[1]
    assert len(head_weights(head)) == 5
    assert all(map(np.array_equal, head_weights(other), head_weights(head)))


@pytest.mark.parametrize("family", ["gpt2", "elmo", "word2vec", "fasttext", "bag_of_words"])
def test_a_family_that_sees_one_side_or_none_is_refused(family):
    with pytest.raises(ConfigError, match=r"does not give .*masked.*families that do: albert, bert, .*transformer"):
        check_fit(family, "masked_language_modeling")


@pytest.mark.parametrize("params", [{"bidirectional": False}, {"characters": 4}])
def test_a_recurrent_family_reads_both_ways_and_no_letters(params):
    (name,) = params
    with pytest.raises(ConfigError, match=f"trainer.family.{name}: got .* token"):
        built_from = tiny.family("lstm", **params)
        build_model(built_from, MaskedLanguageModeling(), tiny.VOCABULARY, 8, [], False)


def test_a_tokenizer_without_a_mask_is_refused():
    bare = tiny.Words("a")
    bare.special = SpecialTokens(0, 1, 2, 3)
    with pytest.raises(ConfigError, match="tokenizer has none; wanted one with \\[MASK\\]"):
        MaskedLanguageModeling().bound(bare)


def test_no_end_of_a_text_counts_and_the_figures_have_names_of_their_own():
    texts = ["the niño slept", "a dog", ""]
    table = pa.table({"key": [1, 2, 3], "text": texts})
    answers = {
        "log_likelihood": np.array([-12.0, -6.0, 0.0], np.float32),
        "tokens": np.array([4, 3, 0], np.int32),
        "unknown": np.zeros(3, np.int32),
    }
    judged = MaskedLanguageModelingJudgement(answers, table, pa.table({"text": ["the dog", "the niño"]}), [])
    found = {name: each["value"] for name, each in judged.measure(20, 0).items()}
    assert set(found) == set(MaskedLanguageModelingJudgement.lower)
    assert found["pseudo_perplexity"] == pytest.approx(np.exp(18 / 7))
    assert found["pseudo_word_perplexity"] == pytest.approx(np.exp(18 / 5))
    assert found["pseudo_bits_per_byte"] == pytest.approx(18 / np.log(2) / (len("the niño slept".encode()) + 5))
    assert judged.loss.tolist() == [3.0, 2.0, 0.0]
    known = sum(-np.log(n / (4 + 3)) for n in (2, 1))  # the, niño; the other words by their characters
    baseline = judged.baseline()[0]["pseudo_word_perplexity"]
    assert 5 * np.log(baseline) > known
