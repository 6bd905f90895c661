"""bpe: agreement with the published reference, and what is learned."""

from collections import Counter

import pytest
import tokenizers as reference
from tokenizers.pre_tokenizers import ByteLevel

from data.errors import ConfigError
from data.tokenizers import from_files
from data.tokenizers.base import SpecialTokens
from data.tokenizers.bpe import BYTE_OF, BytePair
from tests.contracts.tokenizer import NASTY, check_tokenizer
from tests.data.tokenizers.texts import CORPORA, MANY, TEXTS, differing, pieces, real_lines, shuffled


def learned(size=500, **options):
    return BytePair.learn(BytePair.count(TEXTS, **options), vocabulary_size=size, **options)


def reference_ids(tokenizer, texts):
    """By Hugging Face `tokenizers`, from the same vocabulary and merges; no text becomes a special token."""
    ids = {piece: i for i, piece in enumerate(tokenizer.vocabulary)}
    merges = [tuple(merge.split(" ")) for merge in tokenizer.merges]
    made = reference.Tokenizer(reference.models.BPE(ids, merges))
    made.pre_tokenizer = ByteLevel(**tokenizer.options)
    return [encoding.ids for encoding in made.encode_batch(texts)]


@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_contract(add_prefix_space):
    check_tokenizer(learned(add_prefix_space=add_prefix_space), real_lines(200))


@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_agrees_with_the_reference_on_nasty_texts(add_prefix_space):
    tokenizer = learned(600, add_prefix_space=add_prefix_space)
    assert differing(tokenizer, TEXTS, reference_ids(tokenizer, TEXTS)) == []


@pytest.mark.parametrize("number", MANY)
def test_agrees_with_the_reference_on_real_text(number):
    texts = real_lines(number)
    tokenizer = from_files(CORPORA / "tokenizer_gpt2" / "gpt2-vocab.json")
    assert tokenizer.special == SpecialTokens(pad=50256, start=50256, end=50256)
    assert differing(tokenizer, texts + NASTY, reference_ids(tokenizer, texts + NASTY)) == []


@pytest.mark.slow
def test_contract_of_a_published_vocabulary():
    texts = real_lines(10_000)
    check_tokenizer(from_files(CORPORA / "tokenizer_gpt2"), texts)


def test_agrees_with_the_reference_on_a_vocabulary_learned_from_real_text():
    texts = real_lines()
    tokenizer = BytePair.learn(BytePair.count(texts), vocabulary_size=2000)
    assert len(tokenizer.vocabulary) == 2000
    assert differing(tokenizer, texts, reference_ids(tokenizer, texts)) == []


def test_no_byte_is_lost():
    tokenizer = learned()
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode([text])[0]) == text
    assert pieces(tokenizer, " 👍")[0] == "Ġ"
    assert tokenizer.decode([tokenizer.vocabulary.index(p) for p in ("Ã", "!")]) == "\ufffd!"


@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_counts_are_of_the_words_of_the_reference(add_prefix_space):
    texts = [*TEXTS * 2, "a \n b", "a\u00a0 b", "\n \n", "x  ", " ", "I'm  fine ' s"]
    splitter = ByteLevel(add_prefix_space=add_prefix_space)
    expected = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(text))
    counts = BytePair.count(texts, add_prefix_space=add_prefix_space)
    printable = {byte: character for character, byte in BYTE_OF.items()}
    assert {"".join(printable[b] for b in word.encode()): n for word, n in counts.items()} == expected
    assert BytePair.count([]) == Counter() == BytePair.count([""])


def test_learning_does_not_depend_on_order():
    counts = BytePair.count(TEXTS)
    expected = learned()
    assert expected.vocabulary[:6] == ["<pad>", "<unk>", "<s>", "</s>", "<mask>", "!"]
    assert "Ġquick" in expected.vocabulary
    for seed in range(3):
        found = BytePair.learn(shuffled(counts, seed), vocabulary_size=500)
        assert (found.vocabulary, found.merges) == (expected.vocabulary, expected.merges)
    with pytest.raises(ConfigError, match="vocabulary_size: got 260, wanted at least 261"):
        learned(260)


def test_a_vocabulary_needs_every_byte():
    with pytest.raises(ConfigError, match="without 255 of the 256 bytes"):
        BytePair(["a"], [], SpecialTokens(), {})
