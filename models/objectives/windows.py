"""What skip-gram and CBOW share: words near each other, drawn negatives, and vectors to save (Mikolov et al. 2013)."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data.errors import DataError
from models.objectives.base import words_of
from models.objectives.word_vectors import WordObjective


class Windows(WordObjective):
    """Parameters and path of both; they differ in `row_losses`."""

    window: int = Field(5, ge=1, le=50, description="words on each side, at most: each word's own is drawn from 1 up")
    negatives: int = Field(5, ge=1, description="words drawn against each word, in proportion to their count ** 0.75")
    sample: float = Field(
        1e-3, ge=0, description="words more frequent than this share of all are dropped now and then; 0 keeps all"
    )

    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 5,
        "batch_tokens": 4096,
        "optimizer": {"name": "adam", "learning_rate": 0.01, "schedule": "linear", "clip_norm": None},
    }

    def build(self, family, vocabulary, counts, max_tokens=None):
        import keras
        import tensorflow as tf

        from models.layers import Arrays
        from models.rows import Rows

        size, width, words = vocabulary.size, family.vector_width, words_of(vocabulary)
        counted = np.zeros(size)
        counted[words] = counts[words]
        if not counted.any():
            raise DataError(
                "pretrainer: got a text without a word of the vocabulary; wanted some; look at tokenizer_gen"
            )
        tables = {"keep": _kept(counted, self.sample), "cumulative": _cumulative(counted)}
        objective = self

        class Model(keras.Model):
            """Gives each row's loss <float32>[B]: the sum over its words, per token of the row."""

            def __init__(self):
                super().__init__()
                self.words, self.family, self.vocabulary = family.word_rows(vocabulary), family, vocabulary
                self.outputs = Rows(np.zeros([size, width], np.float32))
                self.tables = Arrays(tables)
                self.draws = keras.random.SeedGenerator()  # from the seed of the run

            def build(self, batch_shapes):
                """Nothing to do: the parts are built."""

            def call(self, batch, training=False):
                ids, rows, near, there = objective.positions(self, batch)
                targets, counted = objective.targets(self, ids)
                found = objective.losses(self.words(ids), near, there, self.outputs(targets), counted)
                sums = tf.math.unsorted_segment_sum(found, rows, tf.shape(batch["ids"])[0])
                return sums / tf.maximum(tf.cast(batch["length"], tf.float32), 1.0)

        model = Model()
        model({"ids": np.full([1, 3], words[0], np.int32), "length": np.array([3], np.int32)})
        return model

    def positions(self, model, batch):
        """The words that stay: ids <int32>[n], their rows <int64>[n], the places around each <int32>[n, 2 * window],
        and whether a word is there and within the window drawn <bool>[n, 2 * window].
        """
        import tensorflow as tf

        ids = batch["ids"]
        inside = tf.range(tf.shape(ids)[1])[None, :] < batch["length"][:, None]
        drawn = tf.random.stateless_uniform(tf.shape(ids), tf.cast(model.draws.next(), tf.int32))
        stays = inside & (drawn < tf.gather(model.tables["keep"], ids))
        flat, rows = tf.boolean_mask(ids, stays), tf.where(stays)[:, 0]
        n = tf.size(flat)
        seed = tf.cast(model.draws.next(), tf.int32)
        reach = tf.random.stateless_uniform([n], seed, 1, self.window + 1, tf.int32)
        away = tf.constant([d for d in range(-self.window, self.window + 1) if d])
        near = tf.range(n)[:, None] + away[None, :]
        there = (near >= 0) & (near < n) & (tf.abs(away)[None, :] <= reach[:, None])
        near = tf.clip_by_value(near, 0, tf.maximum(n - 1, 0))
        return flat, rows, near, there & (tf.gather(rows, near) == rows[:, None])

    def targets(self, model, ids):
        """Each word and the negatives drawn against it <int32>[n, 1 + negatives], and which count <bool>: a negative
        that is the word itself does not."""
        import tensorflow as tf

        seed = tf.cast(model.draws.next(), tf.int32)
        drawn = tf.random.stateless_uniform([tf.size(ids) * self.negatives], seed)
        negatives = tf.searchsorted(model.tables["cumulative"], drawn, side="right")
        negatives = tf.reshape(negatives, [-1, self.negatives])
        counted = tf.concat([tf.ones_like(ids, tf.bool)[:, None], negatives != ids[:, None]], axis=1)
        return tf.concat([ids[:, None], negatives], axis=1), counted

    @abstractmethod
    def losses(self, vectors, near, there, outputs, counted):
        """The loss at each word <float32>[n].

        vectors <float32>[n, width]: the words'. near, there: as `positions` gives them. outputs <float32>[n, 1 +
        negatives, width]: the vectors of `targets`; counted <bool>[n, 1 + negatives].
        """

    def save(self, model, directory):
        return model.family.save_words(model.words, model.vocabulary, directory)


def against(scores, counted):
    """-log sigmoid of the first score and of the others' negation <float32>[..., 1 + negatives] (equation 4)."""
    import tensorflow as tf

    sign = tf.concat([-tf.ones_like(scores[..., :1]), tf.ones_like(scores[..., 1:])], axis=-1)
    return tf.where(counted, tf.math.softplus(sign * scores), 0.0)


def _kept(counts: np.ndarray, sample: float) -> np.ndarray:
    """Probability <float32>[size] that an occurrence stays: sqrt(t/f) + t/f, as word2vec.c has it; 0 for no words."""
    share = counts / counts.sum()
    safe = np.where(share > 0, share, 1.0)
    kept = np.minimum(np.sqrt(sample / safe) + sample / safe, 1.0) if sample else np.ones_like(safe)
    return np.where(share > 0, kept, 0.0).astype(np.float32)


def _cumulative(counts: np.ndarray) -> np.ndarray:
    """Upper ends <float32>[size] of each word's part of [0, 1), in proportion to count ** 0.75."""
    ends = np.cumsum(counts**0.75)
    ends /= ends[-1]
    ends[np.flatnonzero(counts)[-1] :] = 2.0  # beyond any number drawn
    return ends.astype(np.float32)
