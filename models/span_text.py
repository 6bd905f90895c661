"""The text of spans that a model found, and where it is."""

import tensorflow as tf

SPACES = r"[\s\p{Z}]+"  # in tokens of byte-level BPE and of SentencePiece, before a word or alone


def cut(text: tf.Tensor, start: tf.Tensor, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What stands at `start` to `end` (exclusive) <int32>[N] of texts <string>[N], without the spaces around it: a text
    <string>[N], its start and its end <int32>[N]. All in code points of valid UTF-8."""
    part = tf.strings.substr(text, start, end - start, unit="UTF8_CHAR")
    part = tf.strings.regex_replace(part, rf"^{SPACES}", "")
    start = end - tf.strings.length(part, unit="UTF8_CHAR")
    part = tf.strings.regex_replace(part, rf"{SPACES}$", "")
    return part, start, start + tf.strings.length(part, unit="UTF8_CHAR")
