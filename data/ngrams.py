"""Hashes of words and of their character n-grams, as fastText's (Bojanowski et al. 2017): FNV-1a over UTF-8 bytes.

`models/ngrams.py` has the same in the graph.
"""

from collections.abc import Sequence

import numpy as np

BASIS, PRIME = 2166136261, 16777619  # of FNV-1a, 32 bits
MIXER = 116049371  # of word n-grams: h = h * MIXER + hash of the next word
BEGIN, END = b"<", b">"  # around a word before it is cut


def character_ngrams(words: Sequence[bytes], shortest: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of every word's n-grams of `shortest` to `longest` characters <uint32>[total], splits <int64>[words + 1].

    Words are put between `<` and `>`; the two alone are no n-grams, the whole is one where it is short enough.
    """
    data = np.frombuffer(b"".join(BEGIN + word + END for word in words), np.uint8)
    starts = np.flatnonzero((data & 0xC0) != 0x80)  # of characters, in bytes
    word_ends = np.cumsum([len(word) + 2 for word in words], dtype=np.int64)
    owner = np.searchsorted(word_ends, starts, side="right")
    limits = np.append(starts, len(data))
    last = np.searchsorted(starts, word_ends)  # of each word, the number of the first character behind it
    first = np.concatenate([[0], last[:-1]]).astype(np.int64)
    character = np.arange(len(starts))
    hashes = np.full(len(starts), BASIS, np.uint32)
    found, owners = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
    for n in range(1, longest + 1):
        inside = character + n <= last[owner]
        character, owner, hashes = character[inside], owner[inside], hashes[inside]
        hashes = _over(hashes, data, limits[character + n - 1], limits[character + n])
        if n >= shortest:
            mark = (n == 1) & ((character == first[owner]) | (character + 1 == last[owner]))
            found.append(hashes[~mark])
            owners.append(owner[~mark])
    every = np.concatenate(owners)
    splits = np.concatenate([[0], np.cumsum(np.bincount(every, minlength=len(words)))]).astype(np.int64)
    return np.concatenate(found)[np.argsort(every, kind="stable")], splits


def word_hashes(words: Sequence[bytes]) -> np.ndarray:
    """The hash <uint32>[words] of each word."""
    data = np.frombuffer(b"".join(words), np.uint8)
    ends = np.cumsum([len(word) for word in words], dtype=np.int64)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)[: len(words)]
    return _over(np.full(len(words), BASIS, np.uint32), data, starts, ends)


def _over(hashes: np.ndarray, data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Each hash taken on over data[start:end]; bytes count as signed, as in C++ where fastText was written."""
    hashes = hashes.copy()
    lengths = ends - starts
    for k in range(int(lengths.max(initial=0))):
        more = np.flatnonzero(lengths > k)
        byte = data[starts[more] + k].astype(np.int8).astype(np.int32).astype(np.uint32)
        hashes[more] = (hashes[more] ^ byte) * np.uint32(PRIME)
    return hashes
