"""What readers of vector files share: the file's bytes, what they give, how they complain."""

import gzip
import mmap
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from etils import epath

from data.errors import DataError
from data.ngrams import character_ngrams


class Subwords(NamedTuple):
    """The rows of hashed character n-grams, and how words are cut and hashed.

    table: <float32>[buckets, width]. shortest, longest: n-grams, in characters. encoding: of the bytes hashed.
    """

    table: np.ndarray
    shortest: int
    longest: int
    encoding: str

    def vectors(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The mean of each word's n-gram rows <float32>[words, width], and whether it has any <bool>[words]."""
        encoded = [word.encode(self.encoding, "replace") for word in words]
        hashes, splits = character_ngrams(encoded, self.shortest, self.longest)
        sums = sum_rows(self.table, hashes % np.uint32(max(len(self.table), 1)), splits)
        counts = np.diff(splits)
        return sums / np.maximum(counts, 1)[:, None].astype(np.float32), counts > 0


class Vectors(NamedTuple):
    """words, each once; table <float32>[words, width]; subwords where the file can make vectors of other words."""

    words: list[str]
    table: np.ndarray
    subwords: Subwords | None = None


class Source:
    """A file of vectors: its bytes, memory-mapped where it is a plain local file, and the words wanted of it."""

    def __init__(self, path: str | Path, encoding: str, wanted: Collection[str] | None, most: int | None):
        self.path, self.encoding, self.most = path, encoding, most
        try:
            "".encode(encoding)
        except LookupError:
            raise DataError(f"{path}: got encoding '{encoding}'; wanted one that Python knows, such as utf-8") from None
        self.wanted = None if wanted is None else {self._encoded(word) for word in wanted}
        self.data = _read(path)

    def _encoded(self, word: str) -> bytes:
        return word.encode(self.encoding, "replace")

    def keeps(self, word: bytes) -> bool:
        return self.wanted is None or word in self.wanted

    def decode(self, word: bytes, place: str) -> str:
        """place: `path:line` or `path, byte n`, for the message."""
        try:
            return word.decode(self.encoding)
        except UnicodeDecodeError:
            raise DataError(
                f"{place}: got the word {word!r}, which is not {self.encoding}; wanted the file's own encoding; "
                "say which it is, such as latin-1"
            ) from None

    def cut(self, had: int, wanted: int) -> DataError:
        return DataError(
            f"{self.path}, byte {len(self.data)}: the file ends after {had} of {wanted} words; wanted a whole file; "
            "fetch it again"
        )


def once(words: Sequence[str]) -> np.ndarray:
    """Places <int64>[n] of the words that did not stand before."""
    first = {word: place for place, word in reversed(list(enumerate(words)))}
    return np.array(sorted(first.values()), np.int64)


def sum_rows(table: np.ndarray, rows: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """Sums <float32>[n, width] of table[rows[splits[i]:splits[i + 1]]], in parts that fit memory."""
    sums = np.zeros([len(splits) - 1, table.shape[1]], np.float32)
    owner = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
    for start in range(0, len(rows), 1 << 16):
        part = slice(start, start + (1 << 16))
        np.add.at(sums, owner[part], table[rows[part]])
    return sums


def _read(path: str | Path) -> "bytes | mmap.mmap":
    file = epath.Path(path)
    try:
        with file.open("rb") as opened:
            if opened.read(2) == b"\x1f\x8b":
                opened.seek(0)
                return gzip.decompress(opened.read())
        if "://" in str(path):
            return file.read_bytes()
        with open(path, "rb") as local:
            return mmap.mmap(local.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:  # mmap's word for an empty file
        raise DataError(f"{path}: got an empty file; wanted word vectors") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: got {error}; wanted a readable file of word vectors") from None
