"""ELMo from TensorFlow Hub: a module in the layout of google/elmo, whose weights stay as they are."""

import re
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from data.errors import ConfigError
from models.hub import load_tf_hub

BETWEEN = "."  # where a text and its pair meet: modules know sentences, and most of those end so


class HubElmo:
    """The layers of a module, asked by its signature `tokens`, or by `default` where it has no other.

    width: of a direction. depth: layers of LSTM. module: what a SavedModel must track.
    """

    def __init__(self, handle: str):
        """Raises ConfigError when the handle cannot be loaded, or is no module of this layout."""
        self.module = load_tf_hub(handle)
        signatures = getattr(self.module, "signatures", {})
        self.name = next((name for name in ("tokens", "default") if name in signatures), "")
        outputs = signatures[self.name].structured_outputs if self.name else {}
        self.layers = sorted(
            (name for name in outputs if re.fullmatch(r"lstm_outputs\d+", name)), key=lambda name: int(name[12:])
        )
        if not self.layers or "word_emb" not in outputs:
            raise ConfigError(
                f"trainer.family.hub: '{handle}' has signatures {sorted(signatures)} with outputs {sorted(outputs)}; "
                "wanted 'tokens' or 'default' with word_emb and lstm_outputs1, ..., as google/elmo has them"
            )
        self.ask = signatures[self.name]
        if any("VariableV2" in op.type for op in self.ask.graph.get_operations()):
            raise ConfigError(
                f"trainer.family.hub: '{handle}' holds variables of the oldest kind, which no SavedModel can carry on; "
                "wanted resource variables, as modules made with tensorflow_hub have them"
            )
        for variable in self.module.variables:
            variable._trainable = False  # else a tape asks for gradients through loops of TensorFlow 1, which have none
        self.width, self.depth = int(outputs["word_emb"].shape[-1]), len(self.layers)
        self.ladder: list[list] = [[] for _ in range(self.depth + 1)]  # nothing in it can be trained

    def __call__(self, word_bytes: tf.Tensor, mask: tf.Tensor) -> list[tf.Tensor]:
        """word_bytes <uint8>[B, T, W], mask <bool>[B, T] -> word vectors <float32>[B, T, width], and each layer's
        <float32>[B, T, 2 * width]."""
        tokens = tf.where(mask, strings(word_bytes), "")
        tokens = tf.where(mask & (tokens == ""), BETWEEN, tokens)
        outputs = self._ask_tokens(tokens, mask) if self.name == "tokens" else self._ask_text(tokens, mask)
        widths = [self.width, *[2 * self.width] * self.depth]
        names = ["word_emb", *self.layers]
        return [tf.ensure_shape(outputs[name], [None, None, n]) for name, n in zip(names, widths, strict=True)]

    def _ask_tokens(self, tokens: tf.Tensor, mask: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return self.ask(tokens=tokens, sequence_len=tf.reduce_sum(tf.cast(mask, tf.int32), axis=1))

    def _ask_text(self, tokens: tf.Tensor, mask: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Words with a space between them, which the module splits again; as many as the longest text has."""
        (name,) = self.ask.structured_input_signature[1]
        text = tf.strings.strip(tf.strings.reduce_join(tokens, axis=1, separator=" "))
        missing = tf.shape(mask)[1] - tf.reduce_max(tf.reduce_sum(tf.cast(mask, tf.int32), axis=1))
        paddings: Any = [[0, 0], [0, missing], [0, 0]]
        return {
            key: tf.pad(value, paddings) for key, value in self.ask(**{name: text}).items() if value.shape.rank == 3
        }


def strings(word_bytes: tf.Tensor) -> tf.Tensor:
    """Words <string>[B, T] from their bytes <uint8>[B, T, W]; zeros, behind a word, are none."""
    every = tf.constant([b"", *(bytes([code]) for code in range(1, 256))])
    return tf.strings.reduce_join(tf.gather(every, tf.cast(word_bytes, tf.int32)), axis=-1)
