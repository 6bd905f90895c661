"""Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019): no text is unknown.

The merges run in SentencePiece's op: its BPE model merges the neighbours whose union has the best
score, here minus the rank of the merge. Its "characters" are bytes, given as the first 256 code
points (ISO 8859-1). Only the distinct words of a batch are merged.

Against Hugging Face's `tokenizers` on the same files, texts differ only by
- text that spells a special token: "<|endoftext|>" is tokenized as any other text here;
- characters newer than one side's Unicode tables (letters after Unicode 15.0 are not letters here);
- a pair of pieces that makes a token in another way than its merge says (none was found in GPT-2's
  vocabulary): it is merged here, as in OpenAI's own tiktoken.
"""

import json
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from etils import epath

from data.errors import ConfigError
from data.tokenizers import learning
from data.tokenizers.base import SpecialTokens
from data.tokenizers.graph import GraphTokenizer, described, read_lines, write_lines

SPACES = r"\t-\r \x{85}\p{Z}"  # Unicode's White_Space, for a character class
# GPT-2's pattern without its look-ahead, which RE2 lacks: `END_OF_SPACES` does its work.
WORD = rf"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+| ?\p{{N}}+| ?[^{SPACES}\p{{L}}\p{{N}}]+|[{SPACES}]+"
END_OF_SPACES = rf"([{SPACES}]+)([{SPACES}][^{SPACES}])"  # the last of several spaces goes with what follows
PREFIX = (r"\A([^ ])", r" \1")  # what it replaces, with what
CUT = b"\xff"  # in no UTF-8 text

# GPT-2's printable stand-ins for bytes, used in the files: itself where printable, else the next from U+0100 on.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
BYTE_OF = {chr(b): b for b in _PRINTABLE} | {chr(0x100 + i): b for i, b in enumerate(_OTHERS)}
CHARACTER_OF = {byte: character for character, byte in BYTE_OF.items()}


class BytePair(GraphTokenizer):
    """Pieces of UTF-8 bytes, merged inside words that begin with their space.

    vocabulary holds the printable stand-ins ("Ġthe" for " the"). Saved as vocab.json and merges.txt.
    """

    kind = "bpe"
    rows_per_call = 8192  # the more rows, the fewer distinct words a row

    def __init__(
        self, vocabulary: Sequence[str], merges: Sequence[str], special: SpecialTokens, options: Mapping[str, Any]
    ):
        super().__init__(vocabulary, special, options)
        self.merges = list(merges)  # "left right", the first learned first
        missing = BYTE_OF.keys() - set(vocabulary)
        if missing:
            raise ConfigError(f"bpe: got a vocabulary without {len(missing)} of the 256 bytes; wanted a byte-level one")

    @classmethod
    def count(cls, texts: Sequence[str], *, add_prefix_space: bool = False) -> Counter[str]:
        import pyarrow as pa
        import pyarrow.compute as pc

        texts = pa.array(texts, pa.string())
        if add_prefix_space:
            texts = pc.replace_substring_regex(texts, *PREFIX, max_replacements=1)
        return learning.count_tokens(*_chunks(texts), _split)

    @classmethod
    def learn(cls, counts: Mapping[str, int], *, vocabulary_size: int, add_prefix_space: bool = False) -> "BytePair":
        """Merges the most frequent pairs of pieces, from single bytes up.

        add_prefix_space: whether a text's first word is written as the others are, with a space before it.
        """
        from tokenizers import Tokenizer, models, trainers

        special = learning.ANGLED
        learning.check_size(vocabulary_size, len(special) + 256, "special tokens and the 256 bytes")
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            special_tokens=list(special),
            initial_alphabet=sorted(BYTE_OF),
            min_frequency=2,
            show_progress=False,
        )
        learned = Tokenizer(models.BPE())
        words = {_printable(word.encode()): n for word, n in counts.items()}
        learned.train_from_iterator(learning.occurrences(words), trainer)
        model = json.loads(learned.to_str())["model"]
        merges = [" ".join(pair) for pair in model["merges"]]
        vocabulary = sorted(model["vocab"], key=model["vocab"].__getitem__)
        return cls(vocabulary, merges, learning.SPECIAL, {"add_prefix_space": add_prefix_space})

    @classmethod
    def load(cls, directory: Path) -> "BytePair":
        directory = epath.Path(directory)
        ids = json.loads((directory / "vocab.json").read_text(encoding="utf-8"))
        merges = read_lines(directory / "merges.txt")[1:]
        return cls(sorted(ids, key=ids.__getitem__), merges, **described(directory))

    def _write(self, directory: epath.Path) -> None:
        ids = {piece: i for i, piece in enumerate(self.vocabulary)}
        (directory / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
        write_lines(directory / "merges.txt", ["#version: 0.2", *self.merges])

    def decode(self, ids: Sequence[int]) -> str:
        pieces = (self.vocabulary[i] for i in ids if i not in self.special.ids)
        return b"".join(map(_bytes, pieces)).decode("utf-8", "replace")

    def _pieces(self):
        return [b"" if i in self.special.ids else _bytes(piece) for i, piece in enumerate(self.vocabulary)]

    def _build(self) -> tuple:
        import tensorflow as tf
        import tensorflow_text

        return (tensorflow_text.SentencepieceTokenizer(_as_sentencepiece(self), out_type=tf.int32),)

    def _tokenize(self, texts):
        import tensorflow as tf

        (merger,) = self._resources
        words = _split(_with_prefix(texts) if self.options["add_prefix_space"] else texts)
        distinct, place = tf.unique(words.flat_values)
        pieces = merger.tokenize(tf.strings.unicode_transcode(distinct, "ISO-8859-1", "UTF-8"))
        of_words = tf.gather(pieces, place)
        return tf.RaggedTensor.from_row_splits(
            of_words.flat_values, tf.gather(of_words.row_splits, words.row_splits), validate=False
        )

    def _tokenize_with_offsets(self, texts):
        """No byte is lost, so the tokens' lengths say where they are."""
        import numpy as np
        import tensorflow as tf

        ids = self._tokenize(texts)
        lengths = tf.gather(np.array([len(piece) for piece in self.vocabulary], np.int32), ids.flat_values)
        ends = tf.cumsum(lengths)
        before = tf.gather(tf.concat([[0], ends], 0), ids.row_starts())  # bytes of the rows above
        if self.options["add_prefix_space"]:
            before += tf.cast(tf.strings.length(_with_prefix(texts)) - tf.strings.length(texts), tf.int32)
        ends -= tf.gather(before, ids.value_rowids())
        return ids, ids.with_flat_values(tf.maximum(ends - lengths, 0)), ids.with_flat_values(ends)


def _printable(text: bytes) -> str:
    return "".join(CHARACTER_OF[byte] for byte in text)


def _with_prefix(texts):
    import tensorflow as tf

    return tf.strings.regex_replace(texts, *PREFIX, replace_global=False)


def _split(texts):
    """Words of valid UTF-8 texts <string>[N] by GPT-2's pattern, RaggedTensor <string>[N, None]; some are empty."""
    import tensorflow as tf

    texts = tf.strings.regex_replace(texts, END_OF_SPACES, rb"\1" + CUT + rb"\2")
    texts = tf.strings.regex_replace(texts, WORD, rb"\0" + CUT)
    return tf.strings.split(texts, CUT)


def _chunks(texts) -> tuple[Any, Any]:
    """Cuts an Arrow array of texts before its spaces: the distinct chunks and their counts <int64>.

    Where a space follows other white space the pattern looks beyond the cut: those texts stay whole.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pc.match_substring_regex(texts, rf"[{SPACES}] ")
    lists = pc.split_pattern(texts.filter(pc.invert(whole)), " ")
    follows = np.ones(len(lists.values), bool)  # the first chunk of a text has no space before it
    follows[lists.offsets.to_numpy()[:-1]] = False
    chunks = pc.if_else(pa.array(follows), pc.binary_join_element_wise(" ", lists.values, ""), lists.values)
    return learning.distinct(pa.concat_arrays([chunks, texts.filter(whole)]))


def _as_sentencepiece(tokenizer: BytePair) -> bytes:
    """A SentencePiece BPE model (sentencepiece_model.proto) that gives the tokenizer's ids.

    Pieces that neither a merge nor a single byte makes (special tokens, fillers) are control
    pieces, which no text gives. Without `unknown` there is a last piece for it, never used: every
    byte has a piece.
    """
    normal, unknown, control = 1, 2, 3  # types of piece
    rank: dict[str, int] = {}
    for i, merge in enumerate(tokenizer.merges):
        rank.setdefault(merge.replace(" ", ""), i + 1)
    pieces = []
    for i, piece in enumerate(tokenizer.vocabulary):
        if i in tokenizer.special.ids or (len(piece) > 1 and piece not in rank):
            pieces.append((piece, 0, unknown if i == tokenizer.special.unknown else control))
        else:
            text = bytes(BYTE_OF[character] for character in piece).decode("latin-1")
            pieces.append((text, -rank.get(piece, 0), normal))
    if tokenizer.special.unknown is None:
        pieces.append(("<unk>", 0, unknown))
    none = (1 << 64) - 1  # -1, for the ids of start, end and pad
    unknown_id = next(i for i, piece in enumerate(pieces) if piece[2] == unknown)
    trainer = {3: 2, 4: len(pieces), 40: unknown_id, 41: none, 42: none, 43: none}  # model_type BPE, vocab_size, ids
    empty = struct.pack("<I", 1024) + bytes(1025)  # a map that changes nothing; without one each load logs a line
    normalizer = {1: b"identity", 2: empty, 3: 0, 4: 0, 5: 0}  # no prefix, no removal and no escape of spaces
    return b"".join(
        [_field(1, _message({1: text.encode(), 2: float(score), 3: kind})) for text, score, kind in pieces]
        + [_field(2, _message(trainer)), _field(3, _message(normalizer))]
    )


def _bytes(piece: str) -> bytes:
    return bytes(BYTE_OF[character] for character in piece)


def _message(fields: Mapping[int, Any]) -> bytes:
    """A protocol buffer in its wire format."""
    return b"".join(_field(number, value) for number, value in fields.items())


def _field(number: int, value: bytes | float | int) -> bytes:
    match value:
        case bytes():
            return _varint(number << 3 | 2) + _varint(len(value)) + value
        case float():
            return _varint(number << 3 | 5) + struct.pack("<f", value)
        case _:
            return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
