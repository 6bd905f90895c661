"""Words: what white space and punctuation separate; each word of the vocabulary has an id."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from etils import epath

from data.errors import ConfigError
from data.tokenizers import learning
from data.tokenizers.graph import GraphTokenizer, described, read_lines, write_lines
from data.tokenizers.mapping import map_model, mapper

ATTACHED = "attached"
MARKS, HAN = r"\p{P}\p{S}", r"\p{Han}"  # punctuation and symbols, Chinese characters: words of their own


class Words(GraphTokenizer):
    """Words of a text; one that the vocabulary lacks is `unknown`.

    Control characters separate words as white space does; format characters (soft hyphens, joiners,
    byte order marks) are dropped. Saved as vocab.txt, a word a line in order of id.
    """

    kind = "words"
    separator = " "
    whole_words = True

    @classmethod
    def count(
        cls,
        texts: Sequence[str],
        *,
        lowercase: bool = True,
        punctuation: bool | str = True,
        min_characters: int = 1,
    ) -> Counter[str]:
        import tensorflow as tf

        _check(punctuation)

        clean = mapper(_model(lowercase))

        def words(texts):
            found = tf.strings.split(_separate(clean.normalize(texts), punctuation))
            return tf.ragged.boolean_mask(found, found.with_flat_values(_long(found.flat_values, min_characters)))

        return learning.count_tokens(*learning.distinct_between_spaces(texts), words)

    @classmethod
    def learn(
        cls,
        counts: Mapping[str, int],
        *,
        vocabulary_size: int,
        lowercase: bool = True,
        punctuation: bool | str = True,
        min_characters: int = 1,
    ) -> "Words":
        """The most frequent words.

        lowercase: whether words that differ in case only are one.
        punctuation: whether punctuation and symbols are words, or only separate them; "attached": they are part of
          the word they touch, so that white space alone separates, as in texts that were tokenized before ("<unk>").
        min_characters: shorter words are dropped, but for Chinese characters.
        """
        _check(punctuation)
        special = learning.BRACKETED
        learning.check_size(vocabulary_size, len(special) + 1, "special tokens and a word")
        words = learning.most_frequent(counts, vocabulary_size - len(special))
        options = {"lowercase": lowercase, "punctuation": punctuation, "min_characters": min_characters}
        return cls([*special, *words], learning.SPECIAL, options)

    @classmethod
    def load(cls, directory: Path) -> "Words":
        return cls(read_lines(epath.Path(directory) / "vocab.txt"), **described(directory))

    def _write(self, directory: epath.Path) -> None:
        write_lines(directory / "vocab.txt", self.vocabulary)

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(self.vocabulary[i] for i in ids if i not in self.special.ids)

    def _build(self) -> tuple:
        import tensorflow as tf

        ids = [i for i in range(len(self.vocabulary)) if i not in self.special.ids]  # no text gives a special token
        words = tf.lookup.KeyValueTensorInitializer([self.vocabulary[i] for i in ids], tf.constant(ids, tf.int32))
        table = tf.lookup.StaticHashTable(words, self.special.unknown)
        return mapper(_model(self.options["lowercase"])), table, mapper(_model(lowercase=False))

    def _normalize(self, texts):
        clean, *_ = self._resources
        return _separate(clean.normalize(texts), self.options["punctuation"])

    def _as_written(self, texts):
        *_, clean = self._resources
        return _separate(clean.normalize(texts), self.options["punctuation"])

    def _tokenize(self, texts):
        return self._look_up(self._words(texts))

    def _words(self, texts):
        import tensorflow as tf

        return self._kept(tf.strings.split(texts))[0]

    def _tokenize_with_offsets(self, texts):
        import tensorflow_text

        words, *offsets = self._kept(*tensorflow_text.WhitespaceTokenizer().split_with_offsets(texts))
        return self._look_up(words), *offsets

    def _look_up(self, words):
        _, table, _ = self._resources
        return words.with_flat_values(table.lookup(words.flat_values))

    def _kept(self, words, *offsets):
        """The words that are long enough, and what goes with each."""
        import tensorflow as tf

        every = words, *offsets
        if self.options["min_characters"] == 1:
            return every
        long = words.with_flat_values(_long(words.flat_values, self.options["min_characters"]))
        return tuple(tf.ragged.boolean_mask(values, long) for values in every)


def _check(punctuation: bool | str) -> None:
    if punctuation not in (True, False, ATTACHED):
        raise ConfigError(f"tokenizer_gen.options.punctuation: got {punctuation!r}; wanted true, false or '{ATTACHED}'")


def _separate(texts, punctuation: bool | str):
    import tensorflow as tf

    if punctuation == ATTACHED:
        return texts
    if punctuation:
        return tf.strings.regex_replace(texts, f"[{MARKS}{HAN}]", r" \0 ")
    return tf.strings.regex_replace(tf.strings.regex_replace(texts, f"[{MARKS}]", " "), f"[{HAN}]", r" \0 ")


def _long(words, min_characters: int):
    """Which words <string>[N] have enough characters, or are Chinese ones, <bool>[N]."""
    import tensorflow as tf

    enough = tf.strings.length(words, unit="UTF8_CHAR") >= min_characters
    return enough | tf.strings.regex_full_match(words, f"[{HAN}]")


@cache
def _model(lowercase: bool) -> np.ndarray:
    """Every white space becomes a plain one: the splitters see no other, or cut it in the middle of its bytes."""

    def change(character: str) -> str:
        match unicodedata.category(character):
            case "Cc" | "Zs" | "Zl" | "Zp":
                return " "
            case "Cf":
                return ""
        return character.lower() if lowercase else character

    return map_model(change)
