"""ELMo (Peters et al. 2018): vectors of words in their sentence, a learned mix of a two-way language model's layers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from data.schema import FROZEN
from models.families.base import Encoded, Family

if TYPE_CHECKING:
    import keras
    import numpy as np

SIZES = (  # that published weights bring with them
    *("embedding", "filters", "highway", "activation", "layers", "units", "width"),
    *("cell_clip", "projection_clip", "residual"),
)


class Elmo(Family):
    """A two-way language model over words made of their characters, and a mix of its layers for the task at hand."""

    embedding: int = Field(16, ge=1, description="width of a character's vector")
    filters: tuple[tuple[int, int], ...] = Field(
        ((1, 16), (2, 32), (3, 64), (4, 64), (5, 64)), description="[characters wide, how many] of each kind of filter"
    )
    highway: int = Field(1, ge=0, description="highway layers between filters and projection")
    activation: Literal["relu", "tanh"] = Field("relu", description="after the filters")
    layers: int = Field(2, ge=1, le=8, description="layers of LSTM in each direction")
    units: int = Field(256, ge=1, description="cells of a layer and direction")
    width: int = Field(
        64, ge=1, description="of a direction's vectors; cells are projected to it. Vectors are twice as wide"
    )
    cell_clip: float | None = Field(3.0, gt=0, description="most that a cell's state may be")
    projection_clip: float | None = Field(3.0, gt=0, description="most that a projected value may be")
    residual: bool = Field(True, description="add a layer's input to its output, from the second layer on")
    weights: str | None = Field(None, description="folder with *options.json and *weights.hdf5; then sizes are theirs")
    hub: str | None = Field(
        None,
        description="TensorFlow Hub handle or folder of a module as google/elmo; always frozen, with its own sizes",
    )
    frozen: bool | None = Field(
        None, description="train only the mix and what is on it; if not given, where weights come from elsewhere"
    )
    mix: Literal["learned", "words", "last"] = Field(
        "learned", description="a token's vector: weighted sum of all layers, the word's own vector, or the last layer"
    )
    mix_l2: float = Field(1e-3, ge=0, description="holds the weights of the layers near their mean; 0: not at all")
    pooling: Literal["max", "mean", "attention"] = Field("max", description="vector of a text from its tokens'")
    dropout: float = Field(0.5, ge=0, lt=1, description="on the tokens' vectors and the text's")

    offers: ClassVar[frozenset[str]] = frozenset({"pooled", "sequence", "bidirectional"})
    default_tokenizer: ClassVar[dict[str, Any]] = {
        "kind": "words",
        "vocabulary_size": 20_000,
        "options": {"lowercase": False},
    }
    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 8,
        "batch_tokens": 1024,
        "optimizer": {"learning_rate": 1e-3, "schedule": "linear", "warmup": 0.1},
    }
    embeds_layers: ClassVar[bool] = True
    objective: ClassVar[str] = "bidirectional"
    settled: ClassVar[tuple[str, ...]] = SIZES
    word_bytes: ClassVar[int] = 48  # with two marks, the 50 characters of the published models

    @model_validator(mode="after")
    def _one_source(self) -> "Elmo":
        source = "weights" if self.weights else "hub"
        given = [name for name in (*SIZES, "hub") if name in self.model_fields_set and name != source]
        if (self.weights or self.hub) and given:
            raise ValueError(f"got {source} and {', '.join(given)}; {source} brings its own sizes: keep one of them")
        if self.hub and self.frozen is False:
            raise ValueError("got hub and frozen = false; a module's weights cannot be trained: leave frozen out")
        if self.width > self.units:
            raise ValueError(f"got width {self.width} with {self.units} units, wanted at most as many")
        return self

    @property
    def is_frozen(self) -> bool:
        return bool(self.weights or self.hub) if self.frozen is None else self.frozen

    @property
    def refuses_tpu(self) -> str:  # type: ignore[override]
        return "a module of TensorFlow Hub reads strings, which TPUs do not" if self.hub else ""

    def start_from(self, folder: str) -> "Elmo":
        """This family over the weights in a folder, which have their own sizes."""
        kept = {name: getattr(self, name) for name in self.model_fields_set - set(SIZES) - {"hub"}}
        return type(self)(**{**kept, "weights": folder})

    def check_offer(self, offer):
        if offer != "bidirectional" or not self.hub:
            return []
        return [
            "trainer.family.hub: got a module for a task that tells words, whose begins and ends of sentences a "
            "module keeps to itself; wanted weights, or sizes"
        ]

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        from keras import layers

        from models.elmo_hub import HubElmo
        from models.elmo_layers import ScalarMix
        from models.layers import Encoder, Pooling

        network = HubElmo(self.hub) if self.hub else self.network()
        if not self.hub:
            network.trainable = not self.is_frozen
        parts = {"network": network, "dropout": layers.Dropout(self.dropout), "pooling": Pooling(self.pooling)}
        if self.mix == "learned":
            parts["mix"] = ScalarMix(network.depth + 1, self.mix_l2)
        resources = [network.module] if self.hub else []
        return Encoder(parts, self.encode, network.ladder, resources, self.layer_vectors)

    def build_bidirectional(self, vocabulary):
        """The network that the mix is made of, before there is one; words are told by a softmax over the vocabulary."""
        from keras import layers

        from models.layers import Encoder

        network = self.network(self.dropout)
        network.trainable = not self.is_frozen
        parts = {"network": network, "dropout": layers.Dropout(self.dropout)}
        return Encoder(parts, self.encode_apart, network.ladder), layers.Dense(vocabulary.size)

    def encode_apart(self, parts, packed, training) -> Encoded:
        """Each direction's vectors, side by side, of rows whose begin and end the network adds itself."""
        import tensorflow as tf

        length = tf.reduce_sum(tf.cast(packed["mask"], tf.int32), axis=1)
        word_bytes = tf.ensure_shape(packed["word_bytes"][:, 1:-1, : self.word_bytes], [None, None, self.word_bytes])
        words, _, _ = parts["network"].words.in_sentences(word_bytes, length - 2)
        layers, _ = parts["network"].bilm(words, words, length, training=training)
        every = (tf.concat([words, words], axis=2), *layers)
        return Encoded(parts["dropout"](every[-1], training=training), None, every, packed["mask"])

    def network(self, dropout: float = 0.0):
        """The language model without its softmax, a models.elmo_layers.Network, with the published weights if any."""
        import tensorflow as tf

        from models.elmo_layers import Network
        from models.published import elmo as published

        sizes = published.read_options(self.weights) if self.weights else {name: getattr(self, name) for name in SIZES}
        network = Network(**sizes, dropout=dropout)
        network(tf.zeros([1, 1, self.word_bytes], tf.uint8), tf.ones([1, 1], tf.bool))
        if self.weights:
            published.assign(self.weights, network)
        return network

    def layer_vectors(self, parts, packed):
        """All that the language model gives, side by side: <float>[B, T, (1 + 2 * layers) * width], words first."""
        import tensorflow as tf

        word_bytes = tf.ensure_shape(packed["word_bytes"][..., : self.word_bytes], [None, None, self.word_bytes])
        return tf.concat(parts["network"](word_bytes, packed["mask"]), axis=2)

    def encode(self, parts, packed, training) -> Encoded:
        """The mix, and of `layers` the first is the words' own vectors twice, as wide as the others."""
        import tensorflow as tf

        vectors = packed[FROZEN] if FROZEN in packed else self.layer_vectors(parts, packed)
        width, depth = parts["network"].width, parts["network"].depth
        words, *layers = tf.split(vectors, [width, *[2 * width] * depth], axis=2)
        every = (tf.concat([words, words], axis=2), *layers)
        mixed = parts["mix"](every) if self.mix == "learned" else every[0 if self.mix == "words" else -1]
        sequence = parts["dropout"](mixed, training=training)
        pooled = parts["pooling"](sequence, packed["mask"])
        return Encoded(mixed, parts["dropout"](pooled, training=training), every, packed["mask"])

    def report(self, encoder):
        return {"mix": encoder.parts["mix"].report()} if "mix" in encoder.parts else {}


def embed_sentence(encoder: "keras.layers.Layer", words: Sequence[str]) -> "np.ndarray":
    """Every layer's vectors <float32>[layers, tokens, 2 * width] of a sentence, words first (AllenNLP's
    `embed_sentence`, but for the states that it carries from one sentence to the next).

    encoder: what `Elmo(...).build` gives. No words give [layers, 0, 2 * width].
    """
    import numpy as np
    import tensorflow as tf

    raw = np.zeros([1, len(words), Elmo.word_bytes], np.uint8)
    for place, word in enumerate(words):
        data = np.frombuffer(word.encode()[: Elmo.word_bytes], np.uint8)
        raw[0, place, : len(data)] = data
    ids = tf.zeros([1, len(words)], tf.int32)
    packed = {"ids": ids, "segment_ids": ids, "mask": tf.ones([1, len(words)], tf.bool), "word_bytes": tf.constant(raw)}
    return np.stack([tf.cast(layer[0], tf.float32) for layer in encoder(packed).layers])
