"""BM25: how well documents fit a query by the words they share.

Robertson, Walker, Jones et al. 1994 (Okapi at TREC-3), on the weights of Robertson and Spärck Jones 1976.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sparse

from data.words import words_of


class Bm25(NamedTuple):
    """What each word gives to each document, for all queries the same: a query's scores are a sum of rows, each as
    often as the query has the word.

    words: in the order of the rows. weights: <float32>[words, documents], sparse.
    """

    words: list[str]
    weights: sparse.csr_matrix


def weigh(texts: Sequence[str], k1: float = 1.2, b: float = 0.75) -> Bm25:
    """k1: how soon more of the same word adds no more. b: how much longer documents count less, from 0 to 1.

    idf is ln(1 + (N - n + 0.5) / (n + 0.5)), which no common word makes negative (as in Lucene).
    """
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
    return Bm25(list(place), sparse.csr_matrix((data.astype(np.float32), counts.indices, counts.indptr), shape))
