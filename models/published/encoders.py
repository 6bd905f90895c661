"""BERT, RoBERTa, DistilBERT and ALBERT: encoders of one kind, published under other names."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from models.published.tensors import Architecture, Head, Tensors, activation, refuse

WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
SEGMENTS = "embeddings.token_type_embeddings.weight"
DISTILBERT_EPSILON = 1e-12  # no setting of its config


class Names(NamedTuple):
    """What the parts of a layer are called."""

    query: str
    key: str
    value: str
    output: str
    attention_norm: str
    inner: str
    outer: str
    norm: str


BERT_NAMES = Names(
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    output="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    inner="intermediate.dense",
    outer="output.dense",
    norm="output.LayerNorm",
)
DISTILBERT_NAMES = Names(
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    output="attention.out_lin",
    attention_norm="sa_layer_norm",
    inner="ffn.lin1",
    outer="ffn.lin2",
    norm="output_layer_norm",
)
ALBERT_NAMES = Names(
    query="attention.query",
    key="attention.key",
    value="attention.value",
    output="attention.dense",
    attention_norm="attention.LayerNorm",
    inner="ffn",
    outer="ffn_output",
    norm="full_layer_layer_norm",
)


def _sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    refuse(config, position_embedding_type="absolute", is_decoder=False)
    return {
        "vocabulary_size": config["vocab_size"],
        "num_layers": config["num_hidden_layers"],
        "num_heads": config["num_attention_heads"],
        "hidden_dim": config["hidden_size"],
        "intermediate_dim": config["intermediate_size"],
        "max_sequence_length": config["max_position_embeddings"],
    }


def _bert_arguments(config):
    return _sizes(config) | {"num_segments": config.get("type_vocab_size", 2)}


def _roberta_arguments(config):
    sizes = _sizes(config)
    return sizes | {"max_sequence_length": sizes["max_sequence_length"] - _first_position(config)}


def _distilbert_arguments(config):
    return {
        "vocabulary_size": config["vocab_size"],
        "num_layers": config["n_layers"],
        "num_heads": config["n_heads"],
        "hidden_dim": config["dim"],
        "intermediate_dim": config["hidden_dim"],
        "max_sequence_length": config["max_position_embeddings"],
    }


def _albert_arguments(config):
    return _bert_arguments(config) | {
        "embedding_dim": config["embedding_size"],
        "num_groups": config.get("num_hidden_groups", 1),
        "num_inner_repetitions": config.get("inner_group_num", 1),
    }


def _first_position(config: Mapping[str, Any]) -> int:
    """RoBERTa counts positions from the one after its padding token's id."""
    return config.get("pad_token_id", 1) + 1


def _convert_bert(backbone, config, tensors: Tensors) -> None:
    _convert_embeddings(backbone, config, tensors)
    for n, layer in enumerate(backbone.transformer_layers):
        _convert_layer(layer, f"encoder.layer.{n}", BERT_NAMES, tensors, _function(config), _epsilon(config))
    _convert_pooler(backbone, "pooler.dense", tensors)


def _convert_roberta(backbone, config, tensors: Tensors) -> None:
    """Every token is of segment 0: its row is added to the positions."""
    import keras

    first, segment = _first_position(config), tensors[SEGMENTS][0]
    tensors.assign(backbone.token_embedding.embeddings, WORDS)
    positions = backbone.embeddings.position_embedding.position_embeddings
    tensors.assign(positions, POSITIONS, lambda array: array[first:] + segment)
    tensors.assign_norm(backbone.embeddings_layer_norm, "embeddings.LayerNorm", _epsilon(config))
    for n, layer in enumerate(backbone.transformer_layers):
        _convert_layer(layer, f"encoder.layer.{n}", BERT_NAMES, tensors, _function(config), _epsilon(config))
    if "pooler.dense.weight" in tensors:  # KerasHub's class has no place for it; the family looks here
        backbone.pooled_dense = keras.layers.Dense(backbone.hidden_dim, activation="tanh", name="pooled_dense")
        backbone.pooled_dense.build([None, backbone.hidden_dim])
        tensors.assign_dense(backbone.pooled_dense, "pooler.dense")


def _convert_distilbert(backbone, config, tensors: Tensors) -> None:
    tensors.assign(backbone.token_embedding.embeddings, WORDS)
    tensors.assign(backbone.embeddings.position_embedding.position_embeddings, POSITIONS)
    tensors.assign_norm(backbone.embeddings_layer_norm, "embeddings.LayerNorm", DISTILBERT_EPSILON)
    for n, layer in enumerate(backbone.transformer_layers):
        name = f"transformer.layer.{n}"
        _convert_layer(layer, name, DISTILBERT_NAMES, tensors, config.get("activation", "gelu"), DISTILBERT_EPSILON)


def _convert_albert(backbone, config, tensors: Tensors) -> None:
    _convert_embeddings(backbone, config, tensors)
    tensors.assign_dense(backbone.embeddings_projection, "encoder.embedding_hidden_mapping_in")
    for group, layers in enumerate(backbone.transformer_layers):
        for n, layer in enumerate(layers):
            name = f"encoder.albert_layer_groups.{group}.albert_layers.{n}"
            _convert_layer(layer, name, ALBERT_NAMES, tensors, _function(config), _epsilon(config))
    _convert_pooler(backbone, "pooler", tensors)


def _epsilon(config: Mapping[str, Any]) -> float:
    return config.get("layer_norm_eps", 1e-12)


def _function(config: Mapping[str, Any]) -> str:
    return config.get("hidden_act", "gelu_new" if config["model_type"] == "albert" else "gelu")


def _convert_embeddings(backbone, config, tensors: Tensors) -> None:
    tensors.assign(backbone.token_embedding.embeddings, WORDS)
    tensors.assign(backbone.position_embedding.position_embeddings, POSITIONS)
    tensors.assign(backbone.segment_embedding.embeddings, SEGMENTS)
    tensors.assign_norm(backbone.embeddings_layer_norm, "embeddings.LayerNorm", _epsilon(config))


def _convert_pooler(backbone, name: str, tensors: Tensors) -> None:
    if f"{name}.weight" in tensors:
        tensors.assign_dense(backbone.pooled_dense, name)


def _convert_layer(layer, prefix: str, names: Names, tensors: Tensors, function: str, epsilon: float) -> None:
    """One of KerasHub's TransformerEncoder."""
    attention = layer._self_attention_layer
    tensors.assign_dense(attention.query_dense, f"{prefix}.{names.query}")
    tensors.assign_dense(attention.key_dense, f"{prefix}.{names.key}")
    tensors.assign_dense(attention.value_dense, f"{prefix}.{names.value}")
    tensors.assign_dense(attention.output_dense, f"{prefix}.{names.output}")
    tensors.assign_norm(layer._self_attention_layer_norm, f"{prefix}.{names.attention_norm}", epsilon)
    tensors.assign_dense(layer._feedforward_intermediate_dense, f"{prefix}.{names.inner}")
    tensors.assign_dense(layer._feedforward_output_dense, f"{prefix}.{names.outer}")
    tensors.assign_norm(layer._feedforward_layer_norm, f"{prefix}.{names.norm}", epsilon)
    layer._feedforward_intermediate_dense.activation = activation(function)


def _head(dense: str, norm: str, scores: str, settings: Callable[[Mapping[str, Any]], tuple[str, float]]) -> Head:
    return Head(dense, norm, (f"{scores}.bias", f"{scores}.decoder.bias"), settings)


BERT_HEAD = _head(
    "cls.predictions.transform.dense",
    "cls.predictions.transform.LayerNorm",
    "cls.predictions",
    lambda config: (_function(config), _epsilon(config)),
)
ROBERTA_HEAD = _head("lm_head.dense", "lm_head.layer_norm", "lm_head", lambda config: ("gelu", _epsilon(config)))
DISTILBERT_HEAD = _head(
    "vocab_transform",
    "vocab_layer_norm",
    "vocab_projector",
    lambda config: (config.get("activation", "gelu"), DISTILBERT_EPSILON),
)
ALBERT_HEAD = _head("predictions.dense", "predictions.LayerNorm", "predictions", BERT_HEAD.settings)

BERT = Architecture("BertBackbone", (WORDS,), _bert_arguments, _convert_bert, BERT_HEAD)
ROBERTA = Architecture("RobertaBackbone", (WORDS,), _roberta_arguments, _convert_roberta, ROBERTA_HEAD)
DISTILBERT = Architecture("DistilBertBackbone", (WORDS,), _distilbert_arguments, _convert_distilbert, DISTILBERT_HEAD)
ALBERT = Architecture("AlbertBackbone", (WORDS,), _albert_arguments, _convert_albert, ALBERT_HEAD)
