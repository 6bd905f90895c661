"""GPT-2 (Radford et al. 2019) on KerasHub's backbone: of any size from scratch, or a pretrained preset."""

from typing import Any, ClassVar

from models.families.base import Encoded
from models.families.pretrained import Pretrained


class Gpt2(Pretrained):
    """A transformer that reads from left to right; a text's vector is its last token's."""

    offers: ClassVar[frozenset[str]] = frozenset({"pooled", "sequence", "causal"})
    objective: ClassVar[str] = "causal"
    backbone: ClassVar[str] = "GPT2Backbone"
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "bpe", "vocabulary_size": 8000}

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        import keras

        from models.layers import Encoder

        backbone = self.make_backbone(vocabulary, max_tokens)
        parts = {"backbone": backbone, "dropout": keras.layers.Dropout(self.dropout)}
        return Encoder(parts, self.encode, _ladder(backbone))

    def build_decoder(self, vocabulary, max_tokens, memory):
        from models.layers import Decoder

        backbone = self.make_backbone(vocabulary, max_tokens)
        return Decoder({"backbone": backbone}, self, _ladder(backbone))

    def encode(self, parts, packed, training) -> Encoded:
        """As `decode`, and each text's last vector; zeros for a text without tokens."""
        import tensorflow as tf

        encoded = self.decode(parts, packed, training)
        length = tf.reduce_sum(tf.cast(encoded.mask, tf.int32), axis=1)
        last = tf.gather(encoded.sequence, tf.maximum(length - 1, 0), batch_dims=1)
        pooled = tf.where(length[:, None] > 0, last, tf.zeros_like(last))
        return encoded._replace(pooled=parts["dropout"](pooled, training=training))

    def decode(self, parts, packed, training) -> Encoded:
        """KerasHub's layers called one by one; the last of `layers` is normalized, as the reference's is.

        Padding is at the right, after every token, so that the causal mask alone hides it.
        """
        b = parts["backbone"]
        tokens = b.token_embedding(packed["ids"])
        x = b.embeddings_add((tokens, b.position_embedding(tokens)))
        every = [b.embeddings_dropout(x, training=training)]
        for layer in b.transformer_layers:
            every.append(layer(every[-1], training=training))
        every[-1] = b.layer_norm(every[-1])
        return Encoded(every[-1], None, tuple(every), packed["mask"])

    def logits(self, parts, hidden):
        return parts["backbone"].token_embedding(hidden, reverse=True)

    def init_state(self, parts, memory, mask, max_tokens):
        """position <int32>[] and for each layer the keys and values <float>[B, 2, max_tokens, heads, width / heads]."""
        import tensorflow as tf

        backbone = parts["backbone"]
        if max_tokens > backbone.max_sequence_length:
            raise ValueError(
                f"got {max_tokens} steps, wanted {backbone.max_sequence_length} at most, the model's positions"
            )
        rows, heads = mask.shape[0] or tf.shape(mask)[0], backbone.num_heads
        shape = [rows, 2, max_tokens, heads, backbone.hidden_dim // heads]
        layers = backbone.transformer_layers
        return {"position": tf.constant(0), "layers": [tf.zeros(shape, layer.compute_dtype) for layer in layers]}

    def step(self, parts, ids, state):
        import tensorflow as tf

        from models.layers import write_cache

        b, position, caches = parts["backbone"], state["position"], []
        where = tf.cast(b.position_embedding.position_embeddings, b.compute_dtype)[position]
        x = b.embeddings_add((b.token_embedding(ids[:, None]), where[None, None]))
        for layer, cache in zip(b.transformer_layers, state["layers"], strict=True):
            attention, normed = layer._self_attention_layer, layer._self_attention_layer_norm(x)
            new = tf.stack([attention.key_dense(normed), attention.value_dense(normed)], axis=1)
            caches.append(write_cache(cache, new, position))
            seen = tf.range(cache.shape[2])[None, None] <= position
            x, _ = layer(x, self_attention_cache=caches[-1], decoder_attention_mask=seen, use_causal_mask=False)
        return b.layer_norm(x)[:, 0], {"position": position + 1, "layers": caches}


def _ladder(backbone) -> list[list]:
    *lower, last = backbone.transformer_layers
    words = [backbone.token_embedding, backbone.position_embedding]
    return [words, *([layer] for layer in lower), [last, backbone.layer_norm]]
