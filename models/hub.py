"""Pretrained models by KerasHub preset name, handle or local folder: the only place in models that may use the network.

A folder is what KerasHub's `save_to_preset` writes, or Hugging Face's (config.json and model.safetensors); neither
needs the network. Names and handles (`bert_tiny_en_uncased`, `kaggle://...`, `hf://...`) are fetched once and cached
by KerasHub.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ConfigError

if TYPE_CHECKING:
    import keras_hub


def load_backbone(preset: str, kind: type["keras_hub.models.Backbone"], **options: Any) -> Any:
    """The backbone of a preset with its weights, under the current dtype policy; `kind` is the class wanted.

    options: of its constructor, in place of the preset's own (dropout; no sizes, since they are the weights').
    Raises ConfigError when the preset cannot be found or read, or is of another architecture.
    """
    import keras

    try:
        return kind.from_preset(preset, dtype=keras.config.dtype_policy(), **options)
    except Exception as error:  # KerasHub, Kaggle and Hugging Face each raise errors of their own
        raise _not_loaded(preset, kind.__name__, error) from error


def save_tokenizer(preset: str, directory: str | Path) -> None:
    """Writes a preset's tokenizer to a local folder that `data.tokenizers.from_files` reads; ConfigError as above."""
    import keras_hub

    try:
        keras_hub.tokenizers.Tokenizer.from_preset(preset).save_to_preset(str(directory))
    except Exception as error:  # as above
        raise _not_loaded(preset, "tokenizer", error) from error


def _not_loaded(preset: str, wanted: str, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return ConfigError(
        f"trainer.family.preset: '{preset}' could not be loaded as {wanted}; wanted a KerasHub preset, a kaggle:// "
        f"or hf:// handle, or a folder with config.json and weights. What the library says: {reason}"
    )
