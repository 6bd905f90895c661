"""Packing: raw token ids to what an encoder reads, in the graph, the same in training and in the SavedModel.

    ids [[7, 8, 9]], length [3]  ->  [CLS] 7 8 9 [SEP]              segment_ids 0 0 0 0 0
    and ids_pair [[5]], length_pair [1]  ->  [CLS] 7 8 9 [SEP] 5 [SEP]    segment_ids 0 0 0 0 0 1 1

This is the scheme "bert"; a family names the one that its published models were trained with.
Only core TensorFlow ops (TF Serving does not link TF Text's trimmers in every version), and static
shapes in give static shapes out, so the same code compiles for TPU.
"""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from data.schema import IDS, IDS_PAIR, LENGTH, LENGTH_PAIR
from models.families.base import Vocabulary


class Scheme(NamedTuple):
    """How many start tokens open a row, how many separators part a text from its pair, how many ends close it."""

    start: int
    between: int
    end: int


SCHEMES = {
    "": Scheme(0, 1, 0),  # a, and a | b where there is a pair
    "bert": Scheme(1, 1, 1),  # [CLS] a [SEP], and [CLS] a [SEP] b [SEP]
    "roberta": Scheme(1, 2, 1),  # <s> a </s>, and <s> a </s></s> b </s>
    "t5": Scheme(0, 1, 1),  # a </s>, and a </s> b </s>
}


def pack(
    batch: Mapping[str, tf.Tensor], vocabulary: Vocabulary, max_tokens: int, special_tokens: str
) -> dict[str, tf.Tensor]:
    """Joins text and pair with the special tokens of a scheme, and cuts to `max_tokens`, longest text first.

    batch: ids <int32>[B, L], length <int32>[B] and, for pairs, ids_pair <int32>[B, M], length_pair <int32>[B];
      L and M at least 1.
    Returns ids <int32>[B, T], mask <bool>[B, T] (True where there is a token) and segment_ids <int32>[B, T]
    (1 for the pair and its end), T = min(L + M + special tokens, max_tokens).
    """
    scheme, pairs, length = SCHEMES[special_tokens], IDS_PAIR in batch, batch[LENGTH]
    opening = _tokens(vocabulary.start, scheme.start, 0)
    closing = _tokens(vocabulary.end, scheme.end, int(pairs))
    room = max_tokens - added_tokens(special_tokens, pairs)
    if pairs:
        separators = _tokens(separator_id(vocabulary), scheme.between, 0)
        length, length_pair = _longest_first(length, batch[LENGTH_PAIR], room)
        pieces = [*opening, (batch[IDS], length, 0), *separators, (batch[IDS_PAIR], length_pair, 1), *closing]
    else:
        length = tf.minimum(length, room)
        pieces = [*opening, (batch[IDS], length, 0), *closing]
    return _concatenate(pieces, tf.shape(length)[0], max_tokens, vocabulary.pad)


def separator_id(vocabulary: Vocabulary) -> int:
    """The id between a text and its pair: end, or unknown where there is none, or pad."""
    return next(token for token in (vocabulary.end, vocabulary.unknown, vocabulary.pad) if token is not None)


def added_tokens(special_tokens: str, pairs: bool) -> int:
    """How many tokens packing adds to a row."""
    scheme = SCHEMES[special_tokens]
    return scheme.start + scheme.end + scheme.between * pairs


def _tokens(token: int | None, times: int, segment: int) -> list[tuple[tf.Tensor, int, int]]:
    return [(tf.constant([[token]], tf.int32), 1, segment) for _ in range(times)]


def _longest_first(length: tf.Tensor, length_pair: tf.Tensor, room: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Lengths after taking tokens one by one from the longer text (from the pair when equal) until they fit."""
    half = room // 2
    return (
        tf.minimum(length, tf.maximum(room - length_pair, room - half)),
        tf.minimum(length_pair, tf.maximum(room - length, half)),
    )


def _concatenate(pieces: list[tuple], rows: tf.Tensor, max_tokens: int, pad: int) -> dict[str, tf.Tensor]:
    """Lays the first `count` ids of each piece (ids <int32>[B or 1, L], count, segment) one after another."""
    widths = [tf.shape(ids)[1] for ids, _, _ in pieces]
    position = tf.range(tf.minimum(tf.add_n(widths), max_tokens))[None, :]
    packed = {IDS: pad, "segment_ids": 0}
    offset = tf.zeros([rows, 1], tf.int32)
    for (ids, count, segment), width in zip(pieces, widths, strict=True):
        count = tf.reshape(count, [-1, 1])
        inside = (position >= offset) & (position < offset + count)
        ids = tf.broadcast_to(ids, [rows, width])
        here = tf.gather(ids, tf.clip_by_value(position - offset, 0, width - 1), batch_dims=1)
        packed = {
            IDS: tf.where(inside, here, packed[IDS]),
            "segment_ids": tf.where(inside, segment, packed["segment_ids"]),
        }
        offset += count
    return {**packed, "mask": position < offset}
