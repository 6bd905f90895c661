"""Bag of words and tf-idf: linear models over exact n-grams of words or characters, as scikit-learn's vectorizers with
LogisticRegression, but streamed, distributed and in the graph.

Nothing of width `features` is ever made for a row: only its own n-grams are looked up (bag_ngrams.py).
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from data.errors import DataError
from models.families.bag_ngrams import Units, find
from models.families.base import Encoded, Family, Vocabulary

MERGE_AT = 1 << 22  # keys held before they are merged into the running counts: 64 MB
CHARACTERS = {"kind": "characters", "vocabulary_size": 4000, "options": {"lowercase": True}}
LONGEST = 2048  # a row costs what it has, so nothing of a text is left out without need


class _Bag(Family):
    """Parameters and path that both families share; they differ in `weigh`."""

    analyzer: Literal["word", "char", "char_wb"] = Field(
        "word", description="n-grams of tokens; of characters; or of characters within words, with a space at both ends"
    )
    ngrams: tuple[int, int] = Field(
        (1, 2), description="shortest and longest n-gram, in tokens or characters; [2, 5] for characters if not given"
    )
    max_features: int | None = Field(None, ge=1, description="keep this many n-grams, those in most texts")
    min_texts: int = Field(1, ge=1, description="drop n-grams found in fewer training texts")
    c: float = Field(1.0, gt=0, description="inverse of L2 strength, LogisticRegression's C; larger fits closer")

    offers: ClassVar[frozenset[str]] = frozenset({"pooled"})
    default_tokenizer: ClassVar[dict[str, Any]] = {  # what scikit-learn's vectorizers call words
        "kind": "words",
        "vocabulary_size": 100_000,
        "options": {"punctuation": False, "min_characters": 2},
    }
    linear: ClassVar[bool] = True

    @model_validator(mode="before")
    @classmethod
    def _of_characters(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("analyzer", "word") != "word":
            return {"ngrams": (2, 5), **given}
        return given

    @property
    def tokenizer(self):
        return super().tokenizer if self.analyzer == "word" else CHARACTERS

    @property
    def longest(self):
        return LONGEST

    @field_validator("ngrams")
    @classmethod
    def _rising(cls, ngrams: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= ngrams[0] <= ngrams[1]:
            raise ValueError(f"got {list(ngrams)}, wanted [shortest, longest] with 1 <= shortest <= longest")
        return ngrams

    @abstractmethod
    def weigh(self, counts, idf):
        """Weight of each n-gram of a row, before any norm: counts <float32>[B, M], idf <float32>[B, M]."""

    def adapt(self, batches: Iterable[Mapping[str, np.ndarray]], vocabulary: Vocabulary) -> dict[str, np.ndarray]:
        """Counts every n-gram's texts, order by order; raises DataError when the training split has none.

        Returns rows <int64>[], texts <int64>[features] (document frequency), and for each order n keys_n
        <int64>[K] (sorted, the first one -1; none for n = 1, whose index is the id) and feature_n <int32>[K],
        -1 where the n-gram is only the prefix of a longer one that was kept.
        """
        keys: list[np.ndarray] = []
        texts = []
        units = Units.of(vocabulary, self.analyzer == "char_wb")
        for order in range(1, self.ngrams[1] + 1):
            found, count, rows = _count(batches, units, keys)
            if order == 1:  # dense: index = id
                count = np.bincount(found, weights=count, minlength=units.size).astype(np.int64)
                found = np.arange(units.size)
            else:  # a key that no n-gram has, so that no table is ever empty
                found, count = np.insert(found, 0, -1), np.insert(count, 0, 0)
            keys.append(found)
            texts.append(count)
        kept = self._kept(texts)
        if not sum(keep.sum() for keep in kept):
            raise DataError(
                f"train: no n-gram of order {self.ngrams[0]} to {self.ngrams[1]} in {self.min_texts} or more of "
                f"{rows} texts; wanted at least one: lower ngrams or min_texts, or look at the tokenizer's vocabulary"
            )
        return {"rows": np.array(rows, np.int64), **_compact(keys, texts, kept, units.size)}

    def _kept(self, texts: list[np.ndarray]) -> list[np.ndarray]:
        """For each order, which n-grams are features <bool>[K]; ties at the cap go to shorter, then smaller keys."""
        low = self.ngrams[0]
        kept = [(count >= self.min_texts) & (order >= low) for order, count in enumerate(texts, 1)]
        if self.max_features and sum(keep.sum() for keep in kept) > self.max_features:
            flat = np.concatenate([np.where(keep, count, 0) for keep, count in zip(kept, texts, strict=True)])
            chosen = np.zeros(len(flat), bool)
            chosen[np.argsort(-flat, kind="stable")[: self.max_features]] = True
            kept = np.split(chosen, np.cumsum([len(keep) for keep in kept])[:-1])
        return kept

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        import keras

        from models.layers import Arrays, Encoder

        features, rows = len(adapted["texts"]), int(adapted["rows"])
        # LogisticRegression minimises C * sum(loss) + |w|^2 / 2, here over C * rows. For two labels it has one
        # column where we have two of half its size each, so the same penalty needs twice the strength.
        penalty = (2.0 if n_outputs == 2 else 1.0) / (2.0 * self.c * rows)
        idf = np.log((1.0 + rows) / (1.0 + adapted["texts"])) + 1.0
        tables = {name: array for name, array in adapted.items() if name.startswith(("keys_", "feature_"))}
        parts = {
            "tables": Arrays({**tables, "idf": idf.astype(np.float32)}),
            "weights": keras.layers.Embedding(
                features,
                n_outputs,
                embeddings_initializer="zeros",
                embeddings_regularizer=keras.regularizers.L2(penalty),
                dtype="float32",
            ),
            "bias": Arrays({"bias": np.zeros(n_outputs, np.float32)}, trainable=True),
            "units": Units.of(vocabulary, self.analyzer == "char_wb"),
        }
        return Encoder(parts, self.encode)

    def encode(self, parts, packed, training) -> Encoded:
        """Logits <float32>[B, n_outputs]: the weighted sum of the rows' own n-gram weights, plus bias."""
        import tensorflow as tf

        indices, weights = self.indices_and_weights(parts, packed)
        pooled = tf.einsum("bm,bmo->bo", weights, parts["weights"](indices)) + parts["bias"]["bias"]
        return Encoded(None, pooled, (), packed["mask"])

    def indices_and_weights(self, parts, packed):
        """The sparse vectors: indices <int32>[B, M] and weights <float32>[B, M], M = orders * T.

        An n-gram that stands several times in a row carries its whole weight once; other places weigh 0.
        """
        import tensorflow as tf

        tables, orders = parts["tables"], range(self.ngrams[0], self.ngrams[1] + 1)
        found, _ = find(packed, parts["units"], [tables[f"keys_{n}"] for n in range(2, self.ngrams[1] + 1)])
        features = [_feature(found[order - 1], tables[f"feature_{order}"]) for order in orders]
        features = tf.sort(tf.concat(features, axis=1), axis=1)
        first = tf.searchsorted(features, features, side="left")
        counts = tf.searchsorted(features, features, side="right") - first
        counted = (features >= 0) & (first == tf.range(tf.shape(features)[1])[None, :])
        indices = tf.maximum(features, 0)
        weights = self.weigh(tf.cast(counts, tf.float32), tf.gather(tables["idf"], indices))
        return indices, self.normalise(tf.where(counted, weights, 0.0))

    def normalise(self, weights):
        return weights


class BagOfWords(_Bag):
    """Counts of word n-grams, each with a learned weight for each label."""

    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 60,
        "batch_tokens": 16384,
        "optimizer": {"name": "adam", "learning_rate": 0.1, "schedule": "cosine", "clip_norm": None},
    }

    def weigh(self, counts, idf):
        return counts


class Tfidf(_Bag):
    """As bag_of_words, with counts weighed by smooth inverse document frequency and rows scaled to length 1."""

    sublinear: bool = Field(False, description="1 + ln(count) in place of count")

    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 60,
        "batch_tokens": 16384,
        "optimizer": {"name": "adam", "learning_rate": 0.3, "schedule": "cosine", "clip_norm": None},
    }

    def weigh(self, counts, idf):
        import tensorflow as tf

        return (1.0 + tf.math.log(counts) if self.sublinear else counts) * idf

    def normalise(self, weights):
        import tensorflow as tf

        return tf.math.l2_normalize(weights, axis=1, epsilon=1e-24)


def _feature(index, feature):
    """Feature <int32>[B, T] of an index <int64>[B, T]; -1 stays -1."""
    import tensorflow as tf

    return tf.where(index >= 0, tf.gather(feature, tf.maximum(index, 0)), -1)


def _count(batches, units: Units, tables: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, int]:
    """Sorted keys <int64>[K] of the n-grams of order len(tables) + 1, the texts <int64>[K] each is in, and all texts.

    tables: index to key for the orders below. One pass over the batches.
    """
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    held, rows = [], 0
    for packed in batches:
        found, longer = find(packed, units, tables[1:])
        ends = np.sort(longer if tables else found[0], axis=1)
        first = np.diff(ends, axis=1, prepend=-1) > 0  # once a text; -1, no n-gram, sorts first and never counts
        held.append(ends[first])
        rows += len(ends)
        if sum(map(len, held)) > max(MERGE_AT, len(keys)):
            (keys, counts), held = _merge(keys, counts, held), []
    return *_merge(keys, counts, held), rows


def _merge(keys: np.ndarray, counts: np.ndarray, held: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    merged, place = np.unique(np.concatenate([keys, *held]), return_inverse=True)
    weights = np.ones(len(place))
    weights[: len(keys)] = counts
    return merged, np.bincount(place, weights, minlength=len(merged)).astype(np.int64)


def _compact(keys, texts, kept, size: int) -> dict[str, np.ndarray]:
    """Tables with only the kept n-grams and their prefixes, and features numbered by order, then key."""
    needed = [keep.copy() for keep in kept]
    for order in range(len(keys) - 1, 0, -1):
        needed[order - 1][keys[order][needed[order]] // size] = True
        needed[order][0] = True
    needed[0][:] = True
    tables, features, new_index = {}, 0, np.arange(0)
    for order, (key, need, keep) in enumerate(zip(keys, needed, kept, strict=True)):
        if order:
            key = key[need]
            tables[f"keys_{order + 1}"] = np.where(key < 0, -1, new_index[key // size] * size + key % size)
        tables[f"feature_{order + 1}"] = np.where(keep, features + np.cumsum(keep) - 1, -1)[need].astype(np.int32)
        features += int(keep.sum())
        new_index = np.cumsum(need) - 1
    return {"texts": np.concatenate([count[keep] for count, keep in zip(texts, kept, strict=True)]), **tables}
