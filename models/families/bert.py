"""BERT (Devlin et al. 2019) on KerasHub's backbone: of any size from scratch, or a pretrained preset."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from data.errors import ConfigError
from models.families.base import Encoded, Family

SIZE = ("layers", "width", "heads", "intermediate")


class Bert(Family):
    """A transformer encoder with learned positions and segments; a text's vector is its [CLS] token's, or the mean."""

    layers: int = Field(2, ge=1, le=96, description="transformer layers")
    width: int = Field(128, ge=1, description="width of the token vectors; a multiple of heads")
    heads: int = Field(2, ge=1, description="attention heads")
    intermediate: int | None = Field(None, ge=1, description="width of the feed-forward layers; 4 * width if not given")
    dropout: float = Field(0.1, ge=0, lt=1, description="in every layer and on the text's vector")
    pooling: Literal["cls", "mean"] = Field("cls", description="vector of a text: [CLS] through a tanh layer, or mean")
    preset: str | None = Field(None, description="KerasHub preset, handle or folder; then the sizes are the preset's")

    offers: ClassVar[frozenset[str]] = frozenset({"pooled", "sequence"})
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "wordpiece", "vocabulary_size": 8000}
    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 4,
        "batch_tokens": 2048,
        "optimizer": {"learning_rate": 5e-4, "schedule": "linear", "warmup": 0.1},
    }
    fine_tuning: ClassVar[dict[str, Any]] = {  # of a preset; Devlin et al. 2019, appendix A.3
        "epochs": 3,
        "batch_tokens": 4096,
        "optimizer": {"learning_rate": 5e-5, "schedule": "linear", "warmup": 0.1},
    }
    special_tokens: ClassVar[bool] = True

    @model_validator(mode="after")
    def _one_size(self) -> "Bert":
        given = [name for name in SIZE if name in self.model_fields_set]
        if self.preset and given:
            raise ValueError(f"got preset and {', '.join(given)}; a preset has its own size: keep one of them")
        if self.width % self.heads:
            raise ValueError(f"got width {self.width} with {self.heads} heads, wanted a multiple")
        return self

    def defaults(self):
        return dict(self.fine_tuning if self.preset else self.recommended)

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        import keras

        from models.layers import Encoder, Pooling

        backbone = self._backbone(vocabulary, max_tokens)
        backbone.pooled_dense.trainable = self.pooling == "cls"  # no gradient would reach it
        parts = {"backbone": backbone, "mean": Pooling("mean"), "dropout": keras.layers.Dropout(self.dropout)}
        b = backbone
        embeddings = [b.token_embedding, b.position_embedding, b.segment_embedding, b.embeddings_layer_norm]
        return Encoder(parts, self.encode, [embeddings, *([layer] for layer in b.transformer_layers)])

    def _backbone(self, vocabulary, max_tokens):
        from keras_hub.models import BertBackbone

        from models.hub import load_backbone

        if not self.preset:
            return BertBackbone(
                vocabulary_size=vocabulary.size,
                num_layers=self.layers,
                num_heads=self.heads,
                hidden_dim=self.width,
                intermediate_dim=self.intermediate or 4 * self.width,
                dropout=self.dropout,
                max_sequence_length=max_tokens,
            )
        backbone = load_backbone(self.preset, BertBackbone, dropout=self.dropout)
        if backbone.vocabulary_size < vocabulary.size or backbone.max_sequence_length < max_tokens:
            raise ConfigError(
                f"trainer.family.preset: '{self.preset}' has {backbone.vocabulary_size} tokens and "
                f"{backbone.max_sequence_length} positions; got a tokenizer of {vocabulary.size} and max_tokens = "
                f"{max_tokens}: use the preset's own tokenizer, and a max_tokens within its positions"
            )
        return backbone

    def encode(self, parts, packed, training) -> Encoded:
        """KerasHub's layers called one by one, since its model returns the last layer only."""
        import tensorflow as tf

        b = parts["backbone"]
        tokens = b.token_embedding(packed["ids"])
        x = b.embeddings_add((tokens, b.position_embedding(tokens), b.segment_embedding(packed["segment_ids"])))
        x = b.embeddings_dropout(b.embeddings_layer_norm(x), training=training)
        every = [x]
        for layer in b.transformer_layers:
            x = layer(x, padding_mask=tf.cast(packed["mask"], tf.int32), training=training)
            every.append(x)
        pooled = b.pooled_dense(x[:, 0]) if self.pooling == "cls" else parts["mean"](x, packed["mask"])
        return Encoded(x, parts["dropout"](pooled, training=training), tuple(every), packed["mask"])
