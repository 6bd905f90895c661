"""What families share whose word vectors may come from a file."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from data.errors import ConfigError
from models.families.base import Family, Vocabulary


class WordVectors(Family):
    """Parameters for vectors from a file, and the table that a model starts with."""

    vectors: str = Field(
        "",
        description="file of word vectors to start from: word2vec, GloVe or fastText, text, binary or gzipped; their "
        "width is then the file's. Its content counts, not its path",
    )
    vectors_encoding: str = Field("utf-8", description="encoding of the words in that file")
    frozen: bool = Field(False, description="leave the vectors as they were loaded")

    width_of_words: ClassVar[str] = "width"  # the parameter that a file's width takes the place of
    objective: ClassVar[str] = "skip_gram"

    @model_validator(mode="after")
    def _one_source(self) -> "WordVectors":
        if self.frozen and not self.vectors:
            raise ValueError("got frozen without vectors, wanted a file of vectors to leave as they are")
        if self.vectors and self.width_of_words in self.model_fields_set:
            raise ValueError(f"got vectors and {self.width_of_words}; a file has its own width: keep one of them")
        return self

    def adapt(self, batches, vocabulary: Vocabulary) -> dict[str, np.ndarray]:
        """vectors <float32>[size, width] and found <bool>[size], of the vocabulary's words, where a file is given.

        Raises DataError when it cannot be read, ConfigError when it has none of the words.
        """
        return self.load(vocabulary)[0] if self.vectors else {}

    def load(self, vocabulary: Vocabulary) -> tuple[dict[str, np.ndarray], Any]:
        """As `adapt`, with the file's Subwords or None."""
        from data.vectors import lookup

        words = [word for i, word in enumerate(vocabulary.words) if i not in vocabulary.special]
        ids = np.array([i for i in range(len(vocabulary.words)) if i not in vocabulary.special], np.int64)
        read = lookup(self.vectors, words, self.vectors_encoding)
        if not read.found.any():
            raise ConfigError(
                f"trainer.family.vectors: {self.vectors} has none of the tokenizer's {len(words)} words; wanted "
                "vectors of whole words in the texts' language; look at tokenizer_gen.kind"
            )
        table, found = np.zeros([vocabulary.size, read.table.shape[1]], np.float32), np.zeros(vocabulary.size, bool)
        table[ids], found[ids] = read.table, read.found
        return {"vectors": table, "found": found}, read.subwords

    @property
    def vector_width(self) -> int:
        return getattr(self, self.width_of_words)

    def start_from(self, path: str) -> "WordVectors":
        """path: a file of vectors."""
        decided = self.settled if path.endswith(".bin") else (self.width_of_words,)
        kept = {name: getattr(self, name) for name in self.model_fields_set.difference(decided)}
        return type(self)(**kept, vectors=path)

    def word_rows(self, vocabulary: Vocabulary):
        """A layer from ids <int32>[n] to vectors <float32>[n, width], to be learned from text."""
        from models.rows import Rows

        return Rows(self.start(vocabulary, self.vector_width, {}))

    def save_words(self, rows, vocabulary: Vocabulary, directory) -> str:
        """Writes what was learned in `word_rows`, and returns the file's name."""
        return self.save_table(rows.table.numpy(), vocabulary, directory)

    def save_table(self, table: np.ndarray, vocabulary: Vocabulary, directory) -> str:
        """Writes the vectors <float32>[size, width] of the vocabulary's words as word2vec text."""
        from data.vectors import write_text

        ids = [i for i in range(vocabulary.size) if i not in vocabulary.special]
        write_text(directory / "vectors.txt", [vocabulary.words[i] for i in ids], table[ids])
        return "vectors.txt"

    def embedding_layer(self, vocabulary: Vocabulary, width: int, adapted):
        """A Keras Embedding that starts with the file's vectors, or as Keras starts it."""
        from keras import layers

        if "vectors" not in adapted:
            return layers.Embedding(vocabulary.size, width)
        table = self.start(vocabulary, width, adapted)
        initial = {"embeddings_initializer": lambda shape, dtype: table, "trainable": not self.frozen}
        return layers.Embedding(*table.shape, **initial)

    def start(self, vocabulary: Vocabulary, width: int, adapted) -> np.ndarray:
        """Vectors <float32>[size, width] to start from: the file's, and small random ones for words it lacks.

        Those of a file that stays as it is are zeros: nothing would be learned of them.
        """
        import keras

        if "vectors" not in adapted:
            random = keras.random.uniform([vocabulary.size, width], -0.5 / width, 0.5 / width, "float32")  # word2vec's
            return keras.ops.convert_to_numpy(random)
        table, found = adapted["vectors"], adapted["found"]
        spread = 0.0 if self.frozen else float(table[found].std())
        random = keras.ops.convert_to_numpy(keras.random.normal(table.shape, 0.0, spread, "float32"))
        return np.where(found[:, None], table, random)


def idf(parts: Iterable[tuple[np.ndarray, np.ndarray, int]], size: int) -> np.ndarray:
    """ln(texts / texts with the id) <float32>[size]; an id in no text counts as in one.

    parts: of a batch, the texts <int>[n] (numbers below the third) and ids <int>[n] that stand in them, any times.
    """
    texts, rows = np.zeros(size, np.int64), 0
    for owners, ids, count in parts:
        texts += np.bincount(np.unique(owners.astype(np.int64) * size + ids) % size, minlength=size)
        rows += count
    return np.log(max(rows, 1) / np.maximum(texts, 1)).astype(np.float32)


def ids_of(packed: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, int]:
    """What `idf` counts of the ids of a packed batch."""
    return np.nonzero(packed["mask"])[0], packed["ids"][packed["mask"]], len(packed["ids"])
