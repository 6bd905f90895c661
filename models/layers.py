"""Keras layers that families share, and the model that joins packing, encoder and head."""

from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf


class TextModel(keras.Model):
    """From a batch (data/schema.py) to logits: packs, encodes, answers.

    pack: batch to packed ids; encoder: packed ids to Encoded; unpack: Encoded to what the head reads.
    """

    def __init__(self, pack: Callable, encoder: keras.layers.Layer, unpack: Callable, head: keras.layers.Layer):
        super().__init__()
        self.pack, self.encoder, self.unpack, self.head = pack, encoder, unpack, head

    def call(self, batch: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logits in float32, whatever the precision inside."""
        encoded = self.encoder(self.pack(batch), training=training)
        return tf.cast(self.head(self.unpack(encoded)), tf.float32)


class Encoder(keras.layers.Layer):
    """A family's parts (a dict of layers) and the function `forward(parts, packed, training) -> Encoded` over them.

    The family writes the function next to its parameters; this class only gives Keras the variables.
    """

    def __init__(self, parts: dict, forward: Callable):
        super().__init__()
        self.parts, self.forward = parts, forward

    def build(self, packed_shapes):
        """Nothing to do: the parts build themselves at the first call."""

    def call(self, packed: Mapping[str, tf.Tensor], training: bool = False):
        return self.forward(self.parts, packed, training)


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


class LSTM(keras.layers.LSTM):
    """Keras's LSTM, drawing recurrent dropout masks in training only.

    Keras 3.15 draws them at every call: an evaluation would move the seed, and the seed would be in the SavedModel.
    """

    def __init__(self, units: int, recurrent_dropout: float = 0.0, **options):
        super().__init__(units, recurrent_dropout=recurrent_dropout, **options)
        self.rate = recurrent_dropout

    def call(self, sequences, initial_state=None, mask=None, training=False):
        self.cell.recurrent_dropout = self.rate if training else 0.0
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)


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
