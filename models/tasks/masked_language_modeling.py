"""Masked language modelling: how likely each token of a text is beside all others, and what fits into a gap."""

from math import ceil
from typing import ClassVar

from pydantic import Field

from data.errors import ConfigError
from data.schema import IDS, TEXT
from models.hiding import Hidden
from models.tasks.base import Rows
from models.tasks.telling import Telling


class MaskedLanguageModeling(Hidden, Telling):
    """Hidden tokens from those around them (Devlin et al. 2019, section 3.1), other ones every time a text is read.

    A row is a text, or a piece of one that is too long: as the model is asked about texts by themselves, it learns from
    them by themselves (which Liu et al. 2019, section 4.2, found no worse than going on with the next text).
    """

    top: int = Field(5, ge=1, description="tokens that `fill_mask` answers for each gap")
    spacing: int | None = Field(
        None,
        ge=1,
        description="in a text longer than transform.max_tokens, tokens whose likelihood is measured in one pass stand "
        "so many apart; 1 / share if silent, so that no more are hidden than in training. As many as max_tokens: each "
        "by itself, as in shorter texts, in as many passes",
    )

    needs: ClassVar[frozenset[str]] = frozenset({"sequence", "masked"})
    required: ClassVar[tuple[str, ...]] = (TEXT,)
    rows: ClassVar[Rows] = "pieces"

    def bound(self, tokenizer):
        if tokenizer.special.mask is None:
            raise ConfigError(
                "tokenizer_gen: masked_language_modeling hides tokens behind a mask token, and this tokenizer has "
                "none; wanted one with [MASK] or <mask>, such as any that is learned here"
            )
        return self

    @property
    def together(self) -> int:
        """How far apart tokens are that are hidden together."""
        return self.spacing or ceil(1 / self.share)

    def encode(self, examples, labels, places):
        return {}

    def weights(self, store):
        """Tokens that a row tells."""
        return store.weights * self.to_tell(store.lengths)

    def unpack(self, encoded, packed, batch):
        """The vectors of the hidden tokens, and their places in the text."""
        import tensorflow as tf

        return {"vectors": tf.gather(encoded.sequence, packed["told"], batch_dims=1), "place": packed["told_place"]}

    def asked(self, logits, batch):
        import tensorflow as tf

        place = logits["place"]
        ids = tf.gather(tf.convert_to_tensor(batch[IDS]), tf.maximum(place, 0), batch_dims=1)
        return logits["logits"], ids, place >= 0

    def signatures(self, served):
        """`serving_default`: how likely each text is, token by token; `fill_mask`: what fits where it has gaps."""
        from models.filling import filling
        from models.pseudo_likelihood import pseudo_scores

        def score(text):
            """Of the text's own tokens: no end is told."""
            return self.likelihoods(pseudo_scores(served, self, text), text, ends=0)

        return {
            "serving_default": served.function(score, served.inputs),
            "fill_mask": served.function(filling(served, self.top), served.inputs),
        }
