"""wordpiece: agreement with the published reference, and what is learned."""

from collections import Counter

import pytest
import tokenizers as reference

from data.errors import ConfigError
from data.tokenizers import from_files
from data.tokenizers.wordpiece import MAX_WORD_BYTES, WordPiece
from tests.contracts.tokenizer import NASTY, check_tokenizer
from tests.data.tokenizers.texts import CORPORA, MANY, TEXTS, differing, pieces, real_lines, shuffled

OPTIONS = [(True, False), (True, True), (False, False), (False, True)]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def learned(size=300, **options):
    return WordPiece.learn(WordPiece.count(TEXTS, **options), vocabulary_size=size, **options)


def reference_ids(tokenizer, texts):
    """By Hugging Face `tokenizers`, as its BertTokenizer sets it up."""
    ids = {piece: i for i, piece in enumerate(tokenizer.vocabulary)}
    made = reference.Tokenizer(reference.models.WordPiece(ids, unk_token="[UNK]"))
    made.normalizer = reference.normalizers.BertNormalizer(**tokenizer.options)
    made.pre_tokenizer = reference.pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens([piece for piece in SPECIAL if piece in ids])
    return [encoding.ids for encoding in made.encode_batch(texts, add_special_tokens=False)]


def explained(text):
    """Whether the text is of a class that the module's docstring lists."""
    return any(piece in text for piece in SPECIAL) or any(len(word.encode()) > MAX_WORD_BYTES for word in text.split())


@pytest.mark.parametrize(("lowercase", "strip_accents"), [(True, False), (False, True)])
def test_contract(lowercase, strip_accents):
    check_tokenizer(learned(lowercase=lowercase, strip_accents=strip_accents), real_lines(200))


@pytest.mark.parametrize(("lowercase", "strip_accents"), OPTIONS)
def test_agrees_with_the_reference_on_nasty_texts(lowercase, strip_accents):
    tokenizer = learned(400, lowercase=lowercase, strip_accents=strip_accents)
    assert all(explained(text) for text in differing(tokenizer, TEXTS, reference_ids(tokenizer, TEXTS)))


@pytest.mark.parametrize("number", MANY)
@pytest.mark.parametrize(
    ("name", "options"),
    [("bert_base_uncased", {"strip_accents": True}), ("bert_base_uncased", {}), ("beto_es", {})],
)
def test_agrees_with_the_reference_on_real_text(name, options, number):
    texts = real_lines(number)
    tokenizer = from_files(CORPORA / f"tokenizer_{name}" / "vocab.txt", **options)
    different = differing(tokenizer, texts, reference_ids(tokenizer, texts))
    assert all(explained(text) for text in different) and len(different) <= 0.002 * len(texts)


@pytest.mark.slow
def test_contract_of_a_published_vocabulary():
    texts = real_lines(10_000)
    check_tokenizer(from_files(CORPORA / "tokenizer_bert_base_uncased", strip_accents=True), texts)
    check_tokenizer(from_files(CORPORA / "tokenizer_beto_es"), texts)


def test_pieces_of_a_published_vocabulary():
    if not CORPORA.exists():
        pytest.skip("the corpora are not here")
    tokenizer = from_files(CORPORA / "tokenizer_bert_base_uncased", strip_accents=True)
    assert pieces(tokenizer, "Él jugó, unaffable!") == ["el", "jug", "##o", ",", "una", "##ffa", "##ble", "!"]
    assert tokenizer.decode(tokenizer.encode(["unaffable people"])[0]) == "unaffable people"


def test_words_of_a_hundred_bytes_and_more():
    tokenizer = WordPiece.learn(Counter({"aa": 9}), vocabulary_size=50)
    assert pieces(tokenizer, "a" * 101) == ["[UNK]"] != pieces(tokenizer, "a" * 100)


def test_accents_are_kept_unless_told():
    counts = WordPiece.count(["más MÁS mas ma\u0301s"])
    assert counts == Counter({"más": 2, "mas": 1, "ma\u0301s": 1})
    assert WordPiece.count(["más MÁS mas ma\u0301s"], strip_accents=True) == Counter({"mas": 4})


def test_offsets_take_the_accents_that_are_stripped():
    text = "\u00ad CAFE\u0301 más\u0323."
    tokenizer = WordPiece.learn(Counter({"cafe": 9, "mas": 9, ".": 9}), vocabulary_size=60, strip_accents=True)
    ids, starts, ends = tokenizer.graph_with_offsets([text])
    assert [tokenizer.vocabulary[i] for i in ids.to_list()[0]] == ["cafe", "mas", "."]
    spans = zip(starts.to_list()[0], ends.to_list()[0], strict=True)
    assert [text[start:end] for start, end in spans] == ["CAFE\u0301", "más\u0323", "."]


@pytest.mark.parametrize(("lowercase", "strip_accents"), OPTIONS)
def test_counts_are_of_the_words_that_it_splits(lowercase, strip_accents):
    """Every word that is counted is a word to the op: with all of them in the vocabulary, none is cut or unknown."""
    texts = [text for text in TEXTS * 2 if text not in NASTY or len(text) < 100]
    counts = WordPiece.count(texts, lowercase=lowercase, strip_accents=strip_accents)
    options = {"lowercase": lowercase, "strip_accents": strip_accents}
    special = learned(**options).special
    tokenizer = WordPiece([*SPECIAL, *counts], special, options)
    ids, _ = tokenizer.encode(texts)
    assert not [word for word in counts if len(word.split()) != 1]
    assert Counter(tokenizer.vocabulary[i] for i in ids.tolist()) == counts


def test_learning_does_not_depend_on_order():
    counts = WordPiece.count(TEXTS)
    expected = learned().vocabulary
    assert expected[:5] == list(SPECIAL) and len(expected) <= 300 and "quick" in expected
    for seed in range(3):
        assert WordPiece.learn(shuffled(counts, seed), vocabulary_size=300).vocabulary == expected


def test_frequent_pairs_are_merged_and_rare_characters_left_out():
    counts = Counter({"low": 50, "lower": 20, "newest": 60, "widest": 30, "zß": 1})
    tokenizer = WordPiece.learn(counts, vocabulary_size=49)  # (49 - 5) // 4 characters
    assert {"low", "##est", "newest"} <= set(tokenizer.vocabulary)
    assert len(tokenizer.vocabulary) <= 49 and not any("ß" in piece for piece in tokenizer.vocabulary)
    with pytest.raises(ConfigError, match="vocabulary_size: got 9, wanted at least 10"):
        learned(9)
