"""The place of each text's own pair among the pairs of a split: what can be measured where pairs have no scores."""

from collections.abc import Callable, Sequence

import numpy as np

CANDIDATES = 10_000  # different pairs that every text is asked about, at most: spread evenly over a larger split's
NEAR = 1e-6  # scores no further apart are equal: a text's float32 vector differs so much from batch to batch
BLOCK = 1 << 20  # scores held at once
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows of texts <int>[n], of pairs <int>[m] to <float>[n, m]


class OwnPairs:
    """Texts and what belongs to each <str>[N]. A pair that stands in several rows is one candidate, and what belongs to
    a text in another row is none for it."""

    def __init__(self, texts: Sequence[str], pairs: Sequence[str]):
        from scipy.sparse import csr_matrix

        (_, self.text), (first, pair) = (
            np.unique(np.array(each, object), return_index=True, return_inverse=True)[1:] for each in (texts, pairs)
        )
        self.candidates = first[np.linspace(0, len(first) - 1, min(len(first), CANDIDATES)).astype(np.int64)]
        belongs = csr_matrix((np.ones(len(pair)), (self.text, pair)))
        self.belongs = belongs[:, pair[self.candidates]]

    def ranks(self, score: Score) -> np.ndarray:
        """<float64>[N], from 1: one and the candidates that score above the own pair, those that score the same by
        half. A score that is no number counts against the text."""
        found = [np.zeros(0)]
        size = max(1, BLOCK // len(self.candidates))
        for start in range(0, len(self.text), size):
            rows = np.arange(start, min(start + size, len(self.text)))
            scores = score(rows, np.concatenate([self.candidates, rows]))
            above = scores[:, : -len(rows)] - np.diagonal(scores, len(self.candidates))[:, None]
            beaten = np.where(np.abs(above) <= NEAR, 0.5, ~(above < 0))
            found.append(1 + (beaten * (self.belongs[self.text[rows]].toarray() == 0)).sum(axis=1))
        return np.concatenate(found)
