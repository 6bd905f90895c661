"""Writes vectors as others read them: word2vec text, and fastText's .bin where n-grams make vectors of other words."""

import struct
from collections.abc import Sequence

import numpy as np
from etils import epath

from data.vectors.fasttext import ARGUMENTS, MAGIC, NEWEST, Arguments

ROWS = 4096  # written at once


def write_text(path: epath.Path, words: Sequence[str], table: np.ndarray) -> None:
    """`words width`, then a word and its numbers a line; six digits, as word2vec.c."""
    with epath.Path(path).open("wb") as file:
        file.write(f"{len(words)} {table.shape[1]}\n".encode())
        for start in range(0, len(words), ROWS):
            rows = zip(words[start : start + ROWS], table[start : start + ROWS].tolist(), strict=True)
            file.write("".join(f"{word} {' '.join(f'{x:.6g}' for x in row)}\n" for word, row in rows).encode())


def write_fasttext(
    path: epath.Path,
    words: Sequence[str],
    counts: Sequence[int],
    rows: np.ndarray,
    buckets: np.ndarray,
    characters: tuple[int, int],
) -> None:
    """fastText's .bin, version 12, of a skip-gram model without its output matrix.

    rows <float32>[words, width]: the words' own. buckets <float32>[buckets, width]. characters: shortest and longest
    n-gram. `read_vectors` and gensim read it; fastText itself too, for vectors.
    """
    width = rows.shape[1]
    arguments = Arguments(width, 5, 1, 1, 5, 1, 2, 2, len(buckets), *characters, 100, 1e-4)
    with epath.Path(path).open("wb") as file:
        file.write(struct.pack("<2i", MAGIC, NEWEST) + ARGUMENTS.pack(*arguments))
        file.write(struct.pack("<3iqq", len(words), len(words), 0, sum(counts), -1))
        for word, count in zip(words, counts, strict=True):
            file.write(word.encode() + b"\0" + struct.pack("<qb", count, 0))
        file.write(b"\0" + struct.pack("<2q", len(rows) + len(buckets), width))
        file.write(np.ascontiguousarray(rows, "<f4").tobytes())
        file.write(np.ascontiguousarray(buckets, "<f4").tobytes())
        file.write(b"\0" + struct.pack("<2q", len(words), width))
        file.write(np.zeros([len(words), width], "<f4").tobytes())  # the output matrix, which nothing here reads
