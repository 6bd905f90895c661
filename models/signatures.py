"""The exported model: a SavedModel that takes strings and answers strings, tokenizer in the graph.

It holds each weight once, needs no Keras to load, and no op that TF Serving lacks: the variables are tracked as
TensorFlow's own (`v.value`); tracking the Keras objects writes a second copy that the C++ loader restores instead of
the one the graph reads. Rows are padded to the longest of the batch, which halves the time of a typical request.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from data.schema import IDS, IDS_PAIR, LENGTH, LENGTH_PAIR, TEXT, WORD_BYTES, WORD_BYTES_PAIR
from data.tokenizers.base import Tokenizer
from models.families.base import Family
from models.tasks.base import Task
from models.windows import Windows, cut, take

EMBED = "embed"


def export(
    model: keras.Model,
    family: Family,
    task: Task,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    max_tokens: int,
    inputs: Sequence[str],
    directory: Path,
    stride: int = 0,
) -> None:
    """Writes `directory`/saved_model.pb and variables/, in float32, with the signatures that `task.signatures` gives:
    `serving_default`, `inputs` (text <string>[N], text_pair <string>[N] for pairs, ...) to the task's answer, and its
    others; and `embed` (see `Served.embed`).

    stride: of the windows that long texts are answered in; 0: texts are cut to max_tokens.
    """
    served = Served(model, tokenizer, labels, max_tokens, inputs, family, stride, task.merge)
    module = tf.Module()
    module.weights = [variable.value for variable in model.weights]
    module.tokenizer, module.resources = tokenizer.trackables, list(getattr(model, "resources", ()))
    signatures = dict(task.signatures(served))
    if family.offers & {"pooled", "sequence"}:
        signatures[EMBED] = served.function(served.embed, [TEXT if TEXT in inputs else inputs[0]])
    with _in_float32(model):
        module.writer = task.functions(served)
        tf.saved_model.save(module, str(directory), signatures=signatures)


class Served:
    """The model in the graph, from texts on: what a task makes its signatures of."""

    def __init__(
        self,
        model: keras.Model,
        tokenizer: Tokenizer,
        labels: Sequence[str],
        max_tokens: int,
        inputs: Sequence[str],
        family: Family,
        stride: int = 0,
        merge: Callable = lambda *_: None,
    ):
        """inputs: names of the texts that the model reads, in the order of `logits`. merge: the task's, where there is
        a stride."""
        self.model, self.tokenizer, self.labels = model, tokenizer, labels
        self.max_tokens, self.inputs, self.family = max_tokens, inputs, family
        self.stride, self.merge = stride, merge
        self.logits = self.function(self._logits, inputs)  # traced once, if at all, for every signature that answers

    def function(self, ask: Callable, inputs: Sequence[str]) -> Callable:
        """`ask` as a signature with these inputs, each <string>[N]."""
        specs = [tf.TensorSpec([None], tf.string, name=name) for name in inputs]
        return tf.function(ask, input_signature=specs, autograph=False)

    def from_texts(self, answer: Callable) -> Callable:
        """A signature from texts to what `answer(logits, labels)` gives."""
        return self.function(lambda *texts: answer(self.logits(*texts), self.labels), self.inputs)

    def from_examples(self, answer: Callable, logits: Callable | None = None) -> Callable:
        """The same from `inputs` <string>[N], serialised tf.train.Examples with a feature for each text, one string
        each: how TF Serving's Classify and Regress ask. A feature that is missing is an error of the request.

        logits: in place of `self.logits`, for a task whose inputs are not all texts."""
        features = {name: tf.io.FixedLenFeature([], tf.string) for name in self.inputs}

        def ask(inputs):
            parsed = tf.io.parse_example(inputs, features)
            return answer((logits or self.logits)(*(parsed[name] for name in self.inputs)), self.labels)

        return self.function(ask, ["inputs"])

    def embed(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """The signature `embed`: text <string>[N] (of a task without one, its first input) to vectors. A model of pairs
        gives those of a text by itself.

        pooled <float32>[N, width], where the family offers it: one vector a text (of a linear family, its logits).
        And where it offers `sequence`, one vector a token of the text, T those of the longest: sequence
        <float32>[N, T, width], start and end <int32>[N, T], code points of the text as it was sent (end exclusive),
        and length <int32>[N]. Tokens that packing adds, such as [CLS], are left out, as they stand for no part of the
        text, and so are those that max_tokens cuts. Behind `length` vectors are 0 and offsets -1. Families that embed
        their layers give layers <float32>[N, layers, T, width] too, those of the tokens' own vectors first.
        """
        ids, starts, ends = self.tokenizer.graph_with_offsets(text)
        batch, rows = self.batch([text], [ids]), tf.shape(text)[0]
        encoded = self.model.read(self.model.pack(batch))
        answer = {} if encoded.pooled is None else {"pooled": tf.cast(encoded.pooled, tf.float32)[:rows]}
        if encoded.sequence is not None:
            places, vectors = self._of_text(batch, encoded.sequence)
            start, end = (tf.gather(offsets, places[:rows], batch_dims=1) for offsets in (starts, ends))
            answer |= {"sequence": vectors[:rows].to_tensor(), "start": start.to_tensor(-1), "end": end.to_tensor(-1)}
            if self.family.embeds_layers:
                every = [self._of_text(batch, layer)[1][:rows].to_tensor() for layer in encoded.layers]
                answer["layers"] = tf.stack(every, axis=1)
            answer["length"] = tf.cast(places.row_lengths(), tf.int32)[:rows]
        return answer

    def _of_text(self, batch: Mapping, sequence: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """The tokens of the text that packing left: their places in it <int32>[N, None], and vectors.

        Packs the places, as negative numbers, which are no ids, and so need not know how packing works.
        """
        places = tf.broadcast_to(-1 - tf.range(tf.shape(batch[IDS])[1]), tf.shape(batch[IDS]))
        packed = self.model.pack({**batch, IDS: places})[IDS]
        return (
            tf.ragged.boolean_mask(-1 - packed, packed < 0),
            tf.ragged.boolean_mask(tf.cast(sequence, tf.float32), packed < 0),
        )

    def _logits(self, *texts: tf.Tensor):
        ids = [self.tokenizer.graph(text) for text in texts]
        if not self.stride:
            return self.rows(self.model(self.batch(texts, ids), training=False), texts[0])
        logits, windows = self.of_windows(texts, ids)
        return self.merge(logits, windows.owner, tf.shape(texts[0])[0])

    def of_windows(self, texts: Sequence[tf.Tensor], ids: Sequence[tf.RaggedTensor]) -> tuple[Any, Windows]:
        """The logits of each window of the last text, whose first text is whole; and the windows."""
        beside = tf.cast(ids[0].row_lengths(), tf.int32) if len(ids) > 1 else None
        windows = cut(tf.cast(ids[-1].row_lengths(), tf.int32), beside, self.max_tokens, self.stride)

        def parts(columns):
            *first, last = columns
            return [*(tf.gather(each, windows.owner) for each in first), take(last, windows)]

        words = parts(map(self.tokenizer.words, texts)) if self.family.word_bytes else ()
        logits = self.model(self._padded(parts(ids), words), training=False)
        return tf.nest.map_structure(lambda each: each[: tf.size(windows.owner)], logits), windows

    def rows(self, found, text: tf.Tensor):
        """What was found for the rows that there are: of no texts `batch` makes an empty one."""
        return tf.nest.map_structure(lambda each: each[: tf.shape(text)[0]], found)

    def batch(self, texts: Iterable[tf.Tensor], ids: Iterable[tf.RaggedTensor]) -> dict[str, tf.Tensor]:
        """What the model is called with, for texts and, for pairs, their others."""
        return self._padded(list(ids), [self.tokenizer.words(text) for text in texts] if self.family.word_bytes else ())

    def _padded(self, ids: Sequence[tf.RaggedTensor], words: Sequence[tf.RaggedTensor]) -> dict[str, tf.Tensor]:
        batch = {}
        names = (IDS, LENGTH, WORD_BYTES), (IDS_PAIR, LENGTH_PAIR, WORD_BYTES_PAIR)
        for n, tokens in enumerate(ids):
            ids_name, length_name, words_name = names[n]
            batch[ids_name], batch[length_name] = _dense(tokens[:, : self.max_tokens])
            if words:
                batch[words_name] = _bytes(words[n], tf.shape(batch[ids_name]), self.family.word_bytes)
        return batch


def _dense(ids: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Ids <int32>[N, longest, at least 1] and lengths <int32>[N]. Where there is no row it makes an empty one, since
    not every encoder takes none."""
    length = tf.cast(ids.row_lengths(), tf.int32)
    length = tf.pad(length, [[0, tf.maximum(1 - tf.size(length), 0)]])
    longest = tf.maximum(tf.reduce_max(length), 1)
    return ids.to_tensor(shape=tf.stack([tf.size(length), longest])), length


def _bytes(words: tf.RaggedTensor, shape: tf.Tensor, width: int) -> tf.Tensor:
    """The first `width` bytes of each word, <uint8>[*shape, width]."""
    return tf.io.decode_raw(words.to_tensor("", shape=shape), tf.uint8, fixed_length=width)


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
