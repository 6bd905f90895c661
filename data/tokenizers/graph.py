"""A tokenizer defined once, by TensorFlow ops: bulk encoding runs the very ops that the SavedModel holds.

So Beam, tf.data and the SavedModel cannot disagree. An implementation gives `_build` (its tables and
models), `_normalize`, `_tokenize`, `_tokenize_with_offsets`, and `_write` (its vocabulary files).
Attributes that start with an underscore hold TensorFlow objects: made when first needed, shared by
all threads, left behind by pickle.
"""

import json
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from etils import epath

from data.tokenizers.base import DESCRIPTION, SpecialTokens, Tokenizer

_BUILDING = threading.RLock()  # one for all: building takes well under a second, and once a process


class GraphTokenizer(Tokenizer):
    """Base of the tokenizers whose bulk path and in-graph path are the same ops."""

    separator: ClassVar[str] = ""  # between the tokens of a text that is decoded
    rows_per_call: ClassVar[int] = 1024  # of the bulk path: fewer make more calls, more stay no longer in the cache

    def __init__(self, vocabulary: Sequence[str], special: SpecialTokens, options: Mapping[str, Any]):
        self.vocabulary, self.special, self.options = list(vocabulary), special, dict(options)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    @abstractmethod
    def _build(self) -> tuple:
        """Makes the tables and models that the ops read. Called once, eagerly, on the CPU."""

    def _normalize(self, texts):
        """Valid UTF-8 <string>[N] -> what is tokenized, <string>[N]."""
        return texts

    def _as_written(self, texts):
        """As `_normalize`, upper case kept where that would go: the same words, for families that read letters."""
        return self._normalize(texts)

    @abstractmethod
    def _tokenize(self, texts):
        """Normalized <string>[N] -> ids, RaggedTensor <int32>[N, None]."""

    @abstractmethod
    def _tokenize_with_offsets(self, texts):
        """Normalized <string>[N] -> ids, and the bytes where tokens start and end: RaggedTensors <int32>[N, None]."""

    def _words(self, texts):
        """Normalized <string>[N] -> the words of `_tokenize`'s ids, RaggedTensor <string>[N, None]."""
        raise self._no_words()

    def _pieces(self) -> Sequence[str | bytes]:
        """What each id stands for in a text that is decoded."""
        return self.vocabulary

    def _join(self, ids):
        """Ids without special ones, RaggedTensor <int32>[N, None] -> their texts <string>[N]."""
        import tensorflow as tf

        pieces = tf.constant(np.array(self._pieces(), object))  # NumPy's own strings would lose a NUL at the end
        return tf.strings.reduce_join(ids.with_values(tf.gather(pieces, ids.values)), axis=1, separator=self.separator)

    @abstractmethod
    def _write(self, directory: epath.Path) -> None:
        """Writes the vocabulary in its published format."""

    @property
    def _resources(self) -> tuple:
        import tensorflow as tf

        with _BUILDING:
            if "_built" not in vars(self):
                with tf.init_scope(), tf.device("CPU:0"):  # out of any graph being traced; strings live on the CPU
                    self._built = self._build()
            return self._built

    def _bulk(
        self, name: str, function: Callable, texts: Sequence[str], *numbers: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values [total, ...] and row splits <int64> of what `function` gives for texts, traced once by name."""
        import tensorflow as tf

        with _BUILDING:
            traced = vars(self).setdefault("_traced", {})
            if name not in traced:
                signature = [tf.TensorSpec([None], tf.string), *[tf.TensorSpec([], tf.int32)] * len(numbers)]
                traced[name] = tf.function(function, signature, False).get_concrete_function()
        starts = range(0, max(len(texts), 1), self.rows_per_call)
        batches = (tf.constant(texts[i : i + self.rows_per_call], tf.string, name="texts") for i in starts)
        found = [traced[name](batch, *map(tf.constant, numbers)) for batch in batches]
        splits = np.zeros(len(texts) + 1, np.int64)
        np.cumsum(np.concatenate([lengths.numpy() for _, lengths in found]), out=splits[1:])
        return np.concatenate([values.numpy() for values, _ in found]), splits

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        return self._bulk("ids", self._ids, texts)

    def _ids(self, texts):
        ids = self._tokenize(self._normalize(texts))
        return ids.flat_values, ids.row_lengths()

    def encode_with_offsets(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        values, splits = self._bulk("offsets", self._ids_and_offsets, texts)
        ids, starts, ends = np.ascontiguousarray(values.T)
        return ids, splits, starts, ends

    def _ids_and_offsets(self, texts):
        import tensorflow as tf

        found = self.graph_with_offsets(texts)
        return tf.stack([each.flat_values for each in found], axis=1), found[0].row_lengths()

    def encode_words(self, texts: Sequence[str], max_tokens: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        return self._bulk("words", self._joined_words, texts, max_tokens, width)

    def _joined_words(self, texts, max_tokens, width):
        import tensorflow as tf

        words = self._words(self._as_written(texts))[:, :max_tokens]
        cut = words.with_values(tf.strings.substr(words.values, 0, width))
        joined = tf.strings.reduce_join(cut, axis=1, separator=" ")
        return tf.io.decode_raw(tf.strings.reduce_join(joined), tf.uint8), tf.strings.length(joined)

    def graph(self, texts):
        return self._tokenize(self._normalize(_valid(texts)))

    def words(self, texts):
        return self._words(self._as_written(_valid(texts)))

    def graph_with_offsets(self, texts):
        texts = _valid(texts)
        ids, starts, ends = self._tokenize_with_offsets(self._normalize(texts))
        starts, ends = _to_characters(starts, ends, _character_lengths(texts, self._normalize))
        return ids, starts, ends

    def graph_decode(self, ids):
        import tensorflow as tf

        special = tf.constant(sorted(self.special.ids), tf.int32)
        of_text = tf.reduce_all(ids.values[:, None] != special[None, :], axis=1)
        return _valid(self._join(tf.ragged.boolean_mask(ids, ids.with_values(of_text))))

    def save(self, directory: Path) -> None:
        directory = epath.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self._write(directory)
        about = {"kind": self.kind, "options": self.options, "special": asdict(self.special)}
        (directory / DESCRIPTION).write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")

    @property
    def trackables(self) -> list:
        return list(self._resources)


def described(directory: Path) -> dict[str, Any]:
    """`special` and `options` of a saved tokenizer, as its constructor takes them."""
    about = json.loads((epath.Path(directory) / DESCRIPTION).read_text())
    return {"special": SpecialTokens(**about["special"]), "options": about["options"]}


def read_lines(file: epath.Path) -> list[str]:
    """Lines of a vocabulary; only a line feed ends one."""
    return file.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def write_lines(file: epath.Path, lines: Iterable[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _valid(texts):
    """Bytes that are not UTF-8 become U+FFFD; valid texts stay as they are."""
    import tensorflow as tf

    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")


def _character_lengths(texts, normalize: Callable):
    """Bytes that each character of valid UTF-8 <string>[N] is after normalizing, RaggedTensor <int32>[N, None].

    Every normalization here changes the characters one by one, so each distinct one is seen once.
    """
    import tensorflow as tf

    codes = tf.strings.unicode_decode(texts, "UTF-8")
    distinct, place = tf.unique(codes.flat_values)
    characters = tf.strings.unicode_encode(distinct[:, tf.newaxis], "UTF-8")
    return codes.with_flat_values(tf.gather(tf.strings.length(normalize(characters)), place))


def _to_characters(starts, ends, lengths):
    """Offsets in bytes of the normalized texts, to offsets in characters of the source.

    lengths: see `_character_lengths`. One search over the whole batch, where the last bytes of the
    characters are numbered through all rows. A token takes the characters that its bytes come from,
    and those behind it that normalizing dropped (combining marks, where accents are stripped); none,
    where SentencePiece puts a space before the text or takes a character apart.
    """
    import tensorflow as tf

    byte_ends = tf.cumsum(lengths.flat_values)
    rows = starts.value_rowids()
    first = tf.gather(lengths.row_starts(), rows)  # the row's characters, numbered through all rows
    last = tf.gather(lengths.row_limits(), rows)
    base = tf.gather(tf.concat([[0], byte_ends], 0), first)
    start = tf.searchsorted(byte_ends, base + tf.cast(starts.flat_values, tf.int32), side="right", out_type=tf.int64)
    limit = base + tf.cast(ends.flat_values, tf.int32)
    within = tf.searchsorted(byte_ends, limit, side="left", out_type=tf.int64) + 1
    dropped = tf.searchsorted(byte_ends, limit, side="right", out_type=tf.int64)
    end = tf.minimum(tf.maximum(within, dropped), last)
    start = tf.minimum(start, end)
    return [starts.with_flat_values(tf.cast(offset - first, tf.int32)) for offset in (start, end)]
