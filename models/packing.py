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

from data.schema import (
    IDS,
    IDS_PAIR,
    LENGTH,
    LENGTH_PAIR,
    LENGTHS,
    TARGET_IDS,
    TARGET_LENGTH,
    WORD_BYTES,
    WORD_BYTES_PAIR,
    WORDS,
)
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
      L and M at least 1. For families that read the bytes of words, word_bytes <uint8>[B, L, W] and, for pairs,
      word_bytes_pair <uint8>[B, M, W]. With target_ids, what `pack_target` gives is in it too.
    Returns ids <int32>[B, T], mask <bool>[B, T] (True where there is a token), segment_ids <int32>[B, T] (1 for the
    pair and its end) and place <int32>[B, T], each token's place in its own text, -1 for what packing adds;
    T = min(L + M + special tokens, max_tokens), or where L or M is not static the longest row's; and word_bytes
    <uint8>[B, T, W] where the batch has them, zeros for special tokens.
    """
    length, width = batch[LENGTH], batch[WORD_BYTES].shape[2] if WORD_BYTES in batch else 0
    scheme, pairs = SCHEMES[special_tokens], IDS_PAIR in batch
    text = {IDS: tf.convert_to_tensor(batch[IDS]), **({WORD_BYTES: batch[WORD_BYTES]} if width else {})}
    opening = _tokens(vocabulary.start, scheme.start, 0, width)
    closing = _tokens(vocabulary.end, scheme.end, int(pairs), width)
    room = max_tokens - added_tokens(special_tokens, pairs)
    if pairs:
        pair = {IDS: tf.convert_to_tensor(batch[IDS_PAIR]), **({WORD_BYTES: batch[WORD_BYTES_PAIR]} if width else {})}
        separators = _tokens(separator_id(vocabulary), scheme.between, 0, width)
        length, length_pair = _longest_first(length, batch[LENGTH_PAIR], room)
        pieces = [*opening, (text, length, 0), *separators, (pair, length_pair, 1), *closing]
    else:
        length = tf.minimum(length, room)
        pieces = [*opening, (text, length, 0), *closing]
    target = pack_target(batch, vocabulary.first, max_tokens) if TARGET_IDS in batch else {}
    return _concatenate(pieces, tf.shape(length)[0], max_tokens, vocabulary.pad) | target


def pack_target(batch: Mapping[str, tf.Tensor], first: int, max_tokens: int) -> dict[str, tf.Tensor]:
    """What a decoder with a memory is fed: target_ids <int32>[B, U], the target behind `first`, a token of all rows,
    and target_mask <bool>[B, U]; U at most max_tokens, so that there is a place for what each of them tells."""
    ids, length = tf.convert_to_tensor(batch[TARGET_IDS]), tf.convert_to_tensor(batch[TARGET_LENGTH])
    fed = tf.pad(ids, [[0, 0], [1, 0]], constant_values=first)[:, :max_tokens]
    return {TARGET_IDS: fed, "target_mask": tf.sequence_mask(length + 1, tf.shape(fed)[1])}


def apart(batch: Mapping[str, tf.Tensor]) -> list[dict[str, tf.Tensor]]:
    """Each text of a batch as a batch of its own: the text, its pair, its negative, those that there are."""
    texts = [ids for ids in LENGTHS if ids in batch and ids != TARGET_IDS]
    names = [{IDS: ids, LENGTH: LENGTHS[ids], WORD_BYTES: WORDS[ids]} for ids in texts]
    return [{name: batch[own] for name, own in each.items() if own in batch} for each in names]


def separator_id(vocabulary: Vocabulary) -> int:
    """The id between a text and its pair: end, or unknown where there is none, or pad."""
    return next(token for token in (vocabulary.end, vocabulary.unknown, vocabulary.pad) if token is not None)


def added_tokens(special_tokens: str, pairs: bool) -> int:
    """How many tokens packing adds to a row."""
    scheme = SCHEMES[special_tokens]
    return scheme.start + scheme.end + scheme.between * pairs


def _tokens(token: int | None, times: int, segment: int, width: int) -> list[tuple[dict[str, tf.Tensor], int, int]]:
    no_word = {WORD_BYTES: tf.zeros([1, 1, width], tf.uint8)} if width else {}
    return [({IDS: tf.constant([[token]], tf.int32), **no_word}, 1, segment) for _ in range(times)]


def _longest_first(length: tf.Tensor, length_pair: tf.Tensor, room: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Lengths after taking tokens one by one from the longer text (from the pair when equal) until they fit."""
    half = room // 2
    return (
        tf.minimum(length, tf.maximum(room - length_pair, room - half)),
        tf.minimum(length_pair, tf.maximum(room - length, half)),
    )


def _concatenate(pieces: list[tuple], rows: tf.Tensor, max_tokens: int, pad: int) -> dict[str, tf.Tensor]:
    """Lays the first `count` tokens of each piece (columns <...>[B or 1, L, ...], count, segment) one after another."""
    widths = [tf.shape(columns[IDS])[1] for columns, _, _ in pieces]
    total = tf.minimum(tf.add_n(widths), max_tokens)
    if any(columns[IDS].shape[1] is None for columns, _, _ in pieces):
        longest = tf.reduce_max(tf.add_n([tf.broadcast_to(count, [rows]) for _, count, _ in pieces]))
        total = tf.minimum(total, tf.maximum(longest, 1))
    position = tf.range(total)[None, :]
    packed: dict[str, tf.Tensor] = {"segment_ids": 0, "place": -1}
    offset = tf.zeros([rows, 1], tf.int32)
    for (columns, count_of, segment), width in zip(pieces, widths, strict=True):
        count = tf.reshape(count_of, [-1, 1])
        inside = (position >= offset) & (position < offset + count)
        place = tf.clip_by_value(position - offset, 0, width - 1)
        packed["segment_ids"] = tf.where(inside, segment, packed["segment_ids"])
        if isinstance(count_of, tf.Tensor):  # of a text, not of special tokens
            packed["place"] = tf.where(inside, position - offset, packed["place"])
        for name, values in columns.items():
            values = tf.broadcast_to(values, tf.concat([[rows], tf.shape(values)[1:]], axis=0))
            here = tf.gather(values, place, batch_dims=1)
            filler = tf.cast(pad if name == IDS else 0, values.dtype)
            shown = tf.reshape(inside, tf.concat([tf.shape(inside), [1] * (here.shape.rank - 2)], axis=0))
            packed[name] = tf.where(shown, here, packed.get(name, filler))
        offset += count
    return {**packed, "mask": position < offset}


def tokens_of(vectors: tf.Tensor, packed: Mapping[str, tf.Tensor], segment: int, width: tf.Tensor) -> tuple:
    """The vectors of one text's own tokens, in its own places: what packing laid out, taken apart again.

    vectors <float>[B, T, ...]; packed: as `pack` gives it; segment: 0 for the text, 1 for its pair; width: L or M.
    Returns <float>[B, width, ...] and where there is a token that packing did not cut, <bool>[B, width].
    """
    here = (packed["segment_ids"] == segment) & (packed["place"] >= 0)
    first = tf.argmax(tf.cast(here, tf.int32), axis=1, output_type=tf.int32)[:, None]
    place = tf.range(width)[None, :]
    index = tf.minimum(first + place, tf.shape(here)[1] - 1)
    keep = tf.gather(here, index, batch_dims=1) & (tf.gather(packed["place"], index, batch_dims=1) == place)
    return tf.gather(vectors, index, batch_dims=1), keep
