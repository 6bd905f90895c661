"""sentencepiece: agreement with the library, and what is learned."""

from collections import Counter

import pytest
import sentencepiece

from data.errors import ConfigError, DataError
from data.tokenizers import from_files
from data.tokenizers.base import SpecialTokens
from data.tokenizers.sentencepiece import SentencePiece
from tests.contracts.tokenizer import check_tokenizer, rows
from tests.data.tokenizers.texts import CORPORA, MANY, TEXTS, differing, pieces, real_lines, shuffled


def learned(size=400, **options):
    return SentencePiece.learn(SentencePiece.count(TEXTS, **options), vocabulary_size=size, **options)


def check_agreement(tokenizer, texts):
    """The library gives the same ids, or ids of the same score, and these to few texts."""
    library = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    different = differing(tokenizer, texts, library.encode(texts))
    assert len(different) <= 0.002 * len(texts)
    for ours, theirs in zip(rows(*tokenizer.encode(different)), library.encode(different), strict=True):
        assert sum(map(library.get_score, ours)) == pytest.approx(sum(map(library.get_score, theirs)), abs=1e-3)


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_contract(model_type):
    tokenizer = learned(model_type=model_type)
    check_tokenizer(tokenizer, real_lines(200))
    check_agreement(tokenizer, TEXTS + real_lines())


@pytest.mark.parametrize("number", MANY)
def test_agrees_with_the_library_on_real_text(number):
    texts = real_lines(number)
    tokenizer = from_files(CORPORA / "tokenizer_t5_small")
    assert tokenizer.special == SpecialTokens(pad=0, unknown=2, end=1)
    check_agreement(tokenizer, texts)


@pytest.mark.slow
def test_contract_of_a_published_model():
    texts = real_lines(10_000)
    check_tokenizer(from_files(CORPORA / "tokenizer_t5_small"), texts)


def test_text_comes_back():
    tokenizer = learned()
    text = "The quick brown fox jumps"
    assert tokenizer.decode(tokenizer.encode([text])[0]) == text
    assert pieces(tokenizer, text)[0].startswith("▁")


def test_counts():
    assert SentencePiece.count(["a b\ta\u3000b", "", " b "]) == Counter("aabbb")
    assert SentencePiece.count([]) == Counter()


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_learning_does_not_depend_on_order(model_type):
    counts = SentencePiece.count(TEXTS)
    expected = learned(model_type=model_type)
    assert expected.vocabulary[:5] == ["<pad>", "<unk>", "<s>", "</s>", "<mask>"] and len(expected.vocabulary) <= 400
    found = SentencePiece.learn(shuffled(counts), vocabulary_size=400, model_type=model_type)
    assert found.model == expected.model


def test_errors():
    with pytest.raises(DataError, match="could not learn 20 pieces from .* words .* raise it"):
        learned(20)
    with pytest.raises(ConfigError, match="unknown SentencePiece model 'unigrm'; did you mean 'unigram'"):
        learned(model_type="unigrm")
