"""Tests n-grams of characters in `models/families/bag.py` against scikit-learn's `char` and `char_wb`."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from data.errors import ConfigError
from data.tokenizers.characters import Characters
from models.build import adapt
from models.families import FAMILIES
from models.families.base import Vocabulary
from models.packing import pack
from pipeline.config import check_config
from tests.contracts.family import check_family
from tests.models.test_bag import batches, fitted, texts

TREC = Path(__file__).parents[2] / "../shared/data/trec"
WORDS = ["a", "of", "the", "film", "films", "señal", "unhappily", "!", "4", "x-y"]


def sentences(rows: int, seed: int) -> list[str]:
    return [" ".join(WORDS[i % len(WORDS)] for i in row) for row in texts(rows, seed, longest=7)]


def tokens(tokenizer, rows: list[str]) -> list[np.ndarray]:
    ids, splits = tokenizer.encode(rows)
    return [ids[a:b] for a, b in zip(splits, splits[1:], strict=False)]


def ours(family, tokenizer, train: list[str], test: list[str]) -> np.ndarray:
    """Dense vectors of the test rows, from the sparse ones in the graph; two lengths of padding."""
    vocabulary = Vocabulary.of(tokenizer)
    adapted = adapt(family, batches(tokens(tokenizer, train)), vocabulary, 256)
    encoder = family.build(vocabulary, 256, 2, adapted)
    found, start = np.zeros([len(test), len(adapted["texts"])]), 0
    for batch in batches(tokens(tokenizer, test), size=17):
        packed = pack({k: batch[k] for k in ("ids", "length")}, vocabulary, 256, "")
        indices, weights = (each.numpy() for each in family.indices_and_weights(encoder.parts, packed))
        np.add.at(found, (start + np.arange(len(indices))[:, None], indices), weights)
        start += len(indices)
    return found


def theirs(vectorizer, tokenizer, train: list[str], test: list[str], within_words: bool) -> np.ndarray:
    """scikit-learn's vectors with the columns in our order: by length, then by ids; a word's end is the last id."""
    place = {character: i for i, character in enumerate(tokenizer.vocabulary)}
    if within_words:
        place[" "] = len(place)
    vectorizer.fit(train)
    names = [tuple(place[c] for c in name) for name in vectorizer.get_feature_names_out()]
    order = sorted(range(len(names)), key=lambda column: (len(names[column]), names[column]))
    return vectorizer.transform(test).toarray()[:, order]


@pytest.mark.parametrize("analyzer", ["char", "char_wb"])
@pytest.mark.parametrize("ngrams", [(1, 3), (2, 3), (3, 5)])
def test_vectors_equal_scikit_learns(analyzer, ngrams):
    train, test = sentences(120, 1), sentences(60, 2)
    tokenizer = Characters.learn(Characters.count(train), vocabulary_size=60)
    options = {"analyzer": analyzer, "ngram_range": ngrams}
    for name, kind in (("bag_of_words", CountVectorizer), ("tfidf", TfidfVectorizer)):
        found = ours(FAMILIES[name](analyzer=analyzer, ngrams=ngrams), tokenizer, train, test)
        expected = theirs(kind(**options), tokenizer, train, test, analyzer == "char_wb")
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_runs_of_white_space_and_unknown_characters():
    """Words are parted by any white space; an unknown character is of the word, but in no n-gram."""
    train = ["ab cd", "ab"]
    tokenizer = Characters.learn(Characters.count([*train, "\t\n"]), vocabulary_size=30)
    family = FAMILIES["bag_of_words"](analyzer="char_wb", ngrams=(2, 2))
    spaced = ours(family, tokenizer, train, ["  ab \t\n cd ", "ab cd", "abZ", ""])
    assert spaced[0].tolist() == spaced[1].tolist() and spaced[1].sum() == 6
    assert spaced[2].sum() == 2 and not spaced[3].any()  # " a", "ab": the word does not end at "b"


def test_a_pair_is_parted_as_words_are():
    tokenizer = Characters.learn(Characters.count(["ab cd"]), vocabulary_size=30)
    family, vocabulary = FAMILIES["bag_of_words"](analyzer="char_wb", ngrams=(2, 3)), Vocabulary.of(tokenizer)
    (joined,) = batches(tokens(tokenizer, ["ab cd"]))
    (one,), (other,) = batches(tokens(tokenizer, ["ab"])), batches(tokens(tokenizer, ["cd"]))
    pair = {**one, "ids_pair": other["ids"], "length_pair": other["length"]}
    assert {name: each.tolist() for name, each in adapt(family, [joined], vocabulary, 64).items()} == {
        name: each.tolist() for name, each in adapt(family, [pair], vocabulary, 64).items()
    }


@pytest.mark.parametrize("name", ["bag_of_words", "tfidf"])
def test_the_contract_is_kept(name):
    check_family(name, analyzer="char_wb", ngrams=(1, 3))


def test_the_config_follows_the_analyzer():
    raw = {"name": "x", "task": "classification", "example_gen": {"input": "x"}}
    family = {"name": "tfidf", "analyzer": "char_wb"}
    sections = check_config({**raw, "trainer": {"family": family}}).sections
    assert sections["tokenizer_gen"]["kind"] == "characters" and sections["tokenizer_gen"]["options"]["lowercase"]
    assert sections["transform"]["max_tokens"] == 2048 and FAMILIES["tfidf"](analyzer="char").ngrams == (2, 5)
    assert check_config({**raw, "trainer": {"family": "tfidf"}}).sections["transform"]["max_tokens"] == 2048
    with pytest.raises(ConfigError, match="tokenizer_gen.kind: got 'words'; wanted 'characters'"):
        check_config({**raw, "trainer": {"family": family}, "tokenizer_gen": {"kind": "words"}})


@pytest.mark.slow
@pytest.mark.skipif(not TREC.exists(), reason="needs the TREC corpus in ../shared/data")
def test_characters_are_as_good_as_scikit_learns_on_trec():
    def read(name):
        lines = (TREC / name).read_text("latin-1").splitlines()
        return [line.split(" ", 1)[1].lower() for line in lines], [line.split(":")[0] for line in lines]

    (train, train_labels), (test, test_labels) = read("TREC.train"), read("TREC.test")
    tokenizer = Characters.learn(Characters.count(train), vocabulary_size=200)
    names = sorted(set(train_labels))
    labels = np.array([names.index(label) for label in train_labels], np.int32)
    model = fitted(
        FAMILIES["tfidf"](analyzer="char_wb"), tokens(tokenizer, train), labels, Vocabulary.of(tokenizer), epochs=30
    )
    answers = [names[i] for batch in batches(tokens(tokenizer, test)) for i in model(batch).numpy().argmax(axis=1)]
    found = np.mean(np.array(answers) == test_labels)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5))
    best = LogisticRegression(max_iter=2000).fit(vectorizer.fit_transform(train), train_labels)
    expected = best.score(vectorizer.transform(test), test_labels)
    assert abs(found - expected) <= 0.005, (found, expected)
