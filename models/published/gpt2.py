"""GPT-2: its weights are [inputs, outputs], queries, keys and values side by side."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from models.published.tensors import Architecture, Tensors, activation, refuse


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    refuse(config, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    return {
        "vocabulary_size": config["vocab_size"],
        "num_layers": config["n_layer"],
        "num_heads": config["n_head"],
        "hidden_dim": config["n_embd"],
        "intermediate_dim": config.get("n_inner") or 4 * config["n_embd"],
        "max_sequence_length": config["n_positions"],
    }


def _convert(backbone, config, tensors: Tensors) -> None:
    epsilon, function = config.get("layer_norm_epsilon", 1e-5), activation(config["activation_function"])
    tensors.assign(backbone.token_embedding.embeddings, "wte.weight")
    tensors.assign(backbone.position_embedding.position_embeddings, "wpe.weight")
    for n, layer in enumerate(backbone.transformer_layers):
        attention = layer._self_attention_layer
        projections = (attention.query_dense, attention.key_dense, attention.value_dense)
        for part, projection in enumerate(projections):
            for variable, name in ((projection.kernel, "weight"), (projection.bias, "bias")):
                tensors.assign(variable, f"h.{n}.attn.c_attn.{name}", partial(_third, part=part))
        for dense, name in (
            (attention.output_dense, "attn.c_proj"),
            (layer._feedforward_intermediate_dense, "mlp.c_fc"),
            (layer._feedforward_output_dense, "mlp.c_proj"),
        ):
            tensors.assign(dense.kernel, f"h.{n}.{name}.weight")
            tensors.assign(dense.bias, f"h.{n}.{name}.bias")
        tensors.assign_norm(layer._self_attention_layer_norm, f"h.{n}.ln_1", epsilon)
        tensors.assign_norm(layer._feedforward_layer_norm, f"h.{n}.ln_2", epsilon)
        layer._feedforward_intermediate_dense.activation = function
    tensors.assign_norm(backbone.layer_norm, "ln_f", epsilon)


def _third(array: np.ndarray, part: int) -> np.ndarray:
    return np.split(array, 3, axis=-1)[part]


GPT2 = Architecture("GPT2Backbone", ("wte.weight",), _arguments, _convert)
