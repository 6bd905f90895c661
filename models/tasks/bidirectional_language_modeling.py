"""Bidirectional language modelling: how likely a text is read forwards and read backwards."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from data.errors import ConfigError
from data.schema import TEXT
from models.tasks.base import Rows
from models.tasks.telling import Telling


class BidirectionalLanguageModeling(Telling):
    """Each token from those before it, and from those behind it, by two language models that share their word vectors
    and softmax (Peters et al. 2018, section 3.1).

    A row is a text between a begin and an end, or a piece of one that is too long.
    """

    stride: int | None = Field(
        None,
        ge=1,
        description="tokens by which the window moves over a text longer than transform.max_tokens, each told once in "
        "either direction, from as many before it as there is room for; half of max_tokens if silent",
    )

    needs: ClassVar[frozenset[str]] = frozenset({"bidirectional"})
    required: ClassVar[tuple[str, ...]] = (TEXT,)
    rows: ClassVar[Rows] = "pieces"
    special_tokens: ClassVar[str] = "bert"

    def bound(self, tokenizer):
        if None in (tokenizer.special.start, tokenizer.special.end):
            raise ConfigError(
                "tokenizer_gen: bidirectional_language_modeling tells the begin and the end of a text, and this "
                "tokenizer lacks a token for one of them; wanted one with both, such as any that is learned here"
            )
        return self

    def check_places(self, family, max_tokens):
        if max_tokens < 3:
            return [f"transform.max_tokens: got {max_tokens}, wanted 3 at least: a token between a begin and an end"]
        if self.stride is not None and self.stride > max_tokens - 2:
            return [
                f"trainer.head.stride: got {self.stride}, wanted {max_tokens - 2} at most: a window of "
                f"transform.max_tokens = {max_tokens} holds no more between a begin and an end"
            ]
        return []

    def encode(self, examples, labels, places):
        return {}

    def weights(self, store):
        """Tokens that a row tells in either direction."""
        return store.weights * (store.lengths + 1).astype(np.float32)

    def unpack(self, encoded, packed, batch):
        from models.two_way import told_both_ways

        return told_both_ways(encoded.sequence, packed)

    def asked(self, logits, batch):
        import tensorflow as tf

        ids = logits["ids"]
        return logits["logits"], tf.maximum(ids, 0), ids >= 0

    def signatures(self, served):
        """`serving_default`: how likely each text is, and by each direction."""
        from models.two_way import two_way_scores

        def score(text):
            """Of the text and its end, which counts as a byte; backwards of its begin in the end's place.
            log_likelihood is the mean of log_likelihood_forwards and log_likelihood_backwards <float32>[N]."""
            found = two_way_scores(served, self, text)
            sides = {f"log_likelihood_{side}": -found[side] for side in ("forwards", "backwards")}
            return {**self.likelihoods(found, text, ends=1), **sides}

        return {"serving_default": served.function(score, served.inputs)}
