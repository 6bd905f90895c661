"""What the tasks share that write text: a decoder's own logits, counted token by token, and how text is generated."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from data.errors import ConfigError
from data.schema import WEIGHT
from models.generation import Generation
from models.tasks.base import Task

if TYPE_CHECKING:
    from models.families.base import Family


class Writing(Task):
    """Tokens told one after another by a decoder; a row's loss is the mean of its tokens'."""

    generation: Generation | None = Field(
        None, description="table of how the exported model writes; see Generation below. Greedy if silent"
    )
    stop: tuple[str, ...] = Field((), description="texts that end what is written, and are cut from it")

    def n_outputs(self, labels):
        return 0

    def head(self, family, n_outputs, labels):
        raise AssertionError("a decoder's logits are the head")

    def unpack(self, encoded, packed, batch):
        return encoded.sequence

    @abstractmethod
    def told(self, batch: Mapping[str, Any]) -> tuple:
        """The tokens that a batch's rows tell <int32>[B, U] and where there is one <bool>[B, U]."""

    def losses(self, logits, batch):
        """Of each token told <float32>[B, U], 0 where there is none; and the two of `told`."""
        import tensorflow as tf

        ids, here = (each[:, : tf.shape(logits)[1]] for each in self.told(batch))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
        return tf.where(here, losses, 0.0), ids, here

    def loss(self, logits, batch):
        """Mean over a row's tokens <float32>[B]."""
        import tensorflow as tf

        losses, _, here = self.losses(logits, batch)
        return tf.reduce_sum(losses, axis=1) / _count(here)

    def outcome(self, logits, batch):
        """Of each row: loss <float32>[B], the sum of its tokens', tokens and those rightly told <int32>[B]."""
        import tensorflow as tf

        losses, ids, here = self.losses(logits, batch)
        right = here & (tf.argmax(logits, axis=2, output_type=tf.int32) == ids)
        counts = {"tokens": here, "right": right}
        return {
            "loss": tf.reduce_sum(losses, axis=1),
            **{name: tf.reduce_sum(tf.cast(each, tf.int32), axis=1) for name, each in counts.items()},
        }

    def metrics(self, outcome, batch):
        """accuracy of the likeliest token, where the ones before it are the right ones, and perplexity of a token."""
        rows = batch[WEIGHT] > 0
        loss, tokens, right = (outcome[name][rows].sum(dtype=np.float64) for name in ("loss", "tokens", "right"))
        if not tokens:
            return {"accuracy": 0.0, "perplexity": 1.0}
        return {"accuracy": float(right / tokens), "perplexity": float(np.exp(loss / tokens))}

    def check_places(self, family, max_tokens):
        try:
            self.generation_of(family, max_tokens)
        except ConfigError as error:
            return list(error.problems)
        return []

    def generation_of(self, family: "Family", max_tokens: int) -> Generation:
        """How the exported model writes: of tokens as many as the config says, or as there are places for. Raises
        ConfigError where it says more."""
        chosen, places = self.generation or Generation(), max(max_tokens - 1, 1)
        if family.endless or chosen.max_tokens <= places:
            return chosen
        for name, most in (("max_tokens", places), ("min_tokens", places - 1)):
            if name in chosen.model_fields_set and getattr(chosen, name) > most:
                raise ConfigError(
                    f"trainer.head.generation.{name}: got {getattr(chosen, name)}, wanted {most} at most: the model "
                    f"has no places for more; raise transform.max_tokens = {max_tokens}"
                )
        return Generation(**chosen.model_dump(exclude_unset=True) | {"max_tokens": places})


def _count(here):
    """How many there are <float32>[B], 1 where there is none."""
    import tensorflow as tf

    return tf.maximum(tf.reduce_sum(tf.cast(here, tf.float32), axis=1), 1.0)
