"""What the objectives share that read two segments of documents, and tell hidden tokens and how the two belong."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import numpy as np

from data.schema import CLASS, WEIGHT
from models.families.bert import Albert, Bert
from models.objectives.hidden_tokens import HiddenTokens

Pair = tuple[np.ndarray, np.ndarray, int]  # ids <int32>[n] and [m], and 1 if the second goes on from the first, else 0


class SentencePairs(HiddenTokens):
    """For families whose text vector comes through a layer of the backbone's own: the pairs train it, and it is saved.

    The loss is that of the hidden tokens, a mean over tokens, plus that of the pairs, a mean over rows.
    """

    kind: ClassVar = (Bert, Albert)
    data: ClassVar[Literal["rows", "pairs", "blocks", "sentences"]] = "sentences"

    @abstractmethod
    def pairs(
        self, documents: Sequence[Sequence[np.ndarray]], room: int, random: np.random.Generator
    ) -> Iterator[Pair]:
        """Pairs of segments of documents, each a list of the ids <int32>[n] of its sentences. Runs in a worker.

        room: tokens that both segments have together; the last sentence may go beyond it, to be cut.
        """

    def loss(self, outputs, batch):
        import tensorflow as tf

        pair = tf.nn.sparse_softmax_cross_entropy_with_logits(batch[CLASS], outputs[:, 1:])
        share = tf.math.divide_no_nan(tf.reduce_mean(batch[WEIGHT]), batch[WEIGHT])  # rows weigh by their tokens
        return outputs[:, 0] + pair * share

    def metrics(self, outputs, batch):
        """perplexity, as of the masked language model, and pair_accuracy: the share of pairs told right."""
        right = np.argmax(outputs[:, 1:], axis=1) == batch[CLASS]
        return {**super().metrics(outputs[:, 0], batch), "pair_accuracy": float(np.mean(right))}


def segments(sentences: Sequence[np.ndarray], start: int, room: int, random: np.random.Generator) -> tuple[int, int]:
    """Where the second segment of a pair begins, and where it ends: of the sentences from `start`, two at least.

    As many as fill the room, cut in two anywhere between sentences (Devlin et al. 2019's own code); a last sentence
    that would stand alone comes along.
    """
    lengths = np.cumsum([len(sentence) for sentence in sentences[start:]])
    end = start + max(int(np.searchsorted(lengths, room)) + 1, 2)
    end = len(sentences) if len(sentences) - end <= 1 else end
    return int(random.integers(start + 1, end)), end
