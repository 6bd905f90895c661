"""Tests the families of word vectors: against NumPy, and with vectors from files."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.errors import ConfigError
from data.ngrams import character_ngrams
from data.vectors import lookup
from models.build import adapt, build_model, misfits
from models.families import FAMILIES
from models.packing import pack
from models.signatures import export
from models.tasks import TASKS
from models.tasks.classification import Classification
from tests.contracts import tiny
from tests.contracts.family import check_family
from tests.data.vectors.test_vectors import fasttext, slow_ngrams, text
from tests.models.test_ngrams import slow_word_ngrams

WORDS = tiny.WORDS.vocabulary
FILE = ["good", "film", "Plot", "elsewhere"]
TABLE = np.random.default_rng(0).normal(size=[4, 3]).astype(np.float32)
UNSEEN = ["good wonderful film", "él ñandú", "very good film plot wonderful", ""]


def build(family, n_outputs=2):
    keras.utils.set_random_seed(1)
    adapted = adapt(family, [tiny.batch("classification", 5)], tiny.VOCABULARY, tiny.MAX_TOKENS)
    return build_model(
        family, Classification(), tiny.VOCABULARY, tiny.MAX_TOKENS, list(map(str, range(n_outputs))), False, adapted
    )


def batch(texts: list[str]) -> dict[str, np.ndarray]:
    """As the store gathers them."""
    from data.store import split_words

    length = max(1, *(len(row.split()) for row in texts))
    ids, splits = tiny.WORDS.encode(texts)
    made = np.zeros([len(texts), length], np.int32)
    for row, (start, end) in enumerate(zip(splits, splits[1:], strict=False)):
        made[row, : end - start] = ids[start:end]
    words = split_words([np.frombuffer(row.encode(), np.uint8) for row in texts], length, 64)
    return {"ids": made, "length": np.diff(splits).astype(np.int32), "word_bytes": words}


def encoded(model, texts):
    return model.encoder(pack(batch(texts), tiny.VOCABULARY, tiny.MAX_TOKENS, ""))


@pytest.fixture
def file(tmp_path):
    def write(data: bytes) -> str:
        (tmp_path / "vectors").write_bytes(data)
        return str(tmp_path / "vectors")

    return write


@pytest.mark.parametrize("pooling", ["mean", "idf", "max"])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_text_is_its_words_together(file, pooling, frozen):
    family = FAMILIES["word2vec"](vectors=file(text(FILE, TABLE)), pooling=pooling, frozen=frozen, dropout=0.0)
    model = build(family)
    rows = model.encoder.parts["words"].table.numpy()
    assert rows.shape == (len(WORDS), 3)
    np.testing.assert_array_equal(rows[[WORDS.index(w) for w in ("good", "film", "plot")]], TABLE[:3])
    assert (rows[WORDS.index("bad")] == 0).all() == frozen  # which the file lacks
    texts = {
        word: sum(word in row.split() for row in tiny.examples("classification")[0]["text"].to_pylist())
        for word in WORDS
    }
    for row, pooled in zip(UNSEEN, encoded(model, UNSEEN).pooled.numpy(), strict=True):
        words = [w for w in row.split() if w in WORDS and (not frozen or w in ("good", "film", "plot"))]
        vectors = np.array([rows[WORDS.index(w)] for w in words]).reshape(-1, 3)
        weights = np.array([np.log(8 / texts[w]) if pooling == "idf" else 1.0 for w in words]).reshape(-1, 1)
        if not len(words):
            expected = np.zeros(3)
        elif pooling == "max":
            expected = vectors.max(axis=0)
        else:
            expected = (weights * vectors).sum(axis=0) / weights.sum()
        np.testing.assert_allclose(pooled, expected, atol=1e-6)


def test_frozen_vectors_are_not_trained(file):
    path = file(text(FILE, TABLE))
    for name in ("word2vec", "fasttext", "lstm"):
        options = {"width": 4} if name == "lstm" else {}
        shapes = [
            [
                tuple(weight.shape)
                for weight in build(FAMILIES[name](vectors=path, frozen=frozen, **options)).trainable_weights
            ]
            for frozen in (True, False)
        ]
        assert (len(WORDS), 3) not in shapes[0] and (len(WORDS), 3) in shapes[1], name


def test_a_recurrent_family_starts_with_the_vectors(file):
    model = build(FAMILIES["gru"](vectors=file(text(FILE, TABLE)), width=4))
    embeddings = model.encoder.parts["embedding"].embeddings.numpy()
    np.testing.assert_array_equal(embeddings[WORDS.index("good")], TABLE[0])
    assert embeddings[WORDS.index("dull")].any()
    family = FAMILIES["lstm"](vectors=file(text(FILE, TABLE)), width=4)
    (problem,) = misfits(family, TASKS["language_modeling"])
    assert problem.startswith("trainer.family.vectors: got a file for a task that predicts the next token")


def mean(rows: list[np.ndarray], width: int = 8) -> np.ndarray:
    return np.mean(rows, axis=0) if rows else np.zeros(width)


@pytest.mark.parametrize("characters", [(0, 0), (2, 4)])
@pytest.mark.parametrize("word_ngrams", [1, 3])
def test_fasttext_is_the_mean_of_all_rows(characters, word_ngrams):
    """Joulin et al. 2016, with the loops of fastText's dictionary.cc; unseen words are made of their characters."""
    family = FAMILIES["fasttext"](width=8, buckets=40, characters=characters, word_ngrams=word_ngrams)
    model = build(family)
    parts = model.encoder.parts
    rows, buckets = parts["words"].table.numpy(), parts["buckets"].table.numpy() if "buckets" in parts else None
    found = encoded(model, UNSEEN)
    for row, text_ in enumerate(UNSEEN):
        every = []
        for place, word in enumerate(text_.split()):
            own = [rows[WORDS.index(word)]] if word in WORDS else []
            own += [buckets[h % 40] for h in slow_ngrams(word.encode(), *characters)]
            np.testing.assert_allclose(found.sequence[row, place], mean(own), atol=1e-6)
            every += own
        words = [word.encode() for word in text_.split()]
        every += [buckets[h] for h in slow_word_ngrams(words, word_ngrams, 40)]
        np.testing.assert_allclose(found.pooled[row], mean(every), atol=1e-6)
        assert not found.sequence[row, len(words) :].numpy().any()


def test_fasttext_with_characters_keeps_the_contract():
    check_family("fasttext", characters=(2, 3), word_ngrams=1)


def test_words_of_a_bin_file_and_unseen_ones_have_the_files_vectors(file, tmp_path):
    """In training and in the exported model, for any word."""
    random = np.random.default_rng(2)
    data = fasttext(FILE, TABLE, random.normal(size=[30, 3]).astype(np.float32), (2, 4))
    path = file(data)
    model = build(FAMILIES["fasttext"](vectors=path, frozen=True, word_ngrams=1))
    words = ["good", "film", "bad", "wonderful", "ñandú"]
    expected, known, _ = lookup(path, words)
    assert known.all()
    np.testing.assert_allclose(encoded(model, [" ".join(words)]).sequence[0], expected, atol=1e-6)

    class Vectors(Classification):
        def answer(self, logits, labels):
            return {"sequence": logits}

        def signatures(self, served):
            return {"serving_default": served.from_texts(self.answer)}

        def unpack(self, encoded, packed, batch):
            return encoded.sequence

        def head(self, family, n_outputs, labels):
            return keras.layers.Identity()

    family = FAMILIES["fasttext"](vectors=path, frozen=True, word_ngrams=1)
    adapted = adapt(family, [], tiny.VOCABULARY, tiny.MAX_TOKENS)
    model = build_model(family, Vectors(), tiny.VOCABULARY, tiny.MAX_TOKENS, ["no", "yes"], False, adapted)
    export(model, family, Vectors(), tiny.WORDS, ["a", "b"], tiny.MAX_TOKENS, ["text"], tmp_path / "model")
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    answers = serve(text=tf.constant([" ".join(words), "x"]))["sequence"]
    np.testing.assert_allclose(answers[0], expected, atol=1e-6)
    np.testing.assert_allclose(answers[1, 0], lookup(path, ["x"]).table[0], atol=1e-6)


def test_ngrams_of_known_words_are_those_of_the_reference():
    family = FAMILIES["fasttext"](width=8, buckets=1000, characters=(3, 6))
    adapted = adapt(family, [], tiny.VOCABULARY, tiny.MAX_TOKENS)
    for i, word in enumerate(WORDS):
        found = adapted["ngrams"][adapted["splits"][i] : adapted["splits"][i + 1]]
        hashes, _ = character_ngrams([word.encode()], 3, 6)
        assert sorted(found) == ([] if i in tiny.VOCABULARY.special else sorted(hashes % 1000))


def test_what_does_not_go_together_is_said(file):
    for name, width in (("glove", "width"), ("lstm", "embedding")):
        with pytest.raises(ValueError, match="got frozen without vectors"):
            FAMILIES[name](frozen=True)
        with pytest.raises(ValueError, match=f"got vectors and {width}"):
            FAMILIES[name](vectors="x", **{width: 10})
    with pytest.raises(ValueError, match="wanted .shortest, longest"):
        FAMILIES["fasttext"](characters=(3, 2))
    with pytest.raises(ConfigError, match="trainer.family.vectors: .* has none of the tokenizer's 8 words"):
        build(FAMILIES["word2vec"](vectors=file(text(["nada", "de", "eso", "x"], TABLE))))
    path = file(fasttext(FILE, TABLE, TABLE, (2, 4)))
    with pytest.raises(ConfigError, match=r"family.buckets: .* n-grams of its own \(2 to 4 characters, 4 buckets\)"):
        build(FAMILIES["fasttext"](vectors=path, buckets=5))
    with pytest.raises(ConfigError, match="word_ngrams: got 2 with frozen"):
        build(FAMILIES["fasttext"](vectors=path, frozen=True))
    with pytest.raises(ConfigError, match="vectors_encoding: got 'latin-1' for a .bin"):
        build(FAMILIES["fasttext"](vectors=path, vectors_encoding="latin-1"))
