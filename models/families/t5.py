"""T5 (Raffel et al. 2020) on KerasHub's backbone: of any size from scratch, or a pretrained preset."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from models.families.base import Encoded
from models.families.pretrained import Pretrained

MASKED = -3e4  # added to what is hidden; -1e9, as in KerasHub's own mask, is infinite in half precision


class T5(Pretrained):
    """A transformer encoder with relative positions; a text's vector is the mean of its tokens'."""

    head_width: int | None = Field(None, ge=1, description="width of each attention head; width / heads if not given")
    version: Literal["1.0", "1.1"] = Field(
        "1.1", description="1.0: ReLU, one table of embeddings; 1.1: gated GELU, an output table of its own"
    )

    sizes: ClassVar[tuple[str, ...]] = (*Pretrained.sizes, "head_width", "version")
    offers: ClassVar[frozenset[str]] = frozenset({"pooled", "sequence"})
    backbone: ClassVar[str] = "T5Backbone"
    special_tokens: ClassVar[str] = "t5"
    lora_layers: ClassVar[list[str]] = ["query_projector", "value_projector"]
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "sentencepiece", "vocabulary_size": 8000}
    fine_tuning: ClassVar[dict[str, Any]] = {  # Raffel et al. 2020, section 3.1.3, with AdamW for Adafactor
        "epochs": 3,
        "batch_tokens": 4096,
        "optimizer": {"learning_rate": 1e-4, "schedule": "constant", "warmup": 0.1},
    }

    def arguments(self, max_tokens):
        import keras

        def gelu(x):
            return keras.activations.gelu(x, approximate=True)

        sizes = super().arguments(max_tokens)
        del sizes["max_sequence_length"]
        gated = self.version == "1.1"
        return sizes | {
            "key_value_dim": self.head_width,
            "activation": gelu if gated else "relu",
            "use_gated_activation": gated,
            "tie_embedding_weights": not gated,
        }

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        """The encoder's layers only: the decoder's would be weights that nothing uses."""
        import keras

        from models.layers import Encoder, Pooling

        backbone = self.make_backbone(vocabulary, max_tokens)
        parts = {
            "embedding": self._words(backbone),
            "embedding_dropout": backbone.encoder_embedding_dropout,
            "layers": backbone.encoder_transformer_layers,
            "norm": backbone.encoder_layer_norm,
            "norm_dropout": backbone.encoder_dropout,
            "pooling": Pooling("mean"),
            "dropout": keras.layers.Dropout(self.dropout),
        }
        return Encoder(parts, self.encode)

    def _words(self, backbone):
        """The table of embeddings, without the output table that version 1.1 keeps beside it."""
        import keras

        table = backbone.token_embedding
        if table.tie_weights:
            return table
        words = keras.layers.Embedding(backbone.vocabulary_size, backbone.hidden_dim, name="token_embedding")
        words.build()
        words.embeddings.assign(table.embeddings)
        words.trainable = table.trainable
        return words

    def encode(self, parts, packed, training) -> Encoded:
        """KerasHub's layers called one by one; the last of `layers` is normalized, as the reference's is."""
        import tensorflow as tf

        layers, mask, tokens = parts["layers"], packed["mask"], tf.shape(packed["ids"])[1]
        hidden = tf.where(mask, 0.0, MASKED)[:, None, None, :]
        bias = tf.cast(layers[0].self_attention.compute_bias(tokens, tokens), tf.float32) + hidden
        x = parts["embedding"](packed["ids"])
        every = [parts["embedding_dropout"](x, training=training)]
        for layer in layers:
            x, _ = layer(every[-1], position_bias=bias, training=training)
            every.append(x)
        every[-1] = parts["norm_dropout"](parts["norm"](every[-1]), training=training)
        pooled = parts["dropout"](parts["pooling"](every[-1], mask), training=training)
        return Encoded(every[-1], pooled, tuple(every), mask)
