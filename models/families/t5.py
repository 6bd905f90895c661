"""T5 (Raffel et al. 2020) on KerasHub's backbone: of any size from scratch, or a pretrained preset."""

import warnings
from typing import Any, ClassVar, Literal

from pydantic import Field

from data.errors import ConfigError
from models.families.base import COVERAGE, Encoded
from models.families.pretrained import Pretrained

MASKED = -3e4  # added to what is hidden; -1e9, as in KerasHub's own mask, is infinite in half precision


class T5(Pretrained):
    """Transformer with relative positions, its encoder alone or both halves; a text's vector is its tokens' mean."""

    head_width: int | None = Field(None, ge=1, description="width of each attention head; width / heads if not given")
    version: Literal["1.0", "1.1"] = Field(
        "1.1", description="1.0: ReLU, one table of embeddings; 1.1: gated GELU, an output table of its own"
    )

    sizes: ClassVar[tuple[str, ...]] = (*Pretrained.sizes, "head_width", "version")
    offers: ClassVar[frozenset[str]] = frozenset({"pooled", "sequence", "masked", "encoder_decoder"})
    backbone: ClassVar[str] = "T5Backbone"
    special_tokens: ClassVar[str] = "t5"
    objective: ClassVar[str] = "span_corruption"
    lora_layers: ClassVar[list[str]] = ["query_projector", "value_projector"]
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "sentencepiece", "vocabulary_size": 8000}
    recommended: ClassVar[dict[str, Any]] = {  # the paper's optimizer: its rates are shares of each table's own scale
        "epochs": 4,
        "batch_tokens": 2048,
        "optimizer": {"name": "adafactor", "learning_rate": 1e-2, "schedule": "linear", "warmup": 0.1},
    }
    fine_tuning: ClassVar[dict[str, Any]] = {  # Raffel et al. 2020, section 3.1.3
        "epochs": 3,
        "batch_tokens": 4096,
        "optimizer": {"name": "adafactor", "learning_rate": 1e-3, "schedule": "constant"},
    }

    def arguments(self, max_tokens):
        from keras_hub.src.utils.keras_utils import gelu_approximate  # of all, the one that a preset can name

        sizes = super().arguments(max_tokens)
        del sizes["max_sequence_length"]
        gated = self.version == "1.1"
        return sizes | {
            "key_value_dim": self.head_width,
            "activation": gelu_approximate if gated else "relu",
            "use_gated_activation": gated,
            "tie_embedding_weights": not gated,
        }

    def make_backbone(self, vocabulary, max_tokens):
        with warnings.catch_warnings():  # about Keras's own masks, which are not used
            warnings.filterwarnings("ignore", "Layer '.*_attention'.* was passed an input with a mask")
            return super().make_backbone(vocabulary, max_tokens)

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        """The encoder's layers only: the decoder's would be weights that nothing uses."""
        import keras

        from models.layers import Encoder, Pooling

        backbone = self.make_backbone(vocabulary, max_tokens)
        parts = {"words": _words(backbone), **_stack(backbone, "encoder")}
        ladder = [[parts["words"]], *_steps(parts, "encoder")]
        parts |= {"pooling": Pooling("mean"), "dropout": keras.layers.Dropout(self.dropout)}
        return Encoder(parts, self.encode_text, ladder)

    def build_masked(self, vocabulary, max_tokens, adapted):
        from models.masked_head import Reversed, head_of

        encoder = self.build(vocabulary, max_tokens, 1, adapted)
        words = encoder.parts["words"]
        return encoder, head_of(Reversed(words, words.output_dim**-0.5), words.output_dim)

    def build_decoder(self, vocabulary, max_tokens, memory):
        backbone = self.make_backbone(vocabulary, max_tokens)
        if not getattr(backbone, "has_decoder", True):
            raise ConfigError(
                f"trainer.family.preset: '{self.preset}' holds an encoder alone, wanted both halves: another preset"
            )
        return self.decoder_of(backbone)

    def decoder_of(self, backbone):
        """Both halves of a backbone, as `build_decoder` gives them."""
        from models.layers import Decoder

        parts = {"words": backbone.token_embedding, **_stack(backbone, "encoder"), **_stack(backbone, "decoder")}
        return Decoder(parts, self, [[parts["words"]], *_steps(parts, "encoder"), *_steps(parts, "decoder")])

    def encode_text(self, parts, packed, training) -> Encoded:
        encoded = self.encode(parts, packed, training)
        pooled = parts["pooling"](encoded.sequence, encoded.mask)
        return encoded._replace(pooled=parts["dropout"](pooled, training=training))

    def encode(self, parts, packed, training) -> Encoded:
        import tensorflow as tf

        count = tf.shape(packed["ids"])[1]
        bias = _distances(parts["encoder"], count, count) + _hidden(packed["mask"][:, None, None])
        every = _run(parts, "encoder", packed["ids"], bias, training)
        return Encoded(every[-1], None, every, packed["mask"])

    def decode(self, parts, packed, training) -> Encoded:
        import tensorflow as tf

        source, ids = self.encode(parts, packed, training), packed["target_ids"]
        count = tf.shape(ids)[1]
        order = tf.range(count)
        bias = _distances(parts["decoder"], count, count) + _hidden(order[:, None] >= order)
        memory = {"key_value_states": source.sequence, "position_bias": _hidden(source.mask[:, None, None])}
        every = _run(parts, "decoder", ids, bias, training, memory)
        return Encoded(every[-1], None, every, packed["target_mask"])

    def logits(self, parts, hidden):
        words = parts["words"]
        if words.tie_weights:  # the table is as wide as the vectors are long
            hidden = hidden * words.output_dim**-0.5
        return words(hidden, reverse=True)

    def init_state(self, parts, memory, mask, max_tokens):
        """position <int32>[]; for each layer keys and values <float>[B, 2, T, heads, head_width] of the steps and of
        the source; mask <bool>[B, S], and the last layer's attention to each of its tokens so far."""
        import tensorflow as tf

        from models.layers import uncovered

        rows, layers = tf.shape(mask)[0], parts["decoder"]
        first = layers[0].self_attention
        steps = tf.zeros(
            [mask.shape[0] or rows, 2, max_tokens, first.num_heads, first.key_value_dim], first.compute_dtype
        )
        memories = [_keys_and_values(layer.cross_attention, memory) for layer in layers]
        state = {"position": tf.constant(0), "layers": [steps for _ in layers], "memory": memories, "memory_mask": mask}
        return {**state, COVERAGE: uncovered(mask)}

    def step(self, parts, ids, state):
        import tensorflow as tf

        from models.layers import write_cache

        def look(x):
            looks.append(_looked(layers[-1].cross_attention, x, state["memory"][-1], seen))

        position, layers, caches, looks = state["position"], parts["decoder"], [], []
        length = state["layers"][0].shape[2]
        bias = _distances(layers, 1, length, position) + _hidden(tf.range(length) <= position)
        seen = _hidden(state["memory_mask"][:, None, None])
        x = parts["words"](ids[:, None])
        for layer, cache, memory in zip(layers, state["layers"], state["memory"], strict=True):
            new = _keys_and_values(layer.self_attention, layer.self_attention_layer_norm(x))
            caches.append(write_cache(cache, new, position))
            own, source = {"cache": caches[-1], "position_bias": bias}, {"cache": memory, "position_bias": seen}
            x = _layer(layer, x, False, own, source, look if layer is layers[-1] else None)
        covered = state[COVERAGE] + looks[-1]
        return parts["decoder_norm"](x)[:, 0], {**state, "position": position + 1, "layers": caches, COVERAGE: covered}


def _stack(backbone, name: str) -> dict[str, Any]:
    return {
        name: getattr(backbone, f"{name}_transformer_layers"),
        f"{name}_norm": getattr(backbone, f"{name}_layer_norm"),
        f"{name}_drop": getattr(backbone, f"{name}_dropout"),
    }


def _steps(parts, name: str) -> list[list]:
    """The layers of each step of a stack; its norm belongs to the last."""
    *lower, last = parts[name]
    return [*([layer] for layer in lower), [last, parts[f"{name}_norm"]]]


def _words(backbone):
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


def _distances(layers, queries, keys, first=0):
    """What the distances from `queries` places, from `first` on, to `keys` places add: <float32>[1, heads, Q, K]."""
    import tensorflow as tf

    return tf.cast(layers[0].self_attention.compute_bias(queries, keys, first), tf.float32)


def _hidden(keep):
    import tensorflow as tf

    return tf.where(keep, 0.0, MASKED)


def _run(parts, stack: str, ids, bias, training, memory=None) -> tuple:
    """The vectors each layer of a stack gives, word vectors first, the last ones normalized as the reference's are."""
    drop = parts[f"{stack}_drop"]
    every = [drop(parts["words"](ids), training=training)]
    for layer in parts[stack]:
        every.append(_layer(layer, every[-1], training, {"position_bias": bias}, memory))
    every[-1] = drop(parts[f"{stack}_norm"](every[-1]), training=training)
    return tuple(every)


def _layer(layer, x, training, attend: dict, memory: dict | None, look=None):
    """KerasHub's T5TransformerLayer, which makes its masks by adding infinity in half precision.

    attend, memory: what its attentions to itself and to the source get: position_bias, cache or key_value_states.
    look: is shown what looks at the source.
    """
    normed = layer.self_attention_layer_norm(x)
    x += layer.self_attention_dropout(layer.self_attention(normed, **attend, training=training)[0], training=training)
    if memory:
        normed = layer.cross_attention_layer_norm(x)
        if look:
            look(normed)
        changed = layer.cross_attention(normed, **memory, training=training)[0]
        x += layer.cross_attention_dropout(changed, training=training)
    normed = layer.layer_norm(x)
    inner = layer.input_projector(normed)
    if layer.use_gated_activation:
        inner *= layer.gate_projector(normed)
    drop = layer.dropout_layer
    return x + drop(layer.output_projector(drop(inner, training=training)), training=training)


def _looked(attention, x, memory, bias):
    """The weights of an attention to the source <float32>[B, S], mean of its heads; x <float>[B, 1, width]."""
    import tensorflow as tf

    query = tf.reshape(attention.query_projector(x), [-1, attention.num_heads, attention.key_value_dim])
    scores = tf.einsum("bnd,bknd->bnk", query, memory[:, 0])
    weights = tf.nn.softmax(tf.cast(scores, tf.float32) + bias[:, :, 0])
    return tf.reduce_mean(weights, axis=1)


def _keys_and_values(attention, x):
    """<float>[B, 2, T, heads, head_width] of x <float>[B, T, width]."""
    import tensorflow as tf

    rows, count = tf.shape(x)[0], x.shape[1] or tf.shape(x)[1]
    shape = [rows, count, attention.num_heads, attention.key_value_dim]
    return tf.stack([tf.reshape(attention.key_projector(x), shape), tf.reshape(attention.value_projector(x), shape)], 1)
