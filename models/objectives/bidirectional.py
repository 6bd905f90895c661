"""The two-way language model that ELMo is pretrained as (Peters et al. 2018, section 3.1): each word from those before
it, and from those behind it, with one softmax for both directions.

Training takes a sample of the vocabulary for each batch and direction (Jean et al. 2015), drawn with replacement from
the log-uniform distribution, which fits ids that go by frequency; evaluation takes all words.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data.errors import ConfigError
from models.families.elmo import Elmo
from models.objectives.base import Objective


class Bidirectional(Objective):
    """Each word from those before it, and from those behind it."""

    samples: int = Field(4096, ge=0, description="words that stand for all others in a training step; 0: all of them")
    dropout: float = Field(0.1, ge=0, lt=1, description="on what each layer reads, and on the last one's output")

    measured: ClassVar[bool] = True
    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 10,
        "batch_tokens": 2048,
        "optimizer": {"name": "adam", "learning_rate": 2e-3, "schedule": "cosine", "warmup": 200},
    }

    def check(self, family):
        if not isinstance(family, Elmo) or family.hub:
            raise ConfigError(
                "pretrainer.objective: got 'bidirectional', which makes the language model of an ELMo; wanted "
                "trainer.family = 'elmo', without hub"
            )
        if family.weights:
            raise ConfigError(
                "trainer.family.weights: got a folder, and [pretrainer], which makes one; keep one of them"
            )

    def build(self, family, vocabulary, counts=None, max_tokens=None):
        """A model from a batch (ids, length, word_bytes) to nats a word <float32>[B, 2], forwards and backwards; the
        end and the begin of a sentence count as words. In training an estimate. Its `network` is the family's.

        family: an Elmo without hub. Raises ConfigError when the vocabulary has no start and end.
        """
        from models.objectives.bidirectional_layers import BidirectionalLm

        if None in (vocabulary.start, vocabulary.end):
            raise ConfigError(
                "tokenizer_gen.kind: objective 'bidirectional' wants words for the begin and end of a sentence, and "
                "this tokenizer has none; wanted 'words'"
            )
        marks = vocabulary.start, vocabulary.end
        return BidirectionalLm(family.network(self.dropout), vocabulary.size, marks, self.samples, self.dropout)

    def weights(self, lengths: np.ndarray) -> np.ndarray:
        """Words that a row is to say in each direction <float32>[rows]: so the mean over rows is one over words."""
        return (lengths + 1).astype(np.float32)

    def loss(self, nats, batch):
        """Mean nats a word of both directions <float32>[B]."""
        import tensorflow as tf

        return tf.reduce_mean(nats, axis=1)

    def metrics(self, nats: np.ndarray, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
        """perplexity: e to the mean nats a word, of both directions and of each."""
        forwards, backwards = np.average(nats.astype(np.float64), axis=0, weights=batch["weight"])
        return {
            "perplexity": float(np.exp((forwards + backwards) / 2)),
            "perplexity_forwards": float(np.exp(forwards)),
            "perplexity_backwards": float(np.exp(backwards)),
        }

    def save(self, model, directory: Path) -> str:
        """Writes the network below `directory` in the published format, and returns its folder there."""
        from models.published.elmo import write

        write(directory / "elmo", model.network)
        return "elmo"
