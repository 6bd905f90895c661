"""LSTM over word vectors (Hochreiter and Schmidhuber 1997; both directions: Graves and Schmidhuber 2005)."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from models.families.base import Encoded, Family


class Lstm(Family):
    """Layers of LSTM, in one direction or both, and a pooling that gives one vector a text."""

    width: int = Field(128, ge=1, description="units of each layer and direction")
    layers: int = Field(1, ge=1, le=16, description="layers of LSTM, one on the other")
    bidirectional: bool = Field(True, description="read in both directions; vectors are then 2 * width wide")
    embedding: int = Field(128, ge=1, description="width of the word vectors")
    pooling: Literal["last", "max", "mean", "attention"] = Field(
        "max", description="vector of a text: last states, or its tokens' largest, mean or attention-weighted values"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="on the word vectors, after each layer, on the text's vector")
    recurrent_dropout: float = Field(0.0, ge=0, lt=1, description="between steps; above 0 it rules out cuDNN on GPUs")

    offers: ClassVar[frozenset[str]] = frozenset({"pooled", "sequence"})
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "words", "vocabulary_size": 20_000, "min_count": 2}
    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 8,
        "batch_tokens": 1024,
        "optimizer": {"learning_rate": 2e-3, "schedule": "linear", "warmup": 0.1},
    }

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        from keras import layers

        from models.layers import LSTM, Encoder, Pooling

        directions = 2 if self.bidirectional else 1
        parts = {
            "embedding": layers.Embedding(vocabulary.size, self.embedding),
            "dropout": layers.Dropout(self.dropout),
            "layers": [
                [LSTM(self.width, self.recurrent_dropout, return_sequences=True) for _ in range(directions)]
                for _ in range(self.layers)
            ],
        }
        if self.pooling != "last":
            parts["pooling"] = Pooling(self.pooling)
        return Encoder(parts, self.encode)

    def encode(self, parts, packed, training) -> Encoded:
        """Vectors of the tokens and of the text.

        Padding is at the right, so no step needs a mask: forwards it comes after every token, and backwards each row
        is turned round by its own length. What the layers write there is never read.
        """
        import tensorflow as tf

        mask = packed["mask"]
        length = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        every = [parts["embedding"](packed["ids"])]
        for layer in parts["layers"]:
            inputs = parts["dropout"](every[-1], training=training)
            states = [layer[0](inputs, training=training)]
            if self.bidirectional:
                backwards = layer[1](tf.reverse_sequence(inputs, length, seq_axis=1), training=training)
                states.append(tf.reverse_sequence(backwards, length, seq_axis=1))
            every.append(tf.concat(states, axis=2))
        sequence = every[-1]
        pooled = self._last(sequence, length) if self.pooling == "last" else parts["pooling"](sequence, mask)
        return Encoded(sequence, parts["dropout"](pooled, training=training), tuple(every), mask)

    def _last(self, sequence, length):
        """The last state of each direction: at the last token forwards, at the first backwards; zeros for no token."""
        import tensorflow as tf

        last = tf.gather(sequence, tf.maximum(length - 1, 0), batch_dims=1)
        states = tf.concat([last[:, : self.width], sequence[:, 0, self.width :]], axis=1)
        return tf.where(length[:, None] > 0, states, tf.zeros_like(states))
