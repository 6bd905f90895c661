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


CHANGED = {"lowercase": True, "strip_accents": True, "quotes": True}


@pytest.mark.parametrize("name", [*CHANGED, "all"])
def test_contract_of_changed_texts(name):
    tokenizer = learned(**(CHANGED if name == "all" else {name: True}))
    check_tokenizer(tokenizer, real_lines(200))


def test_case_accents_and_quotes():
    counts = SentencePiece.count(["``MÁS'' İ ﬁ", ""], **CHANGED)
    assert counts == Counter(['"mas"', "i", "fi"]) and SentencePiece.count([], **CHANGED) == Counter()
    changed, plain = learned(**CHANGED), learned()
    texts = ["``El NIÑO'' e\u0301l", "cigu\u0308eña'''`` ````", "\x01a\x01", "\x01'' a"]
    written = ['"el nino" el', 'ciguena"\'" ""', "a", '" a']
    assert rows(*changed.encode(texts)) == rows(*changed.encode(written))
    assert pieces(changed, "Él") == pieces(changed, "el") != pieces(plain, "Él")
    quotes = learned(quotes=True)
    assert pieces(quotes, "É''") == pieces(quotes, 'É"') != pieces(quotes, 'e"')


def test_places_are_of_the_text_as_it_was():
    tokenizer = SentencePiece.learn(SentencePiece.count([*TEXTS, '"'], **CHANGED), vocabulary_size=400, **CHANGED)
    text = "un ``a'' \x01e\u0301l '''NIÑO```` `"
    ids, _, starts, ends = tokenizer.encode_with_offsets([text])
    found = [(tokenizer.decode([i]).strip(), text[a:b].strip()) for i, a, b in zip(ids, starts, ends, strict=True)]
    assert [source for piece, source in found if piece == '"'] == ["``", "''", "''", "``", "``"]
    assert ("a", "a") in found and "`" in found[-1][1]
    letters = [(piece, source) for piece, source in found if piece.isalpha()]
    assert "".join(source for _, source in letters) == "unae\u0301lNIÑO"
    assert all(rows(*tokenizer.encode([piece])) == rows(*tokenizer.encode([source])) for piece, source in letters), (
        letters
    )


def test_one_saved_without_these_options_loads(tmp_path):
    made = SentencePiece(learned().model, SpecialTokens(0, 1, 2, 3, 4), {"model_type": "unigram"})
    made.save(tmp_path)
    assert pieces(SentencePiece.load(tmp_path), "``El") == pieces(learned(), "``El")


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
