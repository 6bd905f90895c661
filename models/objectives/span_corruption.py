"""Span corruption (Raffel et al. 2020, section 3.1.4): T5 writes the spans that sentinels stand for in its source."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from data.errors import ConfigError
from models.families.t5 import T5
from models.objectives.backbones import BackboneObjective

SENTINELS = 100  # rows of the word table behind the tokenizer's, as the published models have; the first is the last


class SpanCorruption(BackboneObjective):
    """A share of each text's tokens is lost in short spans, other ones every time it is read."""

    share: float = Field(0.15, gt=0, lt=1, description="of a text's tokens that are lost; one at least")
    span: float = Field(3.0, ge=1, description="mean number of tokens in a lost span")

    kind: ClassVar[type] = T5
    recommended = BackboneObjective.recommended | {
        "optimizer": {"name": "adafactor", "learning_rate": 1e-2, "schedule": "inverse_sqrt", "warmup": 0.1}
    }

    def defaults(self, family):
        return dict(self.recommended)  # Adafactor's rate is a share of each table's own scale

    def room(self, family, max_tokens):
        return max_tokens - 1  # for the end

    def sizes(self, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of rows of these lengths, how many tokens are lost, in how many spans; none of a row of one token."""
        lengths = lengths.astype(np.float32)
        tokens = np.minimum(np.maximum(np.round(np.float32(self.share) * lengths), 1), np.maximum(lengths - 1, 0))
        spans = np.maximum(np.round(tokens / np.float32(self.span)), 1)
        spans = np.minimum(spans, np.minimum(tokens, lengths - tokens))
        return tokens.astype(np.int32), spans.astype(np.int32)

    def weights(self, lengths):
        """Tokens that are written: the lost ones, the sentinels and the end."""
        tokens, spans = self.sizes(lengths)
        return (tokens + spans + 1).astype(np.float32)

    def build(self, family, vocabulary, counts, max_tokens):
        import keras
        import tensorflow as tf

        from models.layers import Arrays
        from models.objectives.spans import lost, with_sentinels

        if vocabulary.end is None:
            raise ConfigError(
                "tokenizer_gen: objective 'span_corruption' wants an end token, and this tokenizer has none; wanted "
                f"one with </s>, such as a '{family.default_tokenizer['kind']}' learned here"
            )
        family, (tokens, spans) = self.dropping(family), self.sizes(np.arange(max_tokens))
        if spans.max() > SENTINELS:
            raise ConfigError(
                f"pretrainer.max_tokens: got {max_tokens}, which makes {spans.max()} spans; wanted {SENTINELS} "
                "at most, the sentinels: a smaller max_tokens, or a longer span"
            )

        class Model(keras.Model):
            """Gives each row's mean loss over what is to be written <float32>[B]."""

            def __init__(self):
                super().__init__()
                larger = vocabulary._replace(size=vocabulary.size + SENTINELS)
                self.backbone = family.make_backbone(larger, max_tokens)
                self.decoder = family.decoder_of(self.backbone)
                self.sizes = Arrays({"tokens": tokens, "spans": spans})
                self.draws = keras.random.SeedGenerator()  # from the seed of the run

            def build(self, _):
                """Nothing to do: the decoder builds itself at the first call."""

            def call(self, batch, training=False):
                ids, length = batch["ids"], batch["length"]
                sizes = (tf.gather(self.sizes[name], length) for name in ("tokens", "spans"))
                drawn = tf.random.stateless_uniform(
                    [2, *tf.unstack(tf.shape(ids))], tf.cast(self.draws.next(), tf.int32)
                )
                gone, first = lost(drawn, length, *sizes), vocabulary.size + SENTINELS - 1
                source, mask = ended(*with_sentinels(ids, gone, length, first), vocabulary.end)
                target, told = ended(*with_sentinels(ids, ~gone, length, first), vocabulary.end)
                fed = tf.pad(target[:, :-1], [[0, 0], [1, 0]], constant_values=vocabulary.pad)
                packed = {"ids": source, "mask": mask, "target_ids": fed, "target_mask": told}
                logits = self.decoder.logits(self.decoder(packed, training=training).sequence)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
                counted = tf.cast(told, tf.float32)
                return tf.reduce_sum(losses * counted, axis=1) / tf.reduce_sum(counted, axis=1)

        def ended(ids, count, end):
            """ids <int32>[B, U + 1] with the end behind them, cut to the longest, and which there are <bool>."""
            longest = tf.reduce_max(count)
            place = tf.range(longest + 1)[None]
            ids = tf.pad(ids[:, :longest], [[0, 0], [0, 1]])
            return tf.where(place == count[:, None], end, ids), place <= count[:, None]

        model = Model()
        model({"ids": np.full([1, 3], vocabulary.end, np.int32), "length": np.array([3], np.int32)})
        return model
