"""What a word is to BM25, and where words are compared: runs of letters with their marks, digits and _, case folded.

Defined twice, in Python and in TensorFlow ops, with the same words for every text: both ask Python's Unicode of each
character by itself, and only characters that it knows, whose composition no later Unicode changes, are composed.
"""

import re
import unicodedata

PLANES = *range(0x20000), *range(0xE0000, 0xE1000)  # where Unicode has marks
MARKS = "".join(filter(lambda letter: unicodedata.category(letter)[0] == "M", map(chr, PLANES)))
WORD = re.compile(rf"[\w{MARKS}]+")  # to `re` a vowel sign of Devanagari, or a combining accent, is no letter
UNASSIGNED = r"[\x{33480}-\x{dffff}]"  # the planes that `mapping.CODES` leaves out


def words_of(text: str) -> list[str]:
    """The words of a text, in order, case folded (ß is ss, both small sigmas are one) and composed (NFC)."""
    return unicodedata.normalize("NFC", " ".join(WORD.findall(text)).casefold()).split()


class GraphWords:
    """`words_of` in ops that TF Serving links. Makes its map of characters, half a second, when it is made."""

    def __init__(self) -> None:
        from data.tokenizers.mapping import map_model, mapper

        self._folded = mapper(map_model(lambda character: character.casefold() if WORD.match(character) else " "))

    def __call__(self, texts):
        """texts <string>[N], of any bytes: what is no UTF-8 parts words. Returns a RaggedTensor <string>[N, None]."""
        import tensorflow as tf
        import tensorflow_text

        valid = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        folded = tf.strings.regex_replace(self._folded.normalize(valid), UNASSIGNED, " ")
        return tf.strings.split(tensorflow_text.normalize_utf8(folded, "NFC"))
