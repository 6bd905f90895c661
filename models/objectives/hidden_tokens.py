"""What the objectives share that hide tokens and have them told from those around (Devlin et al. 2019, section 3.1)."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from data.errors import ConfigError
from data.schema import IDS, IDS_PAIR, LENGTH, LENGTH_PAIR
from models.families.bert import MaskedFamily
from models.families.pretrained import Pretrained
from models.hiding import Hidden, begins_word
from models.objectives.backbones import BackboneObjective
from models.objectives.base import words_of


class HiddenTokens(Hidden, BackboneObjective):
    """A share of each row's tokens is hidden, other ones every time it is read (as Liu et al. 2019 do)."""

    kind: ClassVar[type[Pretrained] | tuple[type[Pretrained], ...]] = MaskedFamily
    fixed_length: ClassVar[bool] = True

    def room(self, family, max_tokens):
        from models.packing import added_tokens

        return max_tokens - added_tokens(family.special_tokens, pairs=self.data == "sentences")

    def weights(self, lengths):
        """Tokens that are to be told, so that the mean over rows is one over these."""
        return self.to_tell(lengths)

    def build(self, family, vocabulary, counts, max_tokens):
        import keras
        import tensorflow as tf

        from models.layers import Arrays
        from models.masked_head import head_of
        from models.objectives.masking import choose, replace
        from models.packing import pack

        objective, family, tables = self, self.dropping(family), self._tables(family, vocabulary)

        class Model(keras.Model):
            """Gives each row's mean loss over its chosen tokens <float32>[B], 0 where a row has only special ones.

            Of two texts a row, <float32>[B, 3]: that loss, and the logits of what the second one is to the first.
            """

            def __init__(self):
                super().__init__()
                self.encoder = family.build(vocabulary, max_tokens, 1, {})
                self.backbone = self.encoder.parts["backbone"]
                self.head = head_of(self.backbone.token_embedding, self.backbone.hidden_dim)
                self.lesson = objective.lesson(self, family, vocabulary, max_tokens)
                self.relation = keras.layers.Dense(2, name="relation") if objective.data == "sentences" else None
                self.tables = Arrays(tables)
                self.draws = keras.random.SeedGenerator()  # from the seed of the run

            def build(self, _):
                """Nothing to do: the parts build themselves at the first call."""

            def call(self, batch, training=False):
                packed = pack(batch, vocabulary, max_tokens, family.special_tokens)
                ids, shape = packed["ids"], tf.shape(packed["ids"])
                tellable = packed["mask"] & ~tf.gather(self.tables["special"], ids)
                begins = tf.gather(self.tables["begins"], ids) if objective.whole_words else None
                chosen = choose(self.uniform(shape), tellable, begins, objective.share)
                rates, words = (objective.hidden, objective.random), self.tables["words"]
                read = replace(self.uniform(shape), self.uniform(shape), ids, words, vocabulary.mask, rates)
                packed["ids"] = tf.where(chosen, read, ids)
                encoded = self.encoder(packed, training=training)
                places = tf.where(tf.reshape(chosen, [-1]))[:, 0]
                flat = tf.reshape(encoded.sequence, [1, -1, encoded.sequence.shape[-1]])
                logits = tf.cast(self.head(flat, places[None])[0], tf.float32)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.boolean_mask(ids, chosen), logits)
                losses, away = self.lesson(packed, encoded, places, logits, losses) if self.lesson else (losses, 0.0)
                sums = tf.math.unsorted_segment_sum(losses, tf.where(chosen)[:, 0], shape[0])
                means = sums / tf.maximum(tf.reduce_sum(tf.cast(chosen, tf.float32), axis=1), 1.0) + away
                if self.relation is None:
                    return means
                return tf.concat([means[:, None], tf.cast(self.relation(encoded.pooled), tf.float32)], axis=1)

            def uniform(self, shape):
                return tf.random.stateless_uniform(shape, tf.cast(self.draws.next(), tf.int32))

        model, words = Model(), np.full([1, 3], words_of(vocabulary)[0], np.int32)
        row = {IDS: words, LENGTH: np.array([3], np.int32)}
        model(row | ({IDS_PAIR: words, LENGTH_PAIR: row[LENGTH]} if self.data == "sentences" else {}))
        return model

    def lesson(self, model, family, vocabulary, max_tokens: int) -> Callable | None:
        """What another model has to say of a batch; called with what the model read, what it made of it, the places of
        the chosen tokens, their logits and losses, it gives their losses and what is added to each row's."""
        return None

    def save(self, model, directory):
        """With the preset, what tells the hidden tokens: a teacher needs it."""
        from models.masked_head import save_head

        start = super().save(model, directory)
        save_head(model.head, directory / start)
        return start

    def _tables(self, family, vocabulary) -> dict[str, np.ndarray]:
        """By id: special <bool>[size] and, for whole words, begins <bool>[size]; words <int32>: ids to draw from."""
        if vocabulary.mask is None:
            raise ConfigError(
                "tokenizer_gen: this objective wants a mask token, and this tokenizer has none; wanted "
                f"one with [MASK] or <mask>, such as a '{family.default_tokenizer['kind']}' learned here"
            )
        special = np.zeros(vocabulary.size, bool)
        special[sorted(vocabulary.special)] = True
        tables = {"special": special, "words": np.array(words_of(vocabulary), np.int32)}
        return {**tables, "begins": begins_word(vocabulary.words)} if self.whole_words else tables
