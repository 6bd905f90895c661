"""Decoders small enough that every text can be tried, and what trying them finds."""

import numpy as np
import tensorflow as tf

from models.decoding import Prompt
from models.families.base import Vocabulary
from models.families.recurrent import Gru
from models.layers import Decoder

V = Vocabulary(size=7, pad=0, unknown=1, start=2, end=3)
TOKENS = (3, 4, 5, 6)  # what a text may have, end first
PROMPTS = [[2], [2, 5, 4, 6], [2, 6]]


def decoder(seed: int = 0, family=Gru, width: int = 8, sharp: float = 3.0) -> Decoder:
    """A causal decoder with weights large enough that its choices differ."""
    tf.keras.utils.set_random_seed(seed)
    made = family(width=width, embedding=width, dropout=0.0).build_decoder(V, 32, memory=False)
    made.logits(made({"ids": tf.constant([[2]]), "mask": tf.constant([[True]])}).sequence)
    for weight in made.trainable_weights:
        weight.assign(
            tf.random.stateless_normal(weight.shape, [seed, weight.shape.num_elements()]) * sharp / width**0.5
        )
    return made


def prompt(rows=PROMPTS) -> Prompt:
    lengths = [len(row) for row in rows]
    ids = [row + [V.pad] * (max(lengths) - len(row)) for row in rows]
    return Prompt(tf.constant(ids, tf.int32), tf.constant(lengths, tf.int32))


def log_probabilities(model: Decoder, ids: list[int]) -> np.ndarray:
    """Of the token after `ids`, from the whole text at once, special tokens left out <float64>[V]."""
    text = {"ids": tf.constant([ids]), "mask": tf.ones([1, len(ids)], tf.bool)}
    logits = model.logits(model(text).sequence)[0, -1].numpy().astype(np.float64)
    logits[[V.pad, V.unknown, V.start]] = -np.inf
    return logits - np.logaddexp.reduce(logits)


def texts(result, row: int = 0) -> list[list[int]]:
    return [ids[:n].tolist() for ids, n in zip(result.ids[row].numpy(), result.lengths[row].numpy(), strict=True)]


def every_text(
    model: Decoder, start: list[int], longest: int, penalty: float, ends: tuple[int, ...] = (V.end,)
) -> list[tuple[float, list[int]]]:
    """All texts of at most `longest` tokens, one of `ends` included, the best first."""
    found = []

    def grow(ids: list[int], score: float) -> None:
        made = len(ids) - len(start)
        scores = log_probabilities(model, ids)
        for token in TOKENS:
            total = score + scores[token]
            if token in ends or made + 1 == longest:
                kept = ids[len(start) :] + ([token] if token not in ends else [])
                found.append((total / ((6.0 + made) / 6) ** penalty, kept))
            else:
                grow([*ids, token], total)

    grow(start, 0.0)
    return sorted(found, reverse=True)
