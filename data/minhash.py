"""Texts that are nearly the same: MinHash of their character shingles (Broder 1997), found by bands of it (LSH).

Two texts' signatures agree in about as many places as the Jaccard similarity of their shingles says.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np

SHINGLE = 8  # bytes: about a word and a half, and one machine word
PLACES, BANDS = 64, 16  # of a signature; texts of Jaccard 0.8 share one of 16 bands of 4 with probability 0.9998
_random = np.random.default_rng(20260101)
_FACTORS = _random.integers(1, 2**63, PLACES, np.uint64) | np.uint64(1)
_MIXERS = _random.integers(1, 2**63, BANDS * (PLACES // BANDS), np.uint64).reshape(BANDS, -1) | np.uint64(1)


def normalised(texts: Sequence[str]) -> list[bytes]:
    """Texts without what makes no difference: case, white space, Unicode's other spellings of a letter."""
    return [" ".join(unicodedata.normalize("NFKC", text).casefold().split()).encode() for text in texts]


def signatures(normal: Sequence[bytes]) -> np.ndarray:
    """<uint32>[N, PLACES] of normalised texts."""
    padded = [text.ljust(SHINGLE, b"\0") for text in normal]
    counts = np.array([len(text) - SHINGLE + 1 for text in padded], np.int64)
    data = np.frombuffer(b"".join(padded), np.uint8)
    words = np.lib.stride_tricks.sliding_window_view(data, SHINGLE)
    ends = np.cumsum(counts + SHINGLE - 1)
    inside = np.ones(len(words), bool)  # not the shingles that run from one text into the next
    for skipped in range(1, SHINGLE):
        inside[ends[:-1] - skipped] = False
    shingles = _mixed(np.ascontiguousarray(words[inside]).view(np.uint64)[:, 0])
    starts = np.cumsum(counts) - counts
    found = np.empty([len(normal), PLACES], np.uint32)
    for place, factor in enumerate(_FACTORS):
        found[:, place] = np.minimum.reduceat((shingles * factor) >> np.uint64(32), starts)
    return found


def _mixed(values: np.ndarray) -> np.ndarray:
    """Bits <uint64>[n] spread all over (the finaliser of MurmurHash3)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


class Index:
    """Signatures <uint32>[K, PLACES] that others are looked up in."""

    def __init__(self, known: np.ndarray):
        self.known = known
        bands = _bands(known)
        self.order = np.argsort(bands, axis=0, kind="stable")
        self.sorted = np.take_along_axis(bands, self.order, axis=0)

    def likeness(self, wanted: np.ndarray) -> np.ndarray:
        """The greatest share of equal places <float64>[N] with any known signature that shares a band; 0 for none."""
        best = np.zeros(len(wanted))
        if not len(self.known) or not len(wanted):
            return best
        for band, values in enumerate(_bands(wanted).T):
            column = self.sorted[:, band]
            low, high = np.searchsorted(column, values, "left"), np.searchsorted(column, values, "right")
            counts = high - low
            rows = np.repeat(np.arange(len(wanted)), counts)
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            others = self.order[np.repeat(low, counts) + within, band]
            for start in range(0, len(rows), 1 << 18):
                part = slice(start, start + (1 << 18))
                share = (wanted[rows[part]] == self.known[others[part]]).mean(axis=1)
                np.maximum.at(best, rows[part], share)
        return best


def _bands(found: np.ndarray) -> np.ndarray:
    """One number <uint64>[N, BANDS] for the places of each band."""
    parts = found.reshape(len(found), BANDS, PLACES // BANDS).astype(np.uint64) + np.uint64(1)
    return _mixed((parts * _MIXERS).sum(axis=2, dtype=np.uint64))
