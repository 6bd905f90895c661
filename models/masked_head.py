"""The Keras layers of a masked language model: what hides tokens of a packed batch, and what tells them."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf
from etils import epath

from models import published
from models.families.base import Vocabulary
from models.hiding import HEAD, Hidden, begins_word
from models.hub import find_folder
from models.layers import alike
from models.objectives.masking import choose, replace


def head_of(words: keras.layers.Layer, width: int) -> keras_hub.layers.MaskedLMHead:
    """What tells hidden tokens by their vectors <float>[..., width] and the word vectors `words`; built.

    words: a ReversibleEmbedding, or a `Reversed` one.
    """
    head = keras_hub.layers.MaskedLMHead(
        token_embedding=words,
        intermediate_activation="gelu",
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        dtype="float32",  # in half precision its bias would not go with the rest
    )
    head.build((1, None, width))
    return head


def head_weights(head: keras_hub.layers.MaskedLMHead) -> list[keras.Variable]:
    """Its own: the word vectors are the encoder's."""
    theirs = {id(weight) for weight in head.token_embedding.weights}
    return [weight for weight in head.weights if id(weight) not in theirs]


def save_head(head: keras_hub.layers.MaskedLMHead, folder: epath.PathLike) -> None:
    with (epath.Path(folder) / HEAD).open("wb") as file:
        np.savez(file, **{f"{n}": each.numpy() for n, each in enumerate(head_weights(head))})


def load_head(head: keras_hub.layers.MaskedLMHead, preset: str) -> bool:
    """Takes over what was pretrained with a preset: what `save_head` wrote, or a published folder's own head. Whether
    there is one."""
    folder = find_folder(preset)
    if (folder / HEAD).exists():
        with np.load(folder / HEAD) as arrays:
            for weight, name in zip(head_weights(head), arrays.files, strict=True):
                weight.assign(arrays[name])
        return True
    config = published.read_config(folder)
    return published.is_published(config) and published.load_head(folder, config, head)


class Reversed(keras.layers.Layer):
    """The table of an Embedding, used the other way round: vectors <float>[..., width] to scores of its rows.

    scale: of the vectors, for a table whose rows are not short.
    """

    def __init__(self, words: keras.layers.Layer, scale: float = 1.0):
        super().__init__()
        self.words, self.scale = words, scale
        self.input_dim, self.output_dim = words.input_dim, words.output_dim

    def build(self, _):
        """Nothing to do: the encoder builds the table."""

    def call(self, vectors: tf.Tensor, reverse: bool = True) -> tf.Tensor:
        return alike(vectors * self.scale, self.words.embeddings)


class Told(keras.layers.Layer):
    """The head of the task: vectors <float>[B, U, width] of hidden tokens to their logits <float32>[B, U, size].

    Beside the logits goes `place` <int32>[B, U], of each in its text.
    """

    def __init__(self, head: keras_hub.layers.MaskedLMHead):
        super().__init__(dtype="float32")
        self.head = head

    def build(self, _):
        """Nothing to do: the head is built."""

    def call(self, read: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        vectors = read["vectors"]
        shape = tf.shape(vectors)
        logits = self.scores(tf.reshape(vectors, [-1, vectors.shape[-1]]))
        return {"logits": tf.reshape(logits, [shape[0], shape[1], logits.shape[-1]]), "place": read["place"]}

    def scores(self, vectors: tf.Tensor) -> tf.Tensor:
        """vectors <float>[N, width] -> logits <float32>[N, size]."""
        vectors = tf.cast(vectors, tf.float32)
        return tf.cast(self.head(vectors[None], tf.range(tf.shape(vectors)[0])[None])[0], tf.float32)


class Hiding(keras.layers.Layer):
    """Hides tokens of a packed batch, and says which.

    In training other ones at each call, some of them behind another word or nothing; else always the same ones of a
    text, whatever is beside it, all behind the mask: every so many, as many as in training or fewer.
    """

    def __init__(self, params: Hidden, vocabulary: Vocabulary):
        super().__init__()
        assert vocabulary.mask is not None, "the task is bound to a tokenizer that has one"
        self.params, self.mask_id = params, vocabulary.mask
        self.every = ceil(1 / params.share)
        tellable = np.ones(vocabulary.size, bool)  # an unknown word among them: it counts in a text's likelihood
        tellable[sorted(vocabulary.special - {vocabulary.unknown})] = False
        words = np.array([i for i in range(vocabulary.size) if i not in vocabulary.special], np.int32)
        self.tables: Any = tellable, words, begins_word(vocabulary.words)
        self.draws = keras.random.SeedGenerator()  # from the seed of the run

    def build(self, _):
        """Nothing to do: it has no weights."""

    def call(self, packed: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """packed, with other ids, and `told` <int32>[B, U], the places of the hidden ones in the row, and `told_place`
        <int32>[B, U], in the text; -1 where there is none."""
        ids, (tellable, words, begins) = packed["ids"], map(tf.constant, self.tables)
        tellable = packed["mask"] & tf.gather(tellable, ids)
        if training:
            word = tf.gather(begins, ids) if self.params.whole_words else None
            chosen = choose(self._uniform(ids), tellable, word, self.params.share)
            rates = self.params.hidden, self.params.random
            read = replace(self._uniform(ids), self._uniform(ids), ids, words, self.mask_id, rates)
        else:
            chosen, read = evenly(ids, tellable, self.every), self.mask_id
        width = tf.shape(ids)[1]
        most = (
            width
            if self.params.whole_words
            else tf.cast(tf.math.ceil(self.params.share * tf.cast(width, tf.float32)), tf.int32)
        )
        here, told = tf.math.top_k(tf.cast(chosen, tf.int32), most)  # of equal ones the first comes first
        place = tf.where(here > 0, tf.gather(packed["place"], told, batch_dims=1), -1)
        return {**packed, "ids": tf.where(chosen, read, ids), "told": told, "told_place": place}

    def _uniform(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_uniform(tf.shape(ids), tf.cast(self.draws.next(), tf.int32))


def evenly(ids: tf.Tensor, tellable: tf.Tensor, every: int) -> tf.Tensor:
    """Every so many of a row's tellable tokens <bool>[B, T], one at least; from which one on, its ids say, so that over
    many rows all places have their turn."""
    order = tf.cumsum(tf.cast(tellable, tf.int32), axis=1)
    step = tf.clip_by_value(order[:, -1:], 1, every)
    first = tf.reduce_sum(tf.where(tellable, ids, 0), axis=1, keepdims=True) % step
    return tellable & ((order - 1) % step == first)
