"""Words: what white space and punctuation separate; each word of the vocabulary has an id."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from etils import epath

from data.tokenizers import learning
from data.tokenizers.graph import GraphTokenizer, described

ALONE = r"[\p{P}\p{S}\p{Han}]"  # punctuation, symbols and Chinese characters are words of their own


class Words(GraphTokenizer):
    """Words of a text; one that the vocabulary lacks is `unknown`.

    Control characters separate words as white space does; format characters (soft hyphens, joiners,
    byte order marks) are dropped. Saved as vocab.txt, a word a line in order of id.
    """

    kind = "words"

    @classmethod
    def count(cls, texts: Sequence[str], *, lowercase: bool = True) -> Counter[str]:
        def words(texts):
            return _splitter().split(_separate(texts, lowercase))

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
        lines = (epath.Path(directory) / "vocab.txt").read_text(encoding="utf-8").split("\n")
        return cls(lines[:-1], **described(directory))

    def _write(self, directory: epath.Path) -> None:
        (directory / "vocab.txt").write_text("".join(f"{word}\n" for word in self.vocabulary), encoding="utf-8")

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(self.vocabulary[i] for i in ids if i not in self.special.ids)

    def _build(self) -> Any:
        import tensorflow as tf

        of_words = {word: i for i, word in enumerate(self.vocabulary) if i not in self.special.ids}
        entries = tf.lookup.KeyValueTensorInitializer(list(of_words), list(of_words.values()), tf.string, tf.int32)
        return tf.lookup.StaticHashTable(entries, self.special.unknown)

    def _normalize(self, texts):
        return _separate(texts, **self.options)

    def _tokenize(self, texts):
        words = _splitter().split(texts)
        return words.with_flat_values(self._resource.lookup(words.flat_values))

    def _tokenize_with_offsets(self, texts):
        words, starts, ends = _splitter().split_with_offsets(texts)
        return words.with_flat_values(self._resource.lookup(words.flat_values)), starts, ends


def _splitter():
    import tensorflow_text

    return tensorflow_text.WhitespaceTokenizer()


def _separate(texts, lowercase: bool):
    """Words of the texts with white space between them. NUL must go before `lower`, which stops at it."""
    import tensorflow as tf

    texts = tf.strings.regex_replace(texts, r"\p{Cc}|[^\P{Z} ]", " ")  # the splitter cuts wide spaces in the middle
    texts = tf.strings.regex_replace(texts, r"\p{Cf}", "")
    texts = tf.strings.lower(texts, encoding="utf-8") if lowercase else texts
    return tf.strings.regex_replace(texts, ALONE, r" \0 ")
