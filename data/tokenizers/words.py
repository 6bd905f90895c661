"""Words: what white space and punctuation separate; each word of the vocabulary has an id."""

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

ALONE = r"[\p{P}\p{S}\p{Han}]"  # punctuation, symbols and Chinese characters are words of their own


class Words(GraphTokenizer):
    """Words of a text; one that the vocabulary lacks is `unknown`.

    Control characters separate words as white space does; format characters (soft hyphens, joiners,
    byte order marks) are dropped. Saved as vocab.txt, a word a line in order of id.
    """

    kind = "words"

    @classmethod
    def count(cls, texts: Sequence[str], *, lowercase: bool = True) -> Counter[str]:
        import tensorflow as tf

        clean = mapper(_model(lowercase))

        def words(texts):
            return tf.strings.split(_separate(clean.normalize(texts)))

        return learning.count_tokens(*learning.distinct_between_spaces(texts), words)

    @classmethod
    def learn(cls, counts: Mapping[str, int], *, vocabulary_size: int, lowercase: bool = True) -> "Words":
        """The most frequent words. lowercase: whether words that differ in case only are one."""
        special = learning.BRACKETED
        learning.check_size(vocabulary_size, len(special) + 1, "special tokens and a word")
        words = learning.most_frequent(counts, vocabulary_size - len(special))
        return cls([*special, *words], learning.SPECIAL, {"lowercase": lowercase})

    @classmethod
    def load(cls, directory: Path) -> "Words":
        return cls(read_lines(epath.Path(directory) / "vocab.txt"), **described(directory))

    def _write(self, directory: epath.Path) -> None:
        write_lines(directory / "vocab.txt", self.vocabulary)

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(self.vocabulary[i] for i in ids if i not in self.special.ids)

    def _build(self) -> tuple:
        import tensorflow as tf

        ids = tf.range(len(self.vocabulary))  # no word is "[PAD]": brackets are words of their own
        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.vocabulary, ids), self.special.unknown
        )
        return mapper(_model(**self.options)), table

    def _normalize(self, texts):
        clean, _ = self._resources
        return _separate(clean.normalize(texts))

    def _tokenize(self, texts):
        import tensorflow as tf

        _, table = self._resources
        words = tf.strings.split(texts)
        return words.with_flat_values(table.lookup(words.flat_values))

    def _tokenize_with_offsets(self, texts):
        import tensorflow_text

        _, table = self._resources
        words, starts, ends = tensorflow_text.WhitespaceTokenizer().split_with_offsets(texts)
        return words.with_flat_values(table.lookup(words.flat_values)), starts, ends


def _separate(texts):
    import tensorflow as tf

    return tf.strings.regex_replace(texts, ALONE, r" \0 ")


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
