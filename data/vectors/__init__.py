"""Word vectors as others publish them: word2vec text and binary, GloVe text, fastText .vec and .bin, gzipped or not.

The kind is told by the content, since extensions tell nothing (`.bin` is word2vec's and fastText's, `.txt`
word2vec's and GloVe's). Nothing is unpickled. Only wanted words are kept, so a file of millions of words costs
the memory of the vocabulary that is used; a fastText .bin is memory-mapped.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.errors import DataError
from data.vectors import fasttext, word2vec
from data.vectors.base import Source, Subwords, Vectors
from data.vectors.writing import write_fasttext, write_text

__all__ = ["Found", "Vectors", "lookup", "read_vectors", "write_fasttext", "write_text"]


class Found(NamedTuple):
    """table <float32>[words, width], zeros for words not found <bool>[words]; subwords as in Vectors."""

    table: np.ndarray
    found: np.ndarray
    subwords: Subwords | None


def read_vectors(
    path: str | Path, encoding: str = "utf-8", wanted: Collection[str] | None = None, most: int | None = None
) -> Vectors:
    """The vectors of a file, in its order; a word that stands twice counts once, the first time.

    encoding: of the words; fastText hashes a word's n-grams from its bytes in it.
    wanted: only these words are kept. most: only so many, the first (the most frequent, as such files are written).
    Raises DataError with file, line or byte, and what was found there, when the file is none of the known
    kinds, is cut short, holds words of another encoding or numbers that are none.
    """
    source = Source(path, encoding, wanted, most)
    for known in (fasttext, word2vec):
        if known.recognises(source):
            return known.read(source)
    start = bytes(source.data[:60])
    raise DataError(
        f"{path}:1: got {start!r}; wanted word vectors: word2vec (text or binary), GloVe text, fastText .vec or .bin, "
        "gzipped or not"
    )


def lookup(path: str | Path, words: Sequence[str], encoding: str = "utf-8") -> Found:
    """Vectors of these words from a file.

    A word that the file lacks is made of its n-grams where the file has them (fastText .bin); else it is looked for
    in lower case, then with a capital: files keep case, tokenizers often do not. What is still missing is zeros.
    """
    spellings = [(word, word.lower(), word.capitalize()) for word in words]
    vectors = read_vectors(path, encoding, {spelling for word in spellings for spelling in word})
    place = {word: row for row, word in enumerate(vectors.words)}
    allowed = slice(3) if vectors.subwords is None else slice(1)
    rows = np.array([next((place[s] for s in word[allowed] if s in place), -1) for word in spellings], np.int64)
    table, found = np.zeros([len(words), vectors.table.shape[1]], np.float32), rows >= 0
    table[found] = vectors.table[rows[found]]
    if vectors.subwords is not None:
        missing = np.flatnonzero(~found).tolist()
        table[missing], found[missing] = vectors.subwords.vectors([words[i] for i in missing])
    return Found(table, found, vectors.subwords)
