"""The exported model: a SavedModel that takes strings and answers strings, tokenizer in the graph.

It holds each weight once, needs no Keras to load, and no op that TF Serving lacks: the variables are tracked as
TensorFlow's own (`v.value`); tracking the Keras objects writes a second copy that the C++ loader restores instead of
the one the graph reads. Rows are padded to the longest of the batch, which halves the time of a typical request.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import keras
import tensorflow as tf

from data.schema import IDS, IDS_PAIR, LENGTH, LENGTH_PAIR, TEXT, TEXT_PAIR, WORD_BYTES, WORD_BYTES_PAIR
from data.tokenizers.base import Tokenizer
from models.families.base import Family
from models.tasks.base import Task


def export(
    model: keras.Model,
    family: Family,
    task: Task,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    max_tokens: int,
    pairs: bool,
    directory: Path,
) -> None:
    """Writes `directory`/saved_model.pb and variables/, with signature `serving_default`:
    text <string>[N] (and text_pair <string>[N] for pairs) to what `task.answer` gives, in float32.
    """

    names = (TEXT, TEXT_PAIR) if pairs else (TEXT,)
    specs = [tf.TensorSpec([None], tf.string, name=name) for name in names]

    @tf.function(input_signature=specs, autograph=False)
    def serve(*texts):
        batch = {}
        names = (IDS, LENGTH, WORD_BYTES), (IDS_PAIR, LENGTH_PAIR, WORD_BYTES_PAIR)
        for text, (ids_name, length_name, words_name) in zip(texts, names, strict=False):
            batch[ids_name], batch[length_name] = _dense(tokenizer.graph(text)[:, :max_tokens])
            if family.word_bytes:
                batch[words_name] = _bytes(tokenizer.words(text), tf.shape(batch[ids_name])[1], family.word_bytes)
        return task.answer(model(batch, training=False), labels)

    module = tf.Module()
    module.weights = [variable.value for variable in model.weights]
    module.tokenizer = tokenizer.trackables
    with _in_float32(model):
        tf.saved_model.save(module, str(directory), signatures={"serving_default": serve})


def _dense(ids: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Ids <int32>[N, longest, at least 1] and lengths <int32>[N]."""
    length = tf.cast(ids.row_lengths(), tf.int32)
    longest = tf.maximum(tf.reduce_max(length), 1)
    return ids.to_tensor(shape=tf.stack([-1, longest])), length


def _bytes(words: tf.RaggedTensor, longest: tf.Tensor, width: int) -> tf.Tensor:
    """The first `width` bytes of each of a row's first `longest` words, <uint8>[N, longest, width]."""
    dense = words.to_tensor("", shape=tf.stack([-1, longest]))
    return tf.io.decode_raw(dense, tf.uint8, fixed_length=width)


@contextmanager
def _in_float32(model: keras.Model):
    """Mixed precision keeps its variables in float32; a trace made in here computes in float32 too."""
    layers = model._flatten_layers()
    policies = [layer.dtype_policy for layer in layers]
    for layer in layers:
        layer.dtype_policy = "float32"
    try:
        yield
    finally:
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy
