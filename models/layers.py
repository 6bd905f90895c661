"""Keras layers that families share, and the model that joins packing, encoder and head."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from data.schema import FROZEN
from models.families.base import COVERAGE
from models.packing import apart


class TextModel(keras.Model):
    """From a batch (data/schema.py) to logits: packs, encodes, answers.

    pack: batch to packed ids; encoder: packed ids to Encoded; unpack: (Encoded, packed, batch) to what the head reads.
    hide: (packed ids, training) to packed ids of which some are hidden, for a head that tells them.
    apart: each text of a row is packed and encoded by itself, by the same weights; the head reads a list of them.
    """

    def __init__(
        self,
        pack: Callable,
        encoder: keras.layers.Layer,
        unpack: Callable,
        head: keras.layers.Layer,
        apart: bool = False,
        hide: keras.layers.Layer | None = None,
    ):
        super().__init__()
        self.hide = hide
        self.pack, self.encoder, self.unpack, self.head, self.apart = pack, encoder, unpack, head, apart
        self.resources = getattr(encoder, "resources", ())
        self.reads_source = False  # the encoder is a decoder with a memory

    def read(self, packed: Mapping[str, tf.Tensor]):
        """Encoded of the texts, without what is to be told of them."""
        return (self.encoder.encode if self.reads_source else self.encoder)(packed, training=False)

    def call(self, batch: Mapping[str, tf.Tensor], training: bool = False) -> Any:
        """Logits, a tensor or a nest of them, in float32, whatever the precision inside."""
        if self.apart:
            return in_float32(self.head([self._alone(text, training) for text in apart(batch)]))
        packed, encoded = self.encode(batch, training)
        return self.answer(encoded, packed, batch)

    def _alone(self, batch: Mapping[str, tf.Tensor], training: bool) -> Any:
        packed, encoded = self.encode(batch, training)
        return self.unpack(encoded, packed, batch)

    def encode(self, batch: Mapping[str, tf.Tensor], training: bool = False):
        """The packed batch, and Encoded of it."""
        packed = self.pack(batch)
        if self.hide is not None:
            packed = self.hide(packed, training=training)
        if FROZEN in batch:
            packed[FROZEN] = _fit(batch[FROZEN], tf.shape(packed["mask"])[1])
        return packed, self.encoder(packed, training=training)

    def answer(self, encoded, packed: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> Any:
        return in_float32(self.head(self.unpack(encoded, packed, batch)))


def in_float32(values: Any) -> Any:
    """A nest of tensors with its floats in single precision."""
    return tf.nest.map_structure(lambda each: tf.cast(each, tf.float32) if each.dtype.is_floating else each, values)


def _fit(vectors: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
    """vectors <float>[B, M, F] cut or padded to <float>[B, tokens, F]."""
    vectors = vectors[:, :tokens]
    return tf.pad(vectors, [[0, 0], [0, tokens - tf.shape(vectors)[1]], [0, 0]])


class Encoder(keras.layers.Layer):
    """A family's parts (a dict of layers) and the function `forward(parts, packed, training) -> Encoded` over them.

    The family writes the function next to its parameters; this class only gives Keras the variables.
    ladder: the layers of each step from the input up, word vectors first; what is in none (pooling) counts as above
      them all, with the head. Freezing and rates by layer go by it.
    resources: what the function reads that Keras does not know of, for a SavedModel to hold.
    below: `below(parts, packed) -> <float>[B, T, F]`, all that the ladder's layers give; `forward` takes it from
      packed["frozen"] where that is there, as in a training that leaves these layers alone (models/frozen.py).
    """

    def __init__(
        self,
        parts: dict,
        forward: Callable,
        ladder: Sequence[Sequence[keras.layers.Layer]] = (),
        resources: Sequence[Any] = (),
        below: Callable | None = None,
    ):
        super().__init__()
        self.parts, self.forward, self.ladder = parts, forward, ladder
        self.resources, self.below = resources, below

    def build(self, packed_shapes):
        """Nothing to do: the parts build themselves at the first call."""

    def call(self, packed: Mapping[str, tf.Tensor], training: bool = False):
        return self.forward(self.parts, packed, training)


class Decoder(Encoder):
    """Reads tokens from left to right, each vector knowing no later token, and scores the next one.

    Like an encoder, it is called on {ids, mask, ...} and gives Encoded, without `pooled`; `logits` turns `sequence`
    into scores. With a memory (encoder-decoder), ids and mask are the source's; the call also wants
    target_ids <int32>[B, U] and target_mask <bool>[B, U], what the decoder is fed (start token first), and Encoded is
    then of the target. Token by token, `init_state` and `step` give what a call gives at once.

    family: has, next to its parameters, `decode(parts, packed, training) -> Encoded`, `logits(parts, hidden)`,
      `init_state(parts, memory, mask, max_tokens)`, `step(parts, ids, state) -> (hidden <float>[B, width], state)`
      and, with a memory, `encode(parts, packed, training) -> Encoded` and COVERAGE in the states.
    """

    def __init__(self, parts: dict, family: Any, ladder: Sequence[Sequence[keras.layers.Layer]] = ()):
        super().__init__(parts, family.decode, ladder)
        self.family = family

    def encode(self, packed: Mapping[str, tf.Tensor], training: bool = False):
        """Encoded of the source, whose `sequence` and `mask` `init_state` takes."""
        return self.family.encode(self.parts, packed, training)

    def logits(self, hidden: tf.Tensor) -> tf.Tensor:
        """Scores of the next token: <float>[..., width] -> <float32>[..., vocabulary]."""
        return tf.cast(self.family.logits(self.parts, hidden), tf.float32)

    def init_state(self, memory: tf.Tensor | None, mask: tf.Tensor, max_tokens: int):
        """The state before the first token: a nest of tensors whose shapes never change, rows first, and scalars.

        memory <float>[B, S, width], mask <bool>[B, S]: the source's. Without a memory only mask's B counts.
        max_tokens: the most steps that will be taken.
        """
        return self.family.init_state(self.parts, memory, mask, max_tokens)

    def step(self, ids: tf.Tensor, state):
        """Reads ids <int32>[B], each row's next token -> (scores of the one after <float32>[B, vocabulary], state)."""
        hidden, state = self.advance(ids, state)
        return self.logits(hidden), state

    def advance(self, ids: tf.Tensor, state):
        """As `step`, with the vector <float>[B, width] that `logits` scores the next token from."""
        return self.family.step(self.parts, ids, state)

    def coverage(self, state) -> tf.Tensor:
        """How much attention each token of the source got so far <float32>[B, S]; 1 where there is no token."""
        return state[COVERAGE]

    def reorder(self, state, parents: tf.Tensor):
        """The state whose row n is row parents[n] of this one; parents <int32>[any number], as beam search asks."""
        return tf.nest.map_structure(lambda each: tf.gather(each, parents) if each.shape.rank else each, state)


def uncovered(mask: tf.Tensor) -> tf.Tensor:
    """The coverage that a state begins with; mask <bool>[B, S]."""
    return tf.where(mask, 0.0, 1.0)


def alike(hidden: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """hidden <float>[..., width] times each row of a table <float>[V, width]: <float>[..., V].

    One product of two matrices: with the axes left as they are, einsum's takes thirty times as long on CPUs.
    """
    table = tf.cast(table, hidden.dtype)
    scores = tf.matmul(tf.reshape(hidden, [-1, hidden.shape[-1]]), table, transpose_b=True)
    scores = tf.reshape(scores, tf.concat([tf.shape(hidden)[:-1], [table.shape[0]]], axis=0))
    return tf.ensure_shape(scores, [*hidden.shape[:-1], table.shape[0]])


def write_cache(cache: tf.Tensor, new: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """The cache <float>[B, 2, steps, heads, width / heads] with a step's keys and values [B, 2, 1, ...] at `position`.

    A masked where, since Keras's slice_update asks for XLA, which servers may have switched off.
    """
    here = tf.range(cache.shape[2])[:, None, None] == position
    return tf.where(here, tf.cast(new, cache.dtype), cache)


class Spelling(keras.layers.Layer):
    """Vectors of words from their bytes: filters three wide, the largest value of each (Ma and Hovy 2016, section 2.1).

    word_bytes <uint8>[B, T, W], filled up with 0 -> <float>[B, T, filters]. Bytes are read with a mark before and one
    behind the word.
    """

    def __init__(self, filters: int):
        super().__init__()
        self.letters = keras.layers.Embedding(256, filters)
        self.filters = keras.layers.Conv1D(filters, 3, activation="tanh")

    def build(self, shape):
        self.letters.build((None, None))
        self.filters.build((None, None, self.letters.output_dim))

    def call(self, word_bytes: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(word_bytes)
        codes = tf.reshape(tf.cast(word_bytes, tf.int32), [-1, word_bytes.shape[2]])
        letters = self.letters(tf.pad(codes, [[0, 0], [1, 1]]))  # 0 is no letter: the marks, and what is behind
        largest = tf.reduce_max(self.filters(letters), axis=1)
        return tf.reshape(largest, [shape[0], shape[1], largest.shape[1]])


class Arrays(keras.layers.Layer):
    """Named arrays held as weights: counted tables (not trained), or a lone bias (trained)."""

    def __init__(self, arrays: Mapping[str, np.ndarray], trainable: bool = False):
        super().__init__(trainable=trainable)
        self.weight_of = {
            name: self.add_weight(
                shape=array.shape,
                dtype=str(array.dtype),
                initializer=lambda shape, dtype, array=array: tf.constant(array),
                trainable=trainable,
                autocast=False,
                name=name,
            )
            for name, array in arrays.items()
        }

    def __getitem__(self, name: str) -> tf.Tensor:
        return tf.convert_to_tensor(self.weight_of[name])


class _TrainingMasks:
    """Draws the masks of recurrent dropout in training only.

    Keras 3.15 draws them at every call: an evaluation would move the seed, and the seed would be in the SavedModel.
    """

    cell: keras.layers.Layer
    recurrent_dropout: float  # the cell's

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.rate = self.recurrent_dropout

    def call(self, sequences, initial_state=None, mask=None, training=False):
        self.cell.recurrent_dropout = self.rate if training else 0.0
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)  # type: ignore[misc]


class RNN(_TrainingMasks, keras.layers.SimpleRNN):
    """h = tanh(W x + U h + b) (Elman 1990)."""


class LSTM(_TrainingMasks, keras.layers.LSTM):
    """Gates f, i, o, candidate and cell (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

    Without recurrent dropout Keras runs it in one cuDNN kernel on GPUs, as it does GRU.
    """


class GRU(_TrainingMasks, keras.layers.GRU):
    """Gates z, r and candidate (Cho et al. 2014), r applied after the product with U: cuDNN's variant."""


class Pooling(keras.layers.Layer):
    """One vector a text from its tokens' vectors; a text without tokens gives zeros.

    kind: `mean`, `max`, or `attention` (Yang et al. 2016, equations 5-7: a learned query over tanh projections).
    """

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self.supports_masking = True  # of Keras's own, implicit masks: accepted, not used, not passed on

    def build(self, sequence_shape, **_):
        if self.kind == "attention":
            self.project = keras.layers.Dense(sequence_shape[-1], activation="tanh", name="project")
            self.score = keras.layers.Dense(1, use_bias=False, name="score")
            self.project.build(sequence_shape)
            self.score.build(sequence_shape)

    def compute_mask(self, *_):
        return None

    def call(self, sequence: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
        """sequence <float>[B, T, width], keep <bool>[B, T] -> <float>[B, width]."""
        keep = keep[:, :, None]
        if self.kind == "max":
            longest = tf.reduce_max(tf.where(keep, sequence, sequence.dtype.min), axis=1)
            return tf.where(tf.reduce_any(keep, axis=1), longest, tf.zeros_like(longest))
        if self.kind == "mean":
            share = tf.cast(keep, tf.float32) / tf.maximum(tf.reduce_sum(tf.cast(keep, tf.float32), 1, True), 1.0)
        else:
            scores = tf.cast(self.score(self.project(sequence)), tf.float32)
            share = tf.nn.softmax(tf.where(keep, scores, -1e9), axis=1) * tf.cast(keep, tf.float32)
        return tf.reduce_sum(sequence * tf.cast(share, sequence.dtype), axis=1)
