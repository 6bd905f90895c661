"""Arrays of batches that differ in length."""

from collections.abc import Sequence

import numpy as np


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The batches [B, ...] as one; other axes are filled up to the longest with zeros, or empty bytes."""
    shape = np.max([part.shape for part in parts], axis=0)[1:]
    empty = b"" if parts[0].dtype == object else 0
    sides = [[(0, 0), *((0, most - size) for most, size in zip(shape, p.shape[1:], strict=True))] for p in parts]
    return np.concatenate([np.pad(p, s, constant_values=empty) for p, s in zip(parts, sides, strict=True)])
