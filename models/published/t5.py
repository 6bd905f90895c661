"""T5, versions 1.0 (ReLU, one table of embeddings) and 1.1 (gated GELU, an output table of its own), and Flan-T5."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.published.tensors import Architecture, Tensors, activation, refuse

EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")  # one table, any name
BIAS = "SelfAttention.relative_attention_bias.weight"


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Version 1.0 has one table and scales the decoder's vectors before it; 1.1 does neither, and `transformers` 5
    writes it as `scale_decoder_outputs = false`, whatever it says of ties."""
    refuse(
        config,
        relative_attention_num_buckets=32,
        relative_attention_max_distance=128,
        num_decoder_layers=config["num_layers"],
    )
    function, gated = _feed_forward(config)
    return {
        "vocabulary_size": config["vocab_size"],
        "num_layers": config["num_layers"],
        "num_heads": config["num_heads"],
        "hidden_dim": config["d_model"],
        "intermediate_dim": config["d_ff"],
        "key_value_dim": config["d_kv"],
        "activation": activation(function),
        "use_gated_activation": gated,
        "layer_norm_epsilon": config.get("layer_norm_epsilon", 1e-6),
        "tie_embedding_weights": config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True)),
    }


def _feed_forward(config: Mapping[str, Any]) -> tuple[str, bool]:
    """The activation, and whether it is gated: "relu", "gated-gelu" (by tanh, as T5 computes it), "gated-silu"."""
    name = config.get("feed_forward_proj", "relu")
    if name == "gated-gelu":
        return "gelu_new", True
    return name.removeprefix("gated-"), name.startswith("gated-")


def _convert(backbone, config, tensors: Tensors) -> None:
    """An encoder alone (T5EncoderModel) leaves the decoder as it was made; `has_decoder` tells the family."""
    words = next((name for name in EMBEDDINGS if name in tensors), EMBEDDINGS[0])
    tensors.assign(backbone.token_embedding.embeddings, words)
    stacks = [("encoder", backbone.encoder_transformer_layers, backbone.encoder_layer_norm)]
    backbone.has_decoder = any(name.startswith("decoder.block.") for name in tensors)
    if backbone.has_decoder:
        stacks.append(("decoder", backbone.decoder_transformer_layers, backbone.decoder_layer_norm))
        if not backbone.tie_embedding_weights:
            output = "lm_head.weight" if "lm_head.weight" in tensors else words
            tensors.assign(backbone.token_embedding.reverse_embeddings, output, np.transpose)
    for stack, layers, norm in stacks:
        tensors.assign(layers[0].self_attention.relative_attention_bias, f"{stack}.block.0.layer.0.{BIAS}")
        for n, layer in enumerate(layers):
            _convert_layer(layer, f"{stack}.block.{n}.layer", tensors)
        tensors.assign(norm.weight, f"{stack}.final_layer_norm.weight")


def _convert_layer(layer, prefix: str, tensors: Tensors) -> None:
    attentions = [("0.SelfAttention", layer.self_attention)]
    norms = [layer.self_attention_layer_norm]
    if layer.is_decoder:
        attentions.append(("1.EncDecAttention", layer.cross_attention))
        norms.append(layer.cross_attention_layer_norm)
    for name, attention in attentions:
        for part, dense in (
            ("q", attention.query_projector),
            ("k", attention.key_projector),
            ("v", attention.value_projector),
            ("o", attention.output_projector),
        ):
            tensors.assign_dense(dense, f"{prefix}.{name}.{part}")
    for n, norm in enumerate([*norms, layer.layer_norm]):
        tensors.assign(norm.weight, f"{prefix}.{n}.layer_norm.weight")
    feed_forward = f"{prefix}.{len(norms)}.DenseReluDense"
    if layer.use_gated_activation:
        tensors.assign_dense(layer.input_projector, f"{feed_forward}.wi_0")
        tensors.assign_dense(layer.gate_projector, f"{feed_forward}.wi_1")
    else:
        tensors.assign_dense(layer.input_projector, f"{feed_forward}.wi")
    tensors.assign_dense(layer.output_projector, f"{feed_forward}.wo")


T5 = Architecture("T5Backbone", EMBEDDINGS, _arguments, _convert)
