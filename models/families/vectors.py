"""A text as the mean of its words' vectors, without order: how word2vec's and GloVe's vectors are first used."""

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from models.families.base import Encoded
from models.families.word_vectors import WordVectors, idf, ids_of


class _StaticVectors(WordVectors):
    """Parameters and path of both families; they differ in how their vectors are made before (models/objectives)."""

    width: int = Field(100, ge=1, description="width of the vectors, where no file gives it")
    pooling: Literal["mean", "idf", "max"] = Field(
        "mean", description="vector of a text: mean of its words', weighted by inverse document frequency, or largest"
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="on the text's vector, and on the words' where tokens are tagged"
    )

    offers: ClassVar[frozenset[str]] = frozenset({"pooled", "sequence"})
    settled: ClassVar[tuple[str, ...]] = ("width",)
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "words", "vocabulary_size": 100_000}
    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 10,
        "batch_tokens": 2048,
        "optimizer": {"name": "adam", "learning_rate": 5e-3, "schedule": "linear", "clip_norm": None},
    }

    def adapt(self, batches, vocabulary):
        """As WordVectors, and weight <float32>[size]: 0 for what is no word or has no vector; else 1, or for
        pooling = "idf" ln(texts / texts with the word)."""
        adapted = super().adapt(batches, vocabulary)
        counted = np.ones(vocabulary.size, np.float32)
        if self.pooling == "idf":
            counted = idf(map(ids_of, batches), vocabulary.size)
        counted[sorted(vocabulary.special)] = 0
        if self.frozen:
            counted *= adapted["found"]
        return {**adapted, "weight": counted}

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        from keras import layers

        from models.layers import Arrays, Encoder
        from models.rows import Rows

        words = Rows(self.start(vocabulary, self.width, adapted), trainable=not self.frozen)
        weight = Arrays({"weight": adapted["weight"]})
        return Encoder(
            {"words": words, "weight": weight, "dropout": layers.Dropout(self.dropout)}, self.encode, [[words]]
        )

    def encode(self, parts, packed, training) -> Encoded:
        import tensorflow as tf

        mask, vectors = packed["mask"], parts["words"](packed["ids"])
        weight = tf.where(mask, tf.gather(parts["weight"]["weight"], packed["ids"]), 0.0)[:, :, None]
        if self.pooling == "max":
            largest = tf.reduce_max(tf.where(weight > 0, vectors, vectors.dtype.min), axis=1)
            pooled = tf.where(tf.reduce_any(weight > 0, axis=1), largest, 0.0)
        else:
            pooled = tf.math.divide_no_nan(tf.reduce_sum(weight * vectors, axis=1), tf.reduce_sum(weight, axis=1))
        dropped = [parts["dropout"](each, training=training) for each in (vectors, pooled)]
        return Encoded(dropped[0], dropped[1], (vectors,), mask)


class Word2vec(_StaticVectors):
    """The mean of word2vec's vectors (Mikolov et al. 2013): from a file, or learned with the task."""


class Glove(_StaticVectors):
    """The mean of GloVe's vectors (Pennington et al. 2014): from a file, or learned with the task."""

    objective: ClassVar[str] = "glove"
