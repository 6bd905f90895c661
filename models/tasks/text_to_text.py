"""Text to text: a target written for a source, as in translation, summaries and answers in one's own words."""

from typing import ClassVar

from pydantic import Field, PrivateAttr

from data.errors import ConfigError
from data.schema import IDS, LENGTH, TARGET, TARGET_IDS, TARGET_LENGTH, TEXT, WEIGHT
from models.tasks.writing import Writing

PREFIX = "prefix"


class TextToText(Writing):
    """Each token of the target from the source and those before it, the right ones in training (teacher forcing); an
    end token closes the target, which is cut at transform.max_tokens.

    A field `prefix` is written before the row's text, a space between: what is to be done with it, where a model learns
    several things.
    """

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread evenly over all tokens")
    prefix: str = Field("", description="tokens of this text come before every source, in the exported model too")
    reverse_source: bool = Field(
        False, description="read the source from its end (Sutskever et al. 2014), in the exported model too"
    )

    needs: ClassVar[frozenset[str]] = frozenset({"encoder_decoder"})
    required: ClassVar[tuple[str, ...]] = (TEXT, TARGET)
    optional: ClassVar[tuple[str, ...]] = (PREFIX, WEIGHT)
    kinds: ClassVar = {PREFIX: "any"}

    _before: tuple[int, ...] = PrivateAttr(())  # ids of the prefix
    _end: int = PrivateAttr(-1)

    @classmethod
    def complete(cls, columns):
        import pyarrow.compute as pc

        columns = dict(columns)
        if PREFIX in columns:
            columns[TEXT] = pc.utf8_ltrim_whitespace(
                pc.binary_join_element_wise(columns.pop(PREFIX), columns[TEXT], " ")
            )
        return columns, []

    def encode(self, examples, labels, places):
        return {}

    def weights(self, store):
        """Tokens that a target tells, its end among them, so that each counts the same."""
        return store.weights * (store.columns[TARGET_IDS].lengths + 1).astype("float32")

    def bound(self, tokenizer):
        if tokenizer.special.end is None:
            raise ConfigError(
                "tokenizer_gen: text_to_text ends a target with an end token, and this tokenizer has none"
            )
        bound = self.model_copy()
        bound._before, bound._end = tuple(tokenizer.encode([self.prefix])[0].tolist()), tokenizer.special.end
        return bound

    def arranged(self, batch):
        """The source's tokens, from the last one where they are to be reversed, behind those of the prefix."""
        import tensorflow as tf

        ids, length = tf.convert_to_tensor(batch[IDS]), tf.convert_to_tensor(batch[LENGTH])
        if self.reverse_source:
            ids = tf.reverse_sequence(ids, length, seq_axis=1)
        if self._before:
            before = tf.tile(tf.constant([self._before], tf.int32), [tf.shape(ids)[0], 1])
            ids, length = tf.concat([before, ids], axis=1), length + len(self._before)
        return {name: batch[name] for name in (TARGET_IDS, TARGET_LENGTH) if name in batch} | {IDS: ids, LENGTH: length}

    def told(self, batch):
        """The target and its end."""
        import tensorflow as tf

        ids, length = tf.convert_to_tensor(batch[TARGET_IDS]), tf.convert_to_tensor(batch[TARGET_LENGTH])[:, None]
        ids = tf.pad(ids, [[0, 0], [0, 1]])
        places = tf.range(tf.shape(ids)[1])[None, :]
        return tf.where(places == length, self._end, ids), places <= length

    def loss(self, logits, batch):
        """Mean over a row's tokens <float32>[B], smoothed (Szegedy et al. 2016, section 7)."""
        import tensorflow as tf

        if not self.label_smoothing:
            return super().loss(logits, batch)
        losses, ids, here = self.losses(logits, batch)
        # The mean of -log p over all tokens is log Z - mean(logits), and log Z the loss and the told token's logit.
        evenly = losses + tf.gather(logits, ids, batch_dims=2) - tf.reduce_mean(logits, axis=2)
        smoothed = (1 - self.label_smoothing) * losses + self.label_smoothing * tf.where(here, evenly, 0.0)
        tokens = tf.maximum(tf.reduce_sum(tf.cast(here, tf.float32), axis=1), 1.0)
        return tf.reduce_sum(smoothed, axis=1) / tokens

    def answer(self, written, labels):
        """text <string>[N] and score <float32>[N]; texts and scores [N, n_best] where several are wanted."""
        return written

    def signatures(self, served):
        from models.writing import generation

        return {"serving_default": served.function(generation(served, self), served.inputs)}

    def functions(self, served):
        from models.writing import Writer

        return Writer(served, memory=True)
