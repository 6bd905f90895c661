"""WordPiece (Schuster and Nakajima 2012), as BERT uses it: the longest pieces that a word is made of, from its start.

Against Hugging Face's `BertTokenizer` on the same vocabulary, texts differ only by
- text that spells a special token: "[SEP]" is three tokens of punctuation and letters here, never the special one;
- words of more than 100 bytes, where the reference counts 100 characters: both give `unknown`;
- characters newer than one side's Unicode tables.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from etils import epath

from data.tokenizers import learning
from data.tokenizers.graph import GraphTokenizer, described, read_lines, write_lines
from data.tokenizers.mapping import map_model, mapper

MAX_WORD_BYTES = 100
DROPPED = ("Cc", "Cf", "Co")  # control, format and private characters
INSIDE = "##"  # begins the pieces that do not begin a word
CHINESE = (
    r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}\x{2B740}-\x{2B81F}"
    r"\x{2B820}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}"
)
ALONE = rf"[!-/:-@\[-`{{-~\p{{P}}{CHINESE}]"  # what BERT takes out of words: how the op splits, for counting


class WordPiece(GraphTokenizer):
    """Pieces of words that white space and punctuation separate (the linear algorithm of Song et al. 2021).

    Control characters are dropped. A word that the pieces cannot make is `unknown`. Saved as
    vocab.txt, a piece a line in order of id.
    """

    kind = "wordpiece"

    @classmethod
    def count(cls, texts: Sequence[str], *, lowercase: bool = True, strip_accents: bool = False) -> Counter[str]:
        import tensorflow as tf

        clean = mapper(_model(lowercase, strip_accents))

        def words(texts):
            texts = tf.strings.regex_replace(clean.normalize(texts), r"\p{Z}", " ")
            return tf.strings.split(tf.strings.regex_replace(texts, ALONE, r" \0 "))

        return learning.count_tokens(*learning.distinct_between_spaces(texts), words)

    @classmethod
    def learn(
        cls, counts: Mapping[str, int], *, vocabulary_size: int, lowercase: bool = True, strip_accents: bool = False
    ) -> "WordPiece":
        """Merges the most frequent pairs of pieces, from single characters up.

        lowercase: whether case is lost. strip_accents: whether accents and other combining marks are.
        Single characters take at most half of the vocabulary; words with rarer ones are not learned from.
        """
        learning.check_size(vocabulary_size, 2 * len(learning.BRACKETED), "special tokens and some characters")
        characters = _alphabet(counts, (vocabulary_size - len(learning.BRACKETED)) // 4)
        known = set(characters)
        words = {w: n for w, n in counts.items() if known.issuperset(w) and len(w.encode()) <= MAX_WORD_BYTES}
        alphabet = characters + sorted({INSIDE + c for word in words for c in word[1:]})
        options = {"lowercase": lowercase, "strip_accents": strip_accents}
        return cls(_merge(words, alphabet, vocabulary_size), learning.SPECIAL, options)

    @classmethod
    def load(cls, directory: Path) -> "WordPiece":
        return cls(read_lines(epath.Path(directory) / "vocab.txt"), **described(directory))

    def _write(self, directory: epath.Path) -> None:
        write_lines(directory / "vocab.txt", self.vocabulary)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(_spaced(self.vocabulary[i]) for i in ids if i not in self.special.ids).strip()

    def _pieces(self):
        return [_spaced(piece) for piece in self.vocabulary]

    def _join(self, ids):
        import tensorflow as tf

        return tf.strings.strip(super()._join(ids))

    def _build(self) -> tuple:
        import tensorflow as tf
        import tensorflow_text

        assert self.special.unknown is not None  # WordPiece always has one
        unknown = self.vocabulary[self.special.unknown]
        return mapper(_model(**self.options)), tensorflow_text.FastWordpieceTokenizer(
            self.vocabulary, INSIDE, MAX_WORD_BYTES, token_out_type=tf.int32, unknown_token=unknown
        )

    def _normalize(self, texts):
        clean, _ = self._resources
        return clean.normalize(texts)

    def _tokenize(self, texts):
        _, pieces = self._resources
        return pieces.tokenize(texts)

    def _tokenize_with_offsets(self, texts):
        _, pieces = self._resources
        return pieces.tokenize_with_offsets(texts)


def _spaced(piece: str) -> str:
    """A piece as it is in a text, with the space before a word."""
    return piece.removeprefix(INSIDE) if piece.startswith(INSIDE) else f" {piece}"


@cache
def _model(lowercase: bool, strip_accents: bool) -> np.ndarray:
    """As BERT cleans its texts."""

    def change(character: str) -> str:
        if character not in "\t\n\r" and (unicodedata.category(character) in DROPPED or character == "\ufffd"):
            return ""
        if strip_accents:
            parts = unicodedata.normalize("NFD", character)
            character = "".join(part for part in parts if unicodedata.category(part) != "Mn")
        return character.lower() if lowercase else character

    return map_model(change)


def _alphabet(counts: Mapping[str, int], limit: int) -> list[str]:
    """The `limit` most frequent characters, in code point order."""
    characters: Counter[str] = Counter()
    for word, n in counts.items():
        for character in word:
            characters[character] += n
    return sorted(learning.most_frequent(characters, limit))


def _merge(words: Mapping[str, int], alphabet: list[str], vocabulary_size: int) -> list[str]:
    """The vocabulary in order of id. Naming the alphabet first fixes the ids, which decide between equal pairs."""
    from tokenizers import Tokenizer, models, trainers

    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[*learning.BRACKETED, *alphabet],
        min_frequency=2,
        continuing_subword_prefix=INSIDE,
        show_progress=False,
    )
    learned = Tokenizer(models.WordPiece(unk_token=learning.BRACKETED[1]))
    learned.train_from_iterator(learning.occurrences(words), trainer)
    ids = learned.get_vocab()
    return sorted(ids, key=ids.__getitem__)
