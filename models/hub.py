"""Pretrained backbones by KerasHub preset name, handle or local folder: the only place here that may use the network.

A folder is what KerasHub's `save_to_preset` writes, or Hugging Face's (config.json and model.safetensors); neither
needs the network. Names and handles ("bert_tiny_en_uncased", "kaggle://...", "hf://...") are fetched once and cached
by KerasHub.
"""

from typing import TYPE_CHECKING

from data.errors import ConfigError

if TYPE_CHECKING:
    import keras_hub


def load_backbone(preset: str, kind: type) -> "keras_hub.models.Backbone":
    """The backbone of a preset with its weights; `kind` is the KerasHub class wanted (BertBackbone).

    Raises ConfigError when the preset cannot be found, read, or is of another architecture.
    """
    import keras

    try:
        backbone = kind.from_preset(preset, dtype=keras.config.dtype_policy())
    except Exception as error:  # KerasHub, Kaggle and Hugging Face each raise errors of their own
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"trainer.family.preset: '{preset}' could not be loaded ({first_line}); wanted a {kind.__name__} as a KerasHub "
            f"preset name, a kaggle:// or hf:// handle, or a folder with config.json and its weights"
        ) from error
    return backbone
