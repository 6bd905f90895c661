"""Recurrent networks over word vectors: one family a cell, alike in all else."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from data.schema import WORD_BYTES as WORD_BYTES_KEY
from models.families.base import Encoded
from models.families.word_vectors import WordVectors

WORD_BYTES = 24  # of a word, that `characters` reads
HIDES = "got filters over letters for a task that hides tokens, whose letters would be read"
WRITES = "got filters over letters for a task that writes tokens, whose letters are not known before"
LEARNS = "got a file for a task that predicts the next token, which learns its word vectors with the rest"
TELLS = "got a value for a task that tells tokens by word vectors that it learns"
MISFITS = {  # what is wrong with a parameter, by what is to be built with it
    "characters": {"masked": HIDES, "bidirectional": TELLS, "causal": WRITES, "encoder_decoder": WRITES},
    "vectors": {"bidirectional": TELLS, "causal": LEARNS, "encoder_decoder": LEARNS},
}


class Recurrent(WordVectors):
    """Layers of a cell, in one direction or both, and a pooling that gives one vector a text."""

    width: int = Field(128, ge=1, description="units of each layer and direction")
    layers: int = Field(1, ge=1, le=16, description="recurrent layers, one on the other")
    bidirectional: bool = Field(
        True,
        description="read in both directions; vectors are then 2 * width wide. Tasks that predict the next token read "
        "forwards only",
    )
    embedding: int = Field(128, ge=1, description="width of the word vectors")
    characters: int = Field(
        0,
        ge=0,
        description="filters of a CNN over each word's letters, as written, whose output goes beside the word "
        "vector (Ma and Hovy 2016 have 30); wants the tokenizer 'words'. 0: none",
    )
    tied_embeddings: bool = Field(
        False, description="where the next token is predicted, score it with the word vectors; wants embedding = width"
    )
    attention: Literal["bahdanau", "luong"] = Field(
        "luong",
        description="where a target is written, how its decoder looks at the source: Bahdanau et al. 2015, token by "
        "token, or Luong et al. 2015 (general, without input feeding), which trains faster",
    )
    pooling: Literal["last", "max", "mean", "attention"] = Field(
        "max", description="vector of a text: last states, or its tokens' largest, mean or attention-weighted values"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="on the word vectors, after each layer, on the text's vector")
    recurrent_dropout: float = Field(0.0, ge=0, lt=1, description="between steps; above 0 it rules out cuDNN on GPUs")

    cell: ClassVar[str]  # class of models/layers.py
    endless: ClassVar[bool] = True
    width_of_words: ClassVar[str] = "embedding"
    settled: ClassVar[tuple[str, ...]] = ("embedding",)
    offers: ClassVar[frozenset[str]] = frozenset(
        {"pooled", "sequence", "masked", "bidirectional", "causal", "encoder_decoder"}
    )
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "words", "vocabulary_size": 20_000, "min_count": 2}
    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 8,
        "batch_tokens": 1024,
        "optimizer": {"learning_rate": 2e-3, "schedule": "linear", "warmup": 0.1},
    }

    @property
    def word_bytes(self) -> int:  # type: ignore[override]
        return WORD_BYTES if self.characters else 0

    @model_validator(mode="after")
    def _one_width(self) -> "Recurrent":
        if self.tied_embeddings and self.embedding != self.width:
            raise ValueError(
                f"got tied_embeddings with embedding {self.embedding} and width {self.width}, wanted equal"
            )
        return self

    def check_offer(self, offer):
        problems = [
            f"trainer.family.{name}: {wrong[offer]}; drop {name}"
            for name, wrong in MISFITS.items()
            if getattr(self, name) and offer in wrong
        ]
        if offer == "masked" and not self.bidirectional:
            problems.append(
                "trainer.family.bidirectional: got false for a task that tells a token from those on both sides of it, "
                "wanted true"
            )
        if offer == "causal" and self.bidirectional and "bidirectional" in self.model_fields_set:
            problems.append(
                "trainer.family.bidirectional: got true for a task that predicts the next token, wanted false: "
                "backwards the network would read what it is to predict"
            )
        return problems

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        from models.layers import Encoder, Pooling

        parts = self._parts(vocabulary, 2 if self.bidirectional else 1, adapted)
        if self.pooling != "last":
            parts["pooling"] = Pooling(self.pooling)
        words = [parts[name] for name in ("embedding", "characters") if name in parts]
        return Encoder(parts, self.encode, [words, *parts["layers"]])

    def build_masked(self, vocabulary, max_tokens, adapted):
        from models.masked_head import Reversed, head_of

        encoder = self.build(vocabulary, max_tokens, 1, adapted)
        return encoder, head_of(Reversed(encoder.parts["embedding"]), 2 * self.width)

    def build_bidirectional(self, vocabulary):
        """Without `bidirectional`'s mixing of directions: each has layers of its own, over the same word vectors."""
        from keras import layers

        from models.layers import Encoder
        from models.masked_head import Reversed

        parts = self._parts(vocabulary, 2, {})
        softmax = Reversed(parts["embedding"]) if self.tied_embeddings else layers.Dense(vocabulary.size)
        return Encoder(parts, self.encode_apart, [[parts["embedding"]], *parts["layers"]]), softmax

    def encode_apart(self, parts, packed, training) -> Encoded:
        """Each direction's vectors, side by side, which know nothing of the other's."""
        import tensorflow as tf

        length = tf.reduce_sum(tf.cast(packed["mask"], tf.int32), axis=1)
        words = parts["embedding"](packed["ids"])
        sides = [words, tf.reverse_sequence(words, length, seq_axis=1)]
        every = [words]
        for layers in parts["layers"]:
            inputs = [parts["dropout"](side, training=training) for side in sides]
            sides = [layer(side, training=training) for layer, side in zip(layers, inputs, strict=True)]
            turned = tf.reverse_sequence(sides[1], length, seq_axis=1)
            every.append(tf.concat([sides[0], turned], axis=2))
        return Encoded(parts["dropout"](every[-1], training=training), None, tuple(every), packed["mask"])

    def build_decoder(self, vocabulary, max_tokens, memory):
        from keras import layers

        from models.layers import Decoder

        if memory:
            return self._decoder_with_memory(vocabulary)
        parts = self._parts(vocabulary, 1, {})
        if not self.tied_embeddings:
            parts["output"] = layers.Dense(vocabulary.size)
        return Decoder(parts, self, [[parts["embedding"]], *parts["layers"]])

    def _decoder_with_memory(self, vocabulary):
        from keras import layers

        from models import layers as ours
        from models.recurrent_decoder import RecurrentDecoder

        decoder = RecurrentDecoder(self)
        parts = self._parts(vocabulary, 2 if self.bidirectional else 1, {}) | decoder.parts(getattr(ours, self.cell))
        if not self.tied_embeddings:
            parts["output"] = layers.Dense(vocabulary.size)
        ladder = [[parts["embedding"]], *parts["layers"], *([layer] for layer in parts["target_layers"])]
        return ours.Decoder(parts, decoder, ladder)

    def _parts(self, vocabulary, directions: int, adapted) -> dict[str, Any]:
        from keras import layers

        from models import layers as ours

        cell = getattr(ours, self.cell)
        options = {"recurrent_dropout": self.recurrent_dropout, "return_sequences": True}
        spelling = {"characters": ours.Spelling(self.characters)} if self.characters else {}
        return {
            **spelling,
            "embedding": self.embedding_layer(vocabulary, self.embedding, adapted),
            "dropout": layers.Dropout(self.dropout),
            "layers": [[cell(self.width, **options) for _ in range(directions)] for _ in range(self.layers)],
        }

    def encode(self, parts, packed, training) -> Encoded:
        """Vectors of the tokens and of the text."""
        import tensorflow as tf

        every, mask = self.every(parts, packed, training), packed["mask"]
        length = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        pooled = self.last(every[-1], length) if self.pooling == "last" else parts["pooling"](every[-1], mask)
        return Encoded(every[-1], parts["dropout"](pooled, training=training), every, mask)

    def every(self, parts, packed, training) -> tuple:
        """The vectors that each layer gives, word vectors first.

        Padding is at the right, so no step needs a mask: forwards it comes after every token, and backwards each row
        is turned round by its own length. What the layers write there is never read.
        """
        import tensorflow as tf

        length = tf.reduce_sum(tf.cast(packed["mask"], tf.int32), axis=1)
        every = [parts["embedding"](packed["ids"])]
        if self.characters:
            every = [tf.concat([every[0], parts["characters"](packed[WORD_BYTES_KEY])], axis=2)]
        for forwards, *backwards in parts["layers"]:
            inputs = parts["dropout"](every[-1], training=training)
            states = [forwards(inputs, training=training)]
            for layer in backwards:
                turned = layer(tf.reverse_sequence(inputs, length, seq_axis=1), training=training)
                states.append(tf.reverse_sequence(turned, length, seq_axis=1))
            every.append(tf.concat(states, axis=2))
        return tuple(every)

    def last(self, sequence, length):
        """The last state of each direction: at the last token forwards, at the first backwards; zeros for no token."""
        import tensorflow as tf

        last = tf.gather(sequence, tf.maximum(length - 1, 0), batch_dims=1)
        states = tf.concat([last[:, : self.width], sequence[:, 0, self.width :]], axis=1)
        return tf.where(length[:, None] > 0, states, tf.zeros_like(states))

    def decode(self, parts, packed, training) -> Encoded:
        every = self.every(parts, packed, training)
        return Encoded(parts["dropout"](every[-1], training=training), None, every, packed["mask"])

    def logits(self, parts, hidden):
        from models.layers import alike

        if not self.tied_embeddings:
            return parts["output"](hidden)
        return alike(hidden, parts["embedding"].embeddings)

    def init_state(self, parts, memory, mask, max_tokens):
        """Each layer's states: h, and c where the cell has one; <float>[B, width]."""
        import tensorflow as tf

        rows = mask.shape[0] or tf.shape(mask)[0]
        return [layer.cell.get_initial_state(rows) for (layer,) in parts["layers"]]

    def step(self, parts, ids, state):
        x, states = parts["embedding"](ids), []
        for (layer,), before in zip(parts["layers"], state, strict=True):
            x, after = layer.cell(x, before)
            states.append(after)
        return x, states


class Rnn(Recurrent):
    """Elman's simple recurrent network (Elman 1990); both directions: Schuster and Paliwal 1997."""

    cell: ClassVar[str] = "RNN"


class Lstm(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; both directions: Graves and Schmidhuber 2005)."""

    cell: ClassVar[str] = "LSTM"


class Gru(Recurrent):
    """Gated recurrent units (Cho et al. 2014), the reset gate after the product with the state, as cuDNN has it."""

    cell: ClassVar[str] = "GRU"
