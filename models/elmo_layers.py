"""ELMo's network (Peters et al. 2018): words from their bytes, and a language model that reads in both directions.

Characters are numbered as in the published models:

    0-255 bytes | 256, 257 begin, end of sentence | 258, 259 begin, end of word | 260 behind the word
"""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

WORD_BYTES = 48  # of a word; with its two marks, the 50 characters of the published models
CHARACTERS = 261
SENTENCE_START, SENTENCE_END, WORD_START, WORD_END, PADDING = range(256, 261)


def characters(word_bytes: tf.Tensor) -> tf.Tensor:
    """Characters <int32>[..., W + 2] of words <uint8>[..., W]: begin mark, bytes, end mark, padding. No byte is 0."""
    codes = tf.cast(word_bytes, tf.int32)
    length = tf.math.count_nonzero(codes, axis=-1, keepdims=True, dtype=tf.int32)
    codes = tf.pad(codes, [[0, 0]] * (codes.shape.rank - 1) + [[1, 1]])
    place = tf.range(tf.shape(codes)[-1])
    codes = tf.where(place > length + 1, PADDING, tf.where(place == length + 1, WORD_END, codes))
    return tf.where(place == 0, WORD_START, codes)


def sentence_marks(width: int) -> np.ndarray:
    """Characters <int32>[2, width] of the words that stand for the begin and the end of a sentence."""
    marks = np.full([2, width], PADDING, np.int32)
    marks[:, 0], marks[:, 2] = WORD_START, WORD_END
    marks[:, 1] = SENTENCE_START, SENTENCE_END
    return marks


class CharacterCnn(keras.layers.Layer):
    """A word's vector from its characters: filters of several widths, the largest value of each, highway layers and a
    projection (Kim et al. 2016). Without projection where the filters are as many as the vector is wide.

    filters: (characters wide, how many) of each kind.
    """

    def __init__(
        self, embedding: int, filters: Sequence[tuple[int, int]], highway: int, width: int, activation: str, **options
    ):
        super().__init__(**options)
        self.activation = keras.activations.get(activation)
        features = sum(count for _, count in filters)
        self.embedding = keras.layers.Embedding(CHARACTERS, embedding, name="characters")
        self.filters = [keras.layers.Conv1D(count, wide, name=f"filter_{wide}") for wide, count in filters]
        self.highway = [Highway(name=f"highway_{n}") for n in range(highway)]
        self.project = keras.layers.Dense(width, name="projection") if features != width else None

    def call(self, codes: tf.Tensor) -> tf.Tensor:
        """codes <int32>[N, C], N at least 1 -> <float>[N, width]."""
        letters = self.embedding(codes)
        largest = [tf.reduce_max(each(letters), axis=1) for each in self.filters]
        words = self.activation(tf.concat(largest, axis=1))
        for layer in self.highway:
            words = layer(words)
        return words if self.project is None else self.project(words)

    def in_sentences(self, word_bytes: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """word_bytes <uint8>[B, T, W], length <int32>[B] -> vectors <float>[B, T + 2, width] with those of begin and
        end of sentence around each row's words, and these two alone <float>[width]."""
        codes = characters(word_bytes)
        rows, tokens = tf.shape(codes)[0], tf.shape(codes)[1]
        marks = tf.constant(sentence_marks(codes.shape[2]))  # with the words, so that there is always something to do
        vectors = self(tf.concat([marks, tf.reshape(codes, [-1, codes.shape[2]])], axis=0))
        start, end = vectors[0], vectors[1]
        words = tf.reshape(vectors[2:], [rows, tokens, vectors.shape[1]])
        words = tf.pad(words, [[0, 0], [1, 1], [0, 0]])
        place = tf.range(tokens + 2)[None, :, None]
        words = tf.where(place == 0, start, tf.where(place == length[:, None, None] + 1, end, words))
        return words, start, end


class Highway(keras.layers.Layer):
    """carry * relu(W x + b) + (1 - carry) * x (Srivastava et al. 2015), at first mostly x."""

    def build(self, shape):
        self.transform = keras.layers.Dense(shape[-1], activation="relu", name="transform")
        self.carry = keras.layers.Dense(
            shape[-1], activation="sigmoid", bias_initializer=keras.initializers.Constant(-2.0), name="carry"
        )
        self.transform.build(shape)
        self.carry.build(shape)

    def call(self, words: tf.Tensor) -> tf.Tensor:
        carry = self.carry(words)
        return carry * self.transform(words) + (1 - carry) * words


class LstmCell(keras.layers.Layer):
    """One step of an LSTM whose output is projected (Sak et al. 2014) and clipped, as in the published models.

    Inputs are already multiplied by their weights, for all steps at once: <float>[B, 4 * units], gates i, j (the
    candidate), f, o in this order; 1 is added to f. States are c <float>[B, units] and h <float>[B, width].
    """

    def __init__(self, units: int, width: int, cell_clip: float | None, projection_clip: float | None, **options):
        super().__init__(**options)
        self.units, self.width = units, width
        self.cell_clip, self.projection_clip = cell_clip, projection_clip
        self.state_size, self.output_size = [units, width], width

    def build(self, _):
        self.recurrent = self.add_weight(shape=(self.width, 4 * self.units), name="recurrent")
        if self.width != self.units:
            self.projection = self.add_weight(shape=(self.units, self.width), name="projection")

    def call(self, gates: tf.Tensor, states):
        c, h = states
        i, j, f, o = tf.split(gates + tf.matmul(h, self.recurrent), 4, axis=1)
        c = clip(tf.sigmoid(f + 1) * c + tf.sigmoid(i) * tf.tanh(j), self.cell_clip)
        h = tf.sigmoid(o) * tf.tanh(c)
        if self.width != self.units:
            h = clip(tf.matmul(h, self.projection), self.projection_clip)
        return h, [c, h]


def clip(values: tf.Tensor, most: float | None) -> tf.Tensor:
    return tf.clip_by_value(values, -most, most) if most else values


class Bilm(keras.layers.Layer):
    """The two-way language model: in each direction, layers of LSTM that know nothing of the other direction.

    residual: adds a layer's input to its output, from the second layer on. width: of a direction.
    """

    def __init__(
        self,
        layers: int,
        units: int,
        width: int,
        cell_clip: float | None = None,
        projection_clip: float | None = None,
        residual: bool = True,
        dropout: float = 0.0,
        **options,
    ):
        super().__init__(**options)
        self.depth, self.residual = layers, residual
        self.dropout = keras.layers.Dropout(dropout)
        names = [[f"{direction}_{n}" for n in range(layers)] for direction in ("forwards", "backwards")]
        self.gates = [[keras.layers.Dense(4 * units, name=f"gates_{name}") for name in each] for each in names]
        self.lstms = [
            [
                keras.layers.RNN(
                    LstmCell(units, width, cell_clip, projection_clip),
                    return_sequences=True,
                    return_state=True,
                    name=name,
                )
                for name in each
            ]
            for each in names
        ]

    def call(self, forwards: tf.Tensor, backwards: tf.Tensor, length: tf.Tensor, states=None, training: bool = False):
        """What each layer gives, and the states after each row's last word.

        forwards, backwards: <float>[B, T, width], each direction's words in the order of the text; the same, but where
          something between two sentences is a begin for one and an end for the other. length: <int32>[B].
        states: None, or what an earlier call gave; then rows go on where that call ended. As None no state comes back.
        Returns layers, each <float>[B, T, 2 * width], and states [direction][layer][c, h].
        """
        sides, ended = [], []
        for side, words in enumerate((forwards, backwards)):
            turn = (lambda x: tf.reverse_sequence(x, length, seq_axis=1)) if side else (lambda x: x)
            outputs, after = self._direction(side, turn(words), length, states and states[side], training)
            sides.append([turn(output) for output in outputs])
            ended.append(after)
        layers = tuple(tf.concat(both, axis=2) for both in zip(*sides, strict=True))
        return layers, (ended if states is not None else None)

    def _direction(self, side: int, words: tf.Tensor, length: tf.Tensor, states, training: bool):
        # Padding is behind the words, where it changes nothing that is read; only a state that goes on must skip it.
        mask = None if states is None else tf.sequence_mask(length, tf.shape(words)[1])
        outputs, ended = [], []
        for n in range(self.depth):
            gates = self.gates[side][n](self.dropout(words, training=training))
            before = None if states is None else [tf.cast(state, gates.dtype) for state in states[n]]
            output, *after = self.lstms[side][n](gates, mask=mask, initial_state=before)
            words = output + words if self.residual and n else output
            outputs.append(words)
            ended.append(after)
        return outputs, ended


class Network(keras.layers.Layer):
    """Words from their bytes and the two-way language model over them; the layers that the mix is made of."""

    def __init__(
        self,
        embedding: int,
        filters: Sequence[tuple[int, int]],
        highway: int,
        activation: str,
        layers: int,
        units: int,
        width: int,
        cell_clip: float | None,
        projection_clip: float | None,
        residual: bool,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.width, self.depth = width, layers
        self.sizes = {
            **{"embedding": embedding, "filters": filters, "highway": highway, "activation": activation},
            **{"layers": layers, "units": units, "width": width},
            **{"cell_clip": cell_clip, "projection_clip": projection_clip, "residual": residual},
        }
        self.words = CharacterCnn(embedding, filters, highway, width, activation)
        self.bilm = Bilm(layers, units, width, cell_clip, projection_clip, residual, dropout)

    @property
    def ladder(self) -> list[list[keras.layers.Layer]]:
        """The layers from the input up: the words, then both directions of each layer."""
        by_side = [self.bilm.gates, self.bilm.lstms]
        return [
            [self.words],
            *([layers[side][n] for layers in by_side for side in range(2)] for n in range(self.depth)),
        ]

    def call(self, word_bytes: tf.Tensor, mask: tf.Tensor) -> list[tf.Tensor]:
        """word_bytes <uint8>[B, T, W], mask <bool>[B, T] -> the words' own vectors <float>[B, T, width], and what each
        layer makes of them <float>[B, T, 2 * width].

        A token without bytes is where a text and its pair meet. There the language model reads what it reads between
        two sentences: forwards the begin of the second, backwards the end of the first.
        """
        length = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        words, start, end = self.words.in_sentences(word_bytes, length)
        between = tf.pad(mask & ~tf.reduce_any(word_bytes > 0, axis=2), [[0, 0], [1, 1]])[:, :, None]
        layers, _ = self.bilm(tf.where(between, start, words), tf.where(between, end, words), length + 2)
        return [each[:, 1:-1] for each in (words, *layers)]


class ScalarMix(keras.layers.Layer):
    """gamma * sum of softmax(s)_j * layer_j (Peters et al. 2018, equation 1); at first the layers' mean.

    l2: strength of a penalty on s, which holds the mix near the mean.
    """

    def __init__(self, layers: int, l2: float = 0.0, **options):
        super().__init__(**options)
        penalty = keras.regularizers.L2(l2) if l2 else None
        self.s = self.add_weight(shape=(layers,), initializer="zeros", regularizer=penalty, name="s")
        self.gamma = self.add_weight(shape=(), initializer="ones", name="gamma")

    def call(self, layers: Sequence[tf.Tensor]) -> tf.Tensor:
        shares = tf.unstack(tf.nn.softmax(self.s))
        return self.gamma * tf.add_n([share * layer for share, layer in zip(shares, layers, strict=True)])

    def report(self) -> Mapping[str, object]:
        """Each layer's share, words first, and gamma, as plain numbers."""
        shares = tf.nn.softmax(self.s.value).numpy().tolist()
        return {"shares": [round(share, 6) for share in shares], "gamma": round(float(self.gamma.numpy()), 6)}
