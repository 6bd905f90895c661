"""What a tokenizer is: one object that gives the same ids in Beam, in tf.data and in the SavedModel.

`encode` is the bulk path (Beam), `graph` the path inside a `tf.function` (SavedModel). They must
agree id for id; `check_tokenizer` in tests/contracts/tokenizer.py proves it for every entry of TOKENIZERS.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from data.errors import ConfigError

DESCRIPTION = "polisemia_tokenizer.json"  # not tokenizer.json, which is Hugging Face's


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the special tokens; None where the vocabulary has none."""

    pad: int = 0
    unknown: int | None = None
    start: int | None = None  # [CLS], <s>
    end: int | None = None  # [SEP], </s>
    mask: int | None = None

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(i for i in (self.pad, self.unknown, self.start, self.end, self.mask) if i is not None)


class Tokenizer(ABC):
    """Text to ids and back.

    Options (lower-casing and the like) are keyword parameters of `learn`, kept in `options`, saved
    with the vocabulary and restored by `load`. Nothing at module level of an implementation may
    import TensorFlow: it is imported by `encode`, `graph` and `graph_with_offsets` when called.
    """

    kind: ClassVar[str]
    whole_words: ClassVar[bool] = False  # tokens are words: `words` and `encode_words` are there
    vocabulary: Sequence[str]
    special: SpecialTokens
    options: Mapping[str, Any]

    @classmethod
    @abstractmethod
    def count(cls, texts: Sequence[str], **options) -> Counter[str]:
        """Counts the units `learn` works from (words, characters, pre-tokens) in a block of texts."""

    @classmethod
    @abstractmethod
    def learn(cls, counts: Mapping[str, int], *, vocabulary_size: int, **options) -> "Tokenizer":
        """Learns a vocabulary of at most `vocabulary_size` entries, special tokens included."""

    @classmethod
    @abstractmethod
    def load(cls, directory: str | Path) -> "Tokenizer":
        """Loads what `save` wrote."""

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Writes the vocabulary in its published format plus DESCRIPTION (kind, options, specials)."""

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Bulk path. Returns ids <int32>[total] and row splits <int64>[len(texts) + 1]."""

    @abstractmethod
    def encode_with_offsets(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """As `encode`, and the places of the tokens, as `graph_with_offsets` gives them: ids <int32>[total], row
        splits <int64>[len(texts) + 1], starts and ends <int32>[total].
        """

    @abstractmethod
    def graph(self, texts):
        """In-graph path: tf.string [N] -> RaggedTensor <int32>[N, None]. No special token is added."""

    @abstractmethod
    def graph_with_offsets(self, texts):
        """As `graph`, with the character (code point) offsets of each token in the source text.

        Returns three RaggedTensors <int32>[N, None]: ids, starts, ends (end exclusive).
        """

    def words(self, texts):
        """In-graph: tf.string [N] -> the words that `graph` gives ids of, RaggedTensor <string>[N, None].

        They are normalised but for their case, which is as in the text.
        """
        raise self._no_words()

    def encode_words(self, texts: Sequence[str], max_tokens: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Bulk path of `words`: the UTF-8 bytes <uint8>[total] of each row's first `max_tokens` words, a space between
        them and each cut to `width` bytes, and row splits <int64>[len(texts) + 1].
        """
        raise self._no_words()

    def _no_words(self) -> ConfigError:
        return ConfigError(
            f"tokenizer_gen.kind: got '{self.kind}', whose tokens are not whole words; wanted 'words', since the "
            "family reads the bytes of words"
        )

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Text of one row of ids; special tokens are left out."""

    @abstractmethod
    def graph_decode(self, ids):
        """In-graph path of `decode`: RaggedTensor <int32>[N, None] -> tf.string [N], always valid UTF-8."""

    @property
    def trackables(self) -> list:
        """TensorFlow resources (tables, models) that a SavedModel must track."""
        return []
