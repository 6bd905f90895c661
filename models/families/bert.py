"""BERT and its kin on KerasHub's backbones, of any size from scratch or a pretrained preset:

BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019), DistilBERT (Sanh et al. 2019), ALBERT (Lan et al. 2020).
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from models.families.base import Encoded
from models.families.pretrained import Pretrained


class MaskedFamily(Pretrained):
    """A transformer encoder whose text vector is that of the first token, or the mean."""

    pooling: Literal["cls", "mean"] = Field(
        "cls", description="vector of a text: its first token's through a layer, or the mean of its tokens'"
    )

    offers: ClassVar[frozenset[str]] = frozenset({"pooled", "sequence", "masked"})
    special_tokens: ClassVar[str] = "bert"
    objective: ClassVar[str] = "masked"
    pooled_activation: ClassVar[str] = "tanh"

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        import keras

        from models.layers import Encoder, Pooling

        backbone = self.make_backbone(vocabulary, max_tokens)
        parts = {"backbone": backbone, "dropout": keras.layers.Dropout(self.dropout)}
        pooled = getattr(backbone, "pooled_dense", None)
        if self.pooling == "mean":
            parts["pooling"] = Pooling("mean")
            if pooled:
                pooled.trainable = False  # no gradient would reach it
        else:
            parts["pooling"] = pooled or keras.layers.Dense(
                backbone.hidden_dim, activation=self.pooled_activation, name="pooled_dense"
            )
        return Encoder(parts, self.encode, self.ladder(backbone))

    def build_masked(self, vocabulary, max_tokens, adapted):
        """With the head that was pretrained with the preset, where it has one."""
        from models.masked_head import head_of, load_head

        encoder = self.build(vocabulary, max_tokens, 1, adapted)
        backbone = encoder.parts["backbone"]
        head = head_of(backbone.token_embedding, backbone.hidden_dim)
        if self.preset:
            load_head(head, self.preset)
        return encoder, head

    def encode(self, parts, packed, training) -> Encoded:
        """KerasHub's layers called one by one, since its models return the last layer only."""
        import tensorflow as tf

        backbone, keep = parts["backbone"], tf.cast(packed["mask"], tf.int32)
        every = [self.embed(backbone, packed, training)]
        for layer in self.calls(backbone):
            every.append(layer(every[-1], padding_mask=keep, training=training))
        x = every[-1]
        pooled = parts["pooling"](x, packed["mask"]) if self.pooling == "mean" else parts["pooling"](x[:, 0])
        return Encoded(x, parts["dropout"](pooled, training=training), tuple(every), packed["mask"])

    def embed(self, backbone, packed, training):
        """What the first layer reads <float>[B, T, width]: words, positions and segments."""
        tokens = backbone.token_embedding(packed["ids"])
        segments = backbone.segment_embedding(packed["segment_ids"])
        x = backbone.embeddings_add((tokens, backbone.position_embedding(tokens), segments))
        return backbone.embeddings_dropout(backbone.embeddings_layer_norm(x), training=training)

    def calls(self, backbone) -> Iterator[Any]:
        """The layers in the order they are called."""
        yield from backbone.transformer_layers

    def ladder(self, backbone) -> list[list[Any]]:
        """The layers of each step, from the embeddings up (models.layers.Encoder)."""
        embeddings = [backbone.token_embedding, backbone.position_embedding, backbone.segment_embedding]
        return [[*embeddings, backbone.embeddings_layer_norm], *([layer] for layer in self.calls(backbone))]


class Bert(MaskedFamily):
    """A transformer encoder with learned positions and segments."""

    backbone: ClassVar[str] = "BertBackbone"
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "wordpiece", "vocabulary_size": 8000}


class _WithoutSegments(MaskedFamily):
    def embed(self, backbone, packed, training):
        x = backbone.embeddings_layer_norm(backbone.embeddings(packed["ids"]))
        return backbone.embeddings_dropout(x, training=training)

    def ladder(self, backbone):
        return [[backbone.embeddings, backbone.embeddings_layer_norm], *([layer] for layer in self.calls(backbone))]


class Roberta(_WithoutSegments):
    """As bert, over bytes and without segments: `<s> text </s>`, and `</s></s>` between a text and its pair."""

    backbone: ClassVar[str] = "RobertaBackbone"
    special_tokens: ClassVar[str] = "roberta"
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "bpe", "vocabulary_size": 8000}
    fine_tuning: ClassVar[dict[str, Any]] = {  # Liu et al. 2019, table 10
        "epochs": 10,
        "batch_tokens": 4096,
        "optimizer": {"learning_rate": 2e-5, "schedule": "linear", "warmup": 0.06},
    }


class DistilBert(_WithoutSegments):
    """As bert, without segments; the published ones have half of their teacher's layers."""

    backbone: ClassVar[str] = "DistilBertBackbone"
    pooled_activation: ClassVar[str] = "relu"  # as in its own classifier
    default_tokenizer: ClassVar[dict[str, Any]] = Bert.default_tokenizer


class Albert(MaskedFamily):
    """As bert, with layers that share their weights and narrow word vectors."""

    embedding: int = Field(64, ge=1, description="width of the word vectors, projected to width")
    groups: int = Field(1, ge=1, description="groups of layers; those of a group share their weights")

    sizes: ClassVar[tuple[str, ...]] = (*Pretrained.sizes, "embedding", "groups")
    backbone: ClassVar[str] = "AlbertBackbone"
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "sentencepiece", "vocabulary_size": 8000}

    @model_validator(mode="after")
    def _whole_groups(self) -> "Albert":
        if self.layers % self.groups:
            raise ValueError(f"got {self.layers} layers in {self.groups} groups, wanted a multiple")
        return self

    def arguments(self, max_tokens):
        return super().arguments(max_tokens) | {"embedding_dim": self.embedding, "num_groups": self.groups}

    def embed(self, backbone, packed, training):
        return backbone.embeddings_projection(super().embed(backbone, packed, training))

    def calls(self, backbone):
        for group in backbone.transformer_layers:
            for _ in range(backbone.num_layers // backbone.num_groups):
                yield from group

    def ladder(self, backbone):
        """A layer that is called many times counts as the highest of its steps."""
        embeddings, *layers = super().ladder(backbone)
        return [[*embeddings, backbone.embeddings_projection], *layers]
