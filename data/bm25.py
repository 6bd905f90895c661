"""BM25: how well documents fit a query by the words they share.

Robertson, Walker, Jones et al. 1994 (Okapi at TREC-3), on the weights of Robertson and Spärck Jones 1976.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sparse

MARKS = "".join(filter(lambda letter: unicodedata.category(letter)[0] == "M", map(chr, range(0x20000))))
WORD = re.compile(rf"[\w{MARKS}]+")  # to `re` a vowel sign of Devanagari, or a combining accent, is no letter


class Bm25:
    """Documents as words and weights, for all queries the same: a query is a sum of rows.

    idf is ln(1 + (N - n + 0.5) / (n + 0.5)), which no common word makes negative (as in Lucene).
    weights: <float32>[words, documents], sparse, what a word in a query gives to each document.
    """

    def __init__(self, words: Sequence[str], weights: sparse.csr_matrix):
        self.words, self.weights = list(words), weights
        self._place = {word: place for place, word in enumerate(self.words)}

    @classmethod
    def of(cls, texts: Sequence[str], k1: float = 1.2, b: float = 0.75) -> "Bm25":
        """k1: how soon more of the same word adds no more. b: how much longer documents count less, from 0 to 1."""
        place: dict[str, int] = {}
        found, lengths = [], np.zeros(len(texts), np.int64)
        for row, text in enumerate(texts):
            ids = [place.setdefault(word, len(place)) for word in words_of(text)]
            lengths[row] = len(ids)
            found.append(np.array(ids, np.int64))
        columns = np.repeat(np.arange(len(texts)), lengths)
        rows = np.concatenate(found) if found else np.zeros(0, np.int64)
        shape = len(place), len(texts)
        counts = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape)  # equal places are added up
        having = np.diff(counts.indptr)
        idf = np.log1p((len(texts) - having + 0.5) / (having + 0.5))
        longer = lengths / max(lengths.mean() if len(texts) else 0.0, 1e-9)
        damp = k1 * (1 - b + b * longer[counts.indices])
        data = np.repeat(idf, having) * counts.data * (k1 + 1) / (counts.data + damp)
        return cls(list(place), sparse.csr_matrix((data.astype(np.float32), counts.indices, counts.indptr), shape))

    def scores(self, query: str) -> np.ndarray:
        """<float32>[documents]; a word that the query repeats counts each time."""
        rows = [self._place[word] for word in words_of(query) if word in self._place]
        return np.asarray(self.weights[rows].sum(axis=0), np.float32).reshape(-1)

    def save(self, directory: Path) -> None:
        """bm25.npz and bm25.txt, its words, one a line."""
        sparse.save_npz(str(directory / "bm25.npz"), self.weights)
        (directory / "bm25.txt").write_text("".join(word + "\n" for word in self.words), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> "Bm25":
        words = (directory / "bm25.txt").read_text(encoding="utf-8").split("\n")[:-1]
        return cls(words, sparse.load_npz(str(directory / "bm25.npz")))


def words_of(text: str) -> list[str]:
    """Runs of letters with their marks, digits and _, in small letters, composed (NFC)."""
    return WORD.findall(unicodedata.normalize("NFC", text.lower()))
