"""characters: each code point is a token."""

from collections import Counter

import pytest

from data.errors import ConfigError
from data.tokenizers.characters import Characters
from tests.contracts.tokenizer import check_tokenizer, rows
from tests.data.tokenizers.texts import TEXTS, pieces, real_lines, shuffled


@pytest.mark.parametrize("lowercase", [True, False])
def test_contract(lowercase):
    counts = Characters.count(TEXTS, lowercase=lowercase)
    check_tokenizer(Characters.learn(counts, vocabulary_size=90, lowercase=lowercase), real_lines(200))


def test_every_code_point_is_a_token():
    text = "Ab\n\0é e\u0301👨\u200d👩\U0010ffff"
    tokenizer = Characters.learn(Characters.count([text]), vocabulary_size=50)
    assert pieces(tokenizer, text) == list(text)
    assert tokenizer.decode(tokenizer.encode([text])[0]) == text
    assert pieces(tokenizer, "zé") == ["[UNK]", "é"]


def test_counts():
    assert Characters.count(["aab", "", "b\0"]) == Counter("aabb\0")
    assert Characters.count(["aAİ"], lowercase=True) == Counter("aai\u0307")
    assert Characters.count([]) == Counter()


def test_the_most_frequent_characters_are_kept():
    counts = Counter({"b": 5, "a": 5, "c": 9, "d": 1})
    tokenizer = Characters.learn(shuffled(counts), vocabulary_size=8)
    assert tokenizer.vocabulary[5:] == ["c", "a", "b"]
    assert rows(*tokenizer.encode(["adc"])) == [[6, 1, 5]]
    with pytest.raises(ConfigError, match="wanted at least 6"):
        Characters.learn(counts, vocabulary_size=5)
