"""GPT-2 (Radford et al. 2019) on KerasHub's backbone: of any size from scratch, or a pretrained preset."""

from typing import Any, ClassVar

from models.families.base import Encoded
from models.families.pretrained import Pretrained


class Gpt2(Pretrained):
    """A transformer that reads from left to right; a text's vector is its last token's."""

    offers: ClassVar[frozenset[str]] = frozenset({"pooled", "sequence", "causal"})
    backbone: ClassVar[str] = "GPT2Backbone"
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "bpe", "vocabulary_size": 8000}

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        import keras

        from models.layers import Encoder

        backbone = self.make_backbone(vocabulary, max_tokens)
        return Encoder({"backbone": backbone, "dropout": keras.layers.Dropout(self.dropout)}, self.encode)

    def encode(self, parts, packed, training) -> Encoded:
        """KerasHub's layers called one by one; the last of `layers` is normalized, as the reference's is.

        Padding is at the right, after every token, so that the causal mask alone hides it.
        """
        import tensorflow as tf

        b, mask = parts["backbone"], packed["mask"]
        tokens = b.token_embedding(packed["ids"])
        x = b.embeddings_add((tokens, b.position_embedding(tokens)))
        every = [b.embeddings_dropout(x, training=training)]
        for layer in b.transformer_layers:
            every.append(layer(every[-1], training=training))
        every[-1] = b.layer_norm(every[-1])
        length = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        last = tf.gather(every[-1], tf.maximum(length - 1, 0), batch_dims=1)
        pooled = tf.where(length[:, None] > 0, last, tf.zeros_like(last))
        return Encoded(every[-1], parts["dropout"](pooled, training=training), tuple(every), mask)
