"""A recurrent decoder that looks back at a recurrent encoder's vectors, and the two ways in which it may look."""

from typing import Any

import keras
import tensorflow as tf

from models.families.base import COVERAGE, Encoded
from models.layers import uncovered


class Attention(keras.layers.Layer):
    """Weights over the source's vectors for each query, and the weighted sum.

    kind: `bahdanau`, v^T tanh(W q + U m) (Bahdanau et al. 2015, section A.1.2); `luong`, q^T W m (Luong et al. 2015,
    "general").
    """

    def __init__(self, kind: str, width: int):
        super().__init__()
        self.additive = kind == "bahdanau"
        self.of_memory = keras.layers.Dense(width, use_bias=False, name="memory")
        if self.additive:
            self.of_query = keras.layers.Dense(width, name="query")
            self.score = keras.layers.Dense(1, use_bias=False, name="score")

    def build(self, *_, **__):
        """Nothing to do: the parts build themselves at the first call."""

    def call(
        self, query: tf.Tensor, keys: tf.Tensor, memory: tf.Tensor, keep: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """query <float>[B, U, width], keys <float>[B, S, width] as `of_memory` gives them of memory <float>[B, S, M],
        keep <bool>[B, S] -> <float>[B, U, M], zeros for a source without tokens, and the weights <float32>[B, U, S]."""
        if self.additive:
            scores = self.score(tf.tanh(self.of_query(query)[:, :, None] + keys[:, None]))[..., 0]
        else:
            scores = tf.matmul(query, keys, transpose_b=True)
        keep = keep[:, None]
        weights = tf.where(keep, tf.nn.softmax(tf.where(keep, tf.cast(scores, tf.float32), -1e9)), 0.0)
        return tf.matmul(tf.cast(weights, memory.dtype), memory), weights


class RecurrentDecoder:
    """What models.layers.Decoder wants of a family, for recurrent families that read a source.

    The encoder is the family's own, both ways where it is bidirectional; the decoder has as many layers. It starts from
    a tanh projection of the source's last states (Bahdanau et al. 2015, section A.2.2, has the backward one).

    bahdanau: the top layer's state before a token looks at the source, and what it sees goes into the first layer with
    the token; the next token is told from state, token and source by a tanh layer, where the paper has a maxout one.
    luong: the top layer's state after a token looks, and a tanh layer over both tells the next one (equation 5).
    """

    def __init__(self, family: Any):
        self.family, self.additive = family, family.attention == "bahdanau"

    def parts(self, cell: type[keras.layers.Layer]) -> dict[str, Any]:
        """The decoder's own, beside the encoder's."""
        family = self.family
        layers = [
            cell(family.width, return_sequences=True, recurrent_dropout=family.recurrent_dropout)
            for _ in range(family.layers)
        ]
        states = [len(tf.nest.flatten(layer.cell.state_size)) for layer in layers]
        return {
            "target_layers": layers,
            "start": [[keras.layers.Dense(family.width, activation="tanh") for _ in range(n)] for n in states],
            "attention": Attention(family.attention, family.width),
            "combine": keras.layers.Dense(family.width, activation="tanh", use_bias=self.additive),
        }

    def encode(self, parts, packed, training) -> Encoded:
        every = self.family.every(parts, packed, training)
        return Encoded(parts["dropout"](every[-1], training=training), None, every, packed["mask"])

    def decode(self, parts, packed, training) -> Encoded:
        source = self.encode(parts, packed, training)
        state = self.init_state(parts, source.sequence, source.mask, 0)
        words = parts["dropout"](parts["embedding"](packed["target_ids"]), training=training)
        if self.additive:
            hidden, seen = self._unrolled(parts, words, state)
        else:
            hidden = words
            for n, (layer, states) in enumerate(zip(parts["target_layers"], state["layers"], strict=True)):
                inputs = parts["dropout"](hidden, training=training) if n else hidden
                hidden = layer(inputs, initial_state=states, training=training)
            seen, _ = self._seen(parts, hidden, state)
        hidden = parts["dropout"](self._told(parts, hidden, seen, words), training=training)
        return Encoded(hidden, None, (words, hidden), packed["target_mask"])

    def logits(self, parts, hidden):
        return self.family.logits(parts, hidden)

    def init_state(self, parts, memory, mask, max_tokens):
        """Each layer's states <float>[B, width]; the source's vectors, what the attention makes of them, and mask; the
        attention to each of its tokens so far."""
        length = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        last = self.family.last(memory, length)
        layers = [[project(last) for project in projects] for projects in parts["start"]]
        keys = parts["attention"].of_memory(memory)
        return {"layers": layers, "memory": memory, "keys": keys, "mask": mask, COVERAGE: uncovered(mask)}

    def step(self, parts, ids, state):
        words = parts["embedding"](ids)
        if self.additive:
            hidden, seen, look, layers = self._additive_step(parts, words, state, state["layers"])
        else:
            hidden, layers = self._cells(parts, words, state["layers"])
            seen, look = (each[:, 0] for each in self._seen(parts, hidden[:, None], state))
        told = self._told(parts, hidden, seen, words)
        return told, {**state, "layers": layers, COVERAGE: state[COVERAGE] + look}

    def _cells(self, parts, x, before):
        layers = []
        for layer, states in zip(parts["target_layers"], before, strict=True):
            x, after = layer.cell(x, states)
            layers.append(list(after) if isinstance(after, list | tuple) else [after])
        return x, layers

    def _seen(self, parts, query, state):
        return parts["attention"](query, state["keys"], state["memory"], state["mask"])

    def _additive_step(self, parts, words, state, layers):
        """One token: words <float>[B, embedding] -> the top state, what it saw, where it looked, and all states."""
        seen, look = (each[:, 0] for each in self._seen(parts, layers[-1][0][:, None], state))
        hidden, layers = self._cells(parts, tf.concat([words, seen], axis=1), layers)
        return hidden, seen, look, layers

    def _unrolled(self, parts, words, state):
        """The same for tokens one after another, <float>[B, U, embedding] -> states and what they saw, [B, U, ...]."""
        steps = tf.shape(words)[1]
        arrays = [tf.TensorArray(words.dtype, steps) for _ in range(2)]

        def step(n, layers, hiddens, seens):
            hidden, seen, _, layers = self._additive_step(parts, tf.gather(words, n, axis=1), state, layers)
            return n + 1, layers, hiddens.write(n, hidden), seens.write(n, seen)

        *_, hiddens, seens = tf.while_loop(
            lambda n, *_: n < steps, step, (0, state["layers"], *arrays), maximum_iterations=words.shape[1]
        )
        shapes = self.family.width, state["memory"].shape[-1]
        found = [tf.transpose(each.stack(), [1, 0, 2]) for each in (hiddens, seens)]
        return [tf.ensure_shape(each, [None, None, size]) for each, size in zip(found, shapes, strict=True)]

    def _told(self, parts, hidden, seen, words):
        """The vector that tells the next token."""
        return parts["combine"](tf.concat([hidden, seen, words] if self.additive else [hidden, seen], axis=-1))
