"""Characters: each Unicode code point of a text is a token."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from etils import epath

from data.tokenizers import learning
from data.tokenizers.graph import GraphTokenizer, described
from data.tokenizers.mapping import map_model, mapper


class Characters(GraphTokenizer):
    """Code points of a text, white space included; one that the vocabulary lacks is `unknown`.

    Saved as vocab.json, an object from character (or special token) to id: a line a character would
    lose the line end.
    """

    kind = "characters"

    @classmethod
    def count(cls, texts: Sequence[str], *, lowercase: bool = False) -> Counter[str]:
        import tensorflow as tf

        texts = mapper(_model(lowercase)).normalize(tf.constant(texts, tf.string, shape=[len(texts)]))
        codes, times = np.unique(tf.strings.unicode_decode(texts, "UTF-8").flat_values.numpy(), return_counts=True)
        return Counter({chr(code): n for code, n in zip(codes.tolist(), times.tolist(), strict=True)})

    @classmethod
    def learn(cls, counts: Mapping[str, int], *, vocabulary_size: int, lowercase: bool = False) -> "Characters":
        """The most frequent characters. lowercase: whether case is lost."""
        special = learning.BRACKETED
        learning.check_size(vocabulary_size, len(special) + 1, "special tokens and a character")
        characters = learning.most_frequent(counts, vocabulary_size - len(special))
        return cls([*special, *characters], learning.SPECIAL, {"lowercase": lowercase})

    @classmethod
    def load(cls, directory: Path) -> "Characters":
        ids = json.loads((epath.Path(directory) / "vocab.json").read_text(encoding="utf-8"))
        return cls(sorted(ids, key=ids.__getitem__), **described(directory))

    def _write(self, directory: epath.Path) -> None:
        ids = {character: i for i, character in enumerate(self.vocabulary)}
        (directory / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False, indent=0), encoding="utf-8")

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.vocabulary[i] for i in ids if i not in self.special.ids)

    def _build(self) -> tuple:
        """Code points in order, and the id of each: smaller and faster than a hash table."""
        import tensorflow as tf

        known = sorted((ord(c), i) for i, c in enumerate(self.vocabulary) if i not in self.special.ids)
        codes, ids = np.array(known, np.int32).reshape(-1, 2).T
        return mapper(_model(**self.options)), tf.constant(codes), tf.constant(ids)

    def _normalize(self, texts):
        fold, _, _ = self._resources
        return fold.normalize(texts)

    def _tokenize(self, texts):
        import tensorflow as tf

        _, codes, ids = self._resources
        found = tf.strings.unicode_decode(texts, "UTF-8")
        place = tf.minimum(tf.searchsorted(codes, found.flat_values), tf.size(codes) - 1)
        known = tf.gather(codes, place) == found.flat_values
        return found.with_flat_values(tf.where(known, tf.gather(ids, place), self.special.unknown))

    def _tokenize_with_offsets(self, texts):
        import tensorflow as tf

        characters, starts = tf.strings.unicode_split_with_offsets(texts, "UTF-8")
        starts = tf.cast(starts, tf.int32)
        return self._tokenize(texts), starts, starts + tf.strings.length(characters)


@cache
def _model(lowercase: bool) -> np.ndarray:
    return map_model(str.lower if lowercase else str)
