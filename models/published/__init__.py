"""Models in Hugging Face's published format, read into KerasHub's backbones so that they answer as the reference does.

A folder holds config.json, the weights in model.safetensors (or in several such files with
model.safetensors.index.json) and, for data/tokenizers/published.py, the tokenizer's files. Heads of tasks are left
out, but for those of masked language models (`load_head`); a model saved with or without one, under any prefix, reads
the same. Equal to torch `transformers` to 1e-4
(tests/models/test_published_models.py). KerasHub 0.32's own reader is not used, since it
- computes GELU by tanh in BERT and ALBERT, where most models say `gelu`, the exact one, and ignores `hidden_act`;
- ignores `layer_norm_eps`, and in GPT-2 `n_inner`;
- leaves out RoBERTa's only row of segment embeddings, which is added to every token;
- wants BERT's and ALBERT's pooler, which a masked language model does not have (its layer then stays as it was made);
- wants the prefix of a model with a head in RoBERTa, DistilBERT and ALBERT;
- does not read T5.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ConfigError
from models.published import encoders, gpt2, t5
from models.published.tensors import Architecture, open_tensors

if TYPE_CHECKING:
    import keras_hub

CONFIG = "config.json"
ARCHITECTURES: Mapping[str, Architecture] = {  # by `model_type`
    "bert": encoders.BERT,
    "roberta": encoders.ROBERTA,
    "distilbert": encoders.DISTILBERT,
    "albert": encoders.ALBERT,
    "gpt2": gpt2.GPT2,
    "t5": t5.T5,
}


def read_config(folder: Path) -> dict[str, Any]:
    """What config.json of a preset's folder says. Raises ConfigError when there is none, or it is no JSON object."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{folder}: got a folder without {CONFIG}; wanted one with {CONFIG} and weights") from None
    except ValueError as error:
        raise ConfigError(f"{folder / CONFIG}: not JSON ({error})") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{folder / CONFIG}: got a JSON {type(config).__name__}; wanted an object")
    return config


def is_published(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is Hugging Face's; KerasHub's has the registered name of a class."""
    return "model_type" in config and "registered_name" not in config


def backbone_name(folder: Path, config: Mapping[str, Any]) -> str:
    """KerasHub's class of backbone for a published folder. Raises ConfigError for architectures not read here."""
    if config["model_type"] not in ARCHITECTURES:
        raise ConfigError(
            f"{folder / CONFIG}: got model_type '{config['model_type']}'; wanted one of {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[config["model_type"]].backbone


def load(folder: Path, config: Mapping[str, Any], **options: Any) -> "keras_hub.models.Backbone":
    """The backbone of a published folder, with its weights, under the current dtype policy.

    options: of KerasHub's constructor, in place of what config.json says (dropout).
    Raises ConfigError when a file, a tensor or a setting is missing, or is not what its architecture has.
    """
    import keras_hub

    kind = getattr(keras_hub.models, backbone_name(folder, config))
    architecture = ARCHITECTURES[config["model_type"]]
    try:
        arguments = architecture.arguments(config)
        with open_tensors(folder, architecture.anchors) as tensors:
            backbone = kind(**arguments | options)
            architecture.convert(backbone, config, tensors)
    except KeyError as error:
        raise ConfigError(f"{folder / CONFIG}: got no {error}, which a '{config['model_type']}' model has") from error
    except ValueError as error:
        raise ConfigError(f"{folder / CONFIG}: {error}") from error
    return backbone


def load_head(folder: Path, config: Mapping[str, Any], head: "keras_hub.layers.MaskedLMHead") -> bool:
    """Gives `head` the weights of what tells hidden tokens in a published folder, and computes as it does; False where
    the folder has none, or one with word vectors of its own. Raises ConfigError as `load`."""
    architecture = ARCHITECTURES[config["model_type"]]
    if architecture.head is None:
        return False
    with open_tensors(folder, architecture.anchors) as tensors:
        return architecture.head.convert(head, config, tensors)
