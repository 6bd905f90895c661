"""words: what is a word, what is counted, what is kept."""

from collections import Counter

import pytest

from data.errors import ConfigError
from data.tokenizers.words import Words
from tests.contracts.tokenizer import check_tokenizer, rows
from tests.data.tokenizers.texts import TEXTS, pieces, real_lines, shuffled


def learned(size=300, **options):
    return Words.learn(Words.count(TEXTS, **options), vocabulary_size=size, **options)


PLAIN = {"punctuation": False, "min_characters": 2}
ATTACHED = {"punctuation": "attached", "lowercase": False}


@pytest.mark.parametrize("options", [{}, {"lowercase": False}, PLAIN, ATTACHED])
def test_contract(options):
    check_tokenizer(learned(**options), real_lines(200))


def test_what_separates_words():
    text = "Don't stop\u00a0here,\u3000«señor»: 中文 50% co\u00adop \ufeffC++ a\x00b x\x85y"
    expected = "don ' t stop here , « señor » : 中 文 50 % coop c + + a b x y"
    tokenizer = Words.learn(Counter(expected.split(" ")), vocabulary_size=100)
    assert " ".join(pieces(tokenizer, text)) == expected == tokenizer.decode(tokenizer.encode([text])[0])


def test_case():
    counts = Counter(["title", "TITLE", "i\u0307stanbul", "σας"])
    assert pieces(Words.learn(counts, vocabulary_size=9), "TITLE İstanbul ΣΑΣ") == ["title", "i\u0307stanbul", "[UNK]"]
    assert pieces(Words.learn(counts, vocabulary_size=9, lowercase=False), "TITLE Title") == ["TITLE", "[UNK]"]


def test_words_without_punctuation_and_short_ones():
    text = "Don't stop\u00a0here,\u3000«señor»: 中文 50% a C++ ñu"
    tokenizer = Words.learn(Words.count([text], **PLAIN), vocabulary_size=100, **PLAIN)
    assert pieces(tokenizer, text) == ["don", "stop", "here", "señor", "中", "文", "50", "ñu"]
    assert tokenizer.decode(tokenizer.encode(["!? a"])[0]) == ""


@pytest.mark.parametrize("options", [{}, {"lowercase": False}, PLAIN])
def test_counts_are_of_the_words_that_it_gives(options):
    texts = TEXTS * 3 + ["", "one  one   one"]
    counts = Words.count(texts, **options)
    tokenizer = Words.learn(counts, vocabulary_size=len(counts) + 5, **options)
    ids, _ = tokenizer.encode(texts)
    assert Counter(tokenizer.vocabulary[i] for i in ids.tolist()) == counts
    assert Words.count([]) == Counter() == Words.count([""])


def test_texts_that_were_tokenized_before_keep_their_words():
    text = "the <unk> 's N.Y. price was N [SEP]"
    tokenizer = Words.learn(Words.count([text], **ATTACHED), vocabulary_size=100, **ATTACHED)
    assert pieces(tokenizer, text) == text.split()
    assert tokenizer.special.end not in tokenizer.encode([text])[0].tolist()
    with pytest.raises(ConfigError, match="punctuation: got 'atached'; wanted true, false or 'attached'"):
        Words.learn(Counter("ab"), vocabulary_size=9, punctuation="atached")


def test_the_most_frequent_words_are_kept():
    counts = Counter({"b": 5, "a": 5, "c": 9, "d": 1})
    tokenizer = Words.learn(counts, vocabulary_size=8)
    assert tokenizer.vocabulary == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "c", "a", "b"]
    assert Words.learn(shuffled(counts), vocabulary_size=8).vocabulary == tokenizer.vocabulary
    assert rows(*tokenizer.encode(["a d c"])) == [[6, 1, 5]]


def test_a_vocabulary_needs_a_word():
    with pytest.raises(ConfigError, match="vocabulary_size: got 5, wanted at least 6"):
        learned(size=5)
