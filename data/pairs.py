"""Pairs of words and how often they were seen together: a store like data/store.py's, a row a pair."""

from pathlib import Path

import numpy as np

from data.schema import IDS, LENGTH, WEIGHT

COUNT = "count"


class Pairs:
    """Rows over `keys.bin` <int64>[rows] (first id * size + second) and `counts.bin` <float32>[rows], memory-mapped.

    lengths: one a row, so that a batch of n tokens has n pairs. weights: 1.
    """

    def __init__(self, directory: Path, size: int):
        self.size = size
        self._keys, self._counts = (
            np.memmap(directory / name, dtype, "r") if (directory / name).stat().st_size else np.zeros(0, dtype)
            for name, dtype in (("keys.bin", np.int64), ("counts.bin", np.float32))
        )
        self.lengths, self.weights = np.ones(len(self._keys), np.int32), np.ones(len(self._keys), np.float32)
        self.dropped: dict = {}

    def __len__(self) -> int:
        return len(self._keys)

    def gather(self, rows: np.ndarray, length: int, tight: bool = False) -> dict[str, np.ndarray]:
        """ids <int32>[B, 2], count <float32>[B], length, weight. A row of -1 repeats the first real one, weighing 0."""
        filler = rows < 0
        rows = np.where(filler, rows[np.argmin(filler)], rows)
        keys = self._keys[rows]
        ids = np.stack([keys // self.size, keys % self.size], axis=1).astype(np.int32)
        weights = np.where(filler, np.float32(0), np.float32(1))
        return {IDS: ids, COUNT: self._counts[rows], LENGTH: self.lengths[rows], WEIGHT: weights}
