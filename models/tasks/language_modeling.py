"""Language modelling: how likely a text is, token by token, and what may come after it."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from data.schema import IDS, LENGTH, TEXT
from models.tasks.base import Rows
from models.tasks.writing import Writing


class LanguageModeling(Writing):
    """Each token from those before it (Bengio et al. 2003, equation 1), over blocks of contiguous text.

    Texts follow one another in the order of the files, an end token after each: as a text's first token is told from
    the end of the one before, an end token comes before a text that is asked about by itself.
    """

    stride: int | None = Field(
        None,
        ge=1,
        description="tokens by which the window moves over a text longer than transform.max_tokens, each told once, "
        "from as many before it as there is room for; half of max_tokens if silent",
    )

    needs: ClassVar[frozenset[str]] = frozenset({"causal"})
    required: ClassVar[tuple[str, ...]] = (TEXT,)
    rows: ClassVar[Rows] = "blocks"

    def check_places(self, family, max_tokens):
        problems = super().check_places(family, max_tokens)
        if self.stride is not None and self.stride >= max_tokens:
            problems.append(
                f"trainer.head.stride: got {self.stride}, wanted {max_tokens - 1} at most: a window of "
                f"transform.max_tokens = {max_tokens} tells no more"
            )
        if self.generation and self.generation.coverage_penalty:
            problems.append("trainer.head.generation.coverage_penalty: there is no source to cover; wanted 0")
        return problems

    def encode(self, examples, labels, places):
        return {}

    def weights(self, store):
        """Tokens that a block tells: all but its first."""
        return store.weights * np.maximum(store.lengths - 1, 0).astype(np.float32)

    def unpack(self, encoded, packed, batch):
        return encoded.sequence[:, :-1]  # after a block's last token none is told

    def told(self, batch):
        import tensorflow as tf

        ids = tf.convert_to_tensor(batch[IDS])
        return ids[:, 1:], tf.sequence_mask(batch[LENGTH] - 1, tf.shape(ids)[1] - 1)

    def signatures(self, served):
        """`serving_default`: how likely each text is; `generate`: what comes after it."""
        from models.scoring import scores
        from models.writing import generation

        def score(text):
            """Of the text and its end, which counts as a byte."""
            return self.likelihoods(scores(served, self, text), text, ends=1)

        return {
            "serving_default": served.function(score, served.inputs),
            "generate": served.function(generation(served, self), served.inputs),
        }

    def functions(self, served):
        from models.writing import Writer

        return Writer(served, memory=False)
