"""What the tasks share that tell tokens of a text: losses counted token by token, and how likely a text is."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from data.schema import WEIGHT
from models.tasks.base import Task


class Telling(Task):
    """Tokens told by scores of all the vocabulary; a row's loss is the mean of its tokens'."""

    def n_outputs(self, labels):
        return 0

    def head(self, family, n_outputs, labels):
        raise AssertionError("the scores of the vocabulary are what the family builds")

    @abstractmethod
    def asked(self, logits: Any, batch: Mapping[str, Any]) -> tuple:
        """Scores <float32>[B, U, size], the tokens that they are to tell <int32>[B, U], and where there is one
        <bool>[B, U]."""

    def losses(self, logits, batch):
        """Of each token told <float32>[B, U], 0 where there is none; and the last two of `asked`."""
        import tensorflow as tf

        scores, ids, here = self.asked(logits, batch)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, scores)
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
        right = here & (tf.argmax(self.asked(logits, batch)[0], axis=2, output_type=tf.int32) == ids)
        counts = {"tokens": here, "right": right}
        return {
            "loss": tf.reduce_sum(losses, axis=1),
            **{name: tf.reduce_sum(tf.cast(each, tf.int32), axis=1) for name, each in counts.items()},
        }

    def metrics(self, outcome, batch):
        """accuracy of the likeliest token, where those that it is told from are the right ones, and perplexity of a
        token."""
        rows = batch[WEIGHT] > 0
        loss, tokens, right = (outcome[name][rows].sum(dtype=np.float64) for name in ("loss", "tokens", "right"))
        if not tokens:
            return {"accuracy": 0.0, "perplexity": 1.0}
        return {"accuracy": float(right / tokens), "perplexity": float(np.exp(loss / tokens))}

    def answer(self, outcome, labels):
        """log_likelihood <float32>[N] in nats of all tokens, which are tokens <int32>[N], and perplexity of a token
        <float32>[N]. outcome: {loss, tokens} of whole texts."""
        import tensorflow as tf

        loss, tokens = outcome["loss"], outcome["tokens"]
        each = tf.math.divide_no_nan(loss, tf.cast(tokens, tf.float32))
        return {"log_likelihood": -loss, "tokens": tokens, "perplexity": tf.exp(each)}

    def likelihoods(self, found: Mapping, text, ends: int) -> dict:
        """`answer`; bits_per_byte <float32>[N], `ends` bytes more than the text has; unknown <int32>[N], tokens of
        words that the vocabulary lacks. found: {loss, tokens, unknown} of texts <string>[N]."""
        import tensorflow as tf

        size = tf.cast(tf.strings.length(text) + ends, tf.float32)
        bits = tf.math.divide_no_nan(found["loss"], np.log(2.0).astype(np.float32) * size)
        return {**self.answer(found, ()), "bits_per_byte": bits, "unknown": found["unknown"]}


def _count(here):
    """How many there are <float32>[B], 1 where there is none."""
    import tensorflow as tf

    return tf.maximum(tf.reduce_sum(tf.cast(here, tf.float32), axis=1), 1.0)
