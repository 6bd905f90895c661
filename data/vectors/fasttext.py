"""fastText's .bin: arguments, dictionary, the rows of words and of hashed n-grams (fasttext.cc, dictionary.cc).

Versions 11 and 12, and the first one, which has no version. All integers are little-endian.
"""

import struct
from typing import NamedTuple

import numpy as np

from data.errors import DataError
from data.ngrams import character_ngrams
from data.vectors.base import Source, Subwords, Vectors, sum_rows

MAGIC, NEWEST = 793712314, 12
SUPERVISED = 3
END_OF_LINE = b"</s>"  # not cut into n-grams, but by the first version


class Arguments(NamedTuple):
    """As fastText writes them; `t` is the sampling threshold."""

    dim: int
    ws: int
    epoch: int
    min_count: int
    neg: int
    word_ngrams: int
    loss: int
    model: int
    bucket: int
    minn: int
    maxn: int
    lr_update_rate: int
    t: float


ARGUMENTS = struct.Struct("<12id")


def recognises(source: Source) -> bool:
    """The magic number, or arguments that make sense: the first version has no magic number."""
    if source.data[:4] == struct.pack("<i", MAGIC):
        return True
    if len(source.data) < ARGUMENTS.size:
        return False
    a = Arguments(*ARGUMENTS.unpack_from(source.data))
    sizes = 0 < a.dim <= 10_000 and 0 < a.epoch < 1 << 20 and 0 <= a.minn <= a.maxn <= 100
    return sizes and a.model in (1, 2, SUPERVISED) and a.loss in (1, 2, 3) and 0 <= a.t <= 1


def read(source: Source) -> Vectors:
    try:
        return _read(source)
    except struct.error:
        raise DataError(f"{source.path}, byte {len(source.data)}: the file ends too early; fetch it again") from None


def _read(source: Source) -> Vectors:
    data, place, version = source.data, 0, 0
    if data[:4] == struct.pack("<i", MAGIC):
        version, place = struct.unpack_from("<i", data, 4)[0], 8
        if not 11 <= version <= NEWEST:
            raise DataError(f"{source.path}, byte 4: got fastText version {version}; wanted 11 or {NEWEST}")
    arguments = Arguments(*ARGUMENTS.unpack_from(data, place))
    place += ARGUMENTS.size
    longest = 0 if version == 11 and arguments.model == SUPERVISED else arguments.maxn
    words, place = _dictionary(source, place, version)
    if version:
        (quantised,) = struct.unpack_from("<?", data, place)
        place += 1
        if quantised:
            raise DataError(
                f"{source.path}, byte {place - 1}: got a quantised model (.ftz); wanted one of whole vectors: "
                "the .bin it was made of"
            )
    matrix = _matrix(source, place, arguments.dim)
    buckets = len(matrix) - len(words)
    if buckets < 0 or (longest and buckets != arguments.bucket):
        raise DataError(
            f"{source.path}, byte {place}: got {len(matrix)} rows; wanted those of {len(words)} words and "
            f"{arguments.bucket} n-grams"
        )
    subwords = Subwords(matrix[len(words) :], arguments.minn, longest, source.encoding) if longest and buckets else None
    kept = [i for i, (word, _) in enumerate(words) if source.keeps(word)][: source.most]
    spelt = [source.decode(words[i][0], f"{source.path}, byte {words[i][1]}") for i in kept]
    if subwords is None:
        return Vectors(spelt, matrix[np.array(kept, np.int64)])
    cut = [not version or words[i][0] != END_OF_LINE for i in kept]
    return Vectors(spelt, _means(matrix, [words[i][0] for i in kept], kept, cut, subwords), subwords)


def _dictionary(source: Source, place: int, version: int) -> tuple[list[tuple[bytes, int]], int]:
    """Words with the byte each stands at, without the labels behind them, and where the dictionary ends."""
    data = source.data
    size, n_words, n_labels = struct.unpack_from("<3i", data, place)
    if min(size, n_words, n_labels) < 0 or size != n_words + n_labels:
        raise DataError(
            f"{source.path}, byte {place}: got {size} entries, {n_words} words and {n_labels} labels; wanted a "
            "fastText dictionary; fetch the file again"
        )
    place += 20
    pruned = 0
    if version:
        (pruned,) = struct.unpack_from("<q", data, place)
        place += 8
    entries = []
    for count in range(size):
        end = data.find(b"\0", place)
        if end < 0:
            raise source.cut(count, size)
        entries.append((data[place:end], place))
        place = end + 10  # the zero, count <int64>, type <int8>
    return entries[:n_words], place + 8 * max(pruned, 0)


def _matrix(source: Source, place: int, width: int) -> np.ndarray:
    """<float32>[rows, width], still in the file."""
    rows, columns = struct.unpack_from("<2q", source.data, place)
    place += 16
    if columns != width or rows < 0:
        raise DataError(f"{source.path}, byte {place}: got {rows} x {columns} numbers; wanted a width of {width}")
    if place + 4 * rows * columns > len(source.data):
        raise DataError(
            f"{source.path}, byte {len(source.data)}: the file ends within {rows} x {columns} numbers; fetch it again"
        )
    return np.frombuffer(source.data, "<f4", rows * columns, place).reshape(rows, columns)


def _means(matrix: np.ndarray, words: list[bytes], rows: list[int], cut: list[bool], subwords: Subwords) -> np.ndarray:
    """The mean of each word's own row and, where it is cut, its n-grams' <float32>[words, width]."""
    hashes, splits = character_ngrams(words, subwords.shortest, subwords.longest)
    hashes, sizes = hashes[np.repeat(np.array(cut, bool), np.diff(splits))], np.where(cut, np.diff(splits), 0)
    splits = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    sums = matrix[np.array(rows, np.int64)] + sum_rows(subwords.table, hashes % np.uint32(len(subwords.table)), splits)
    return sums / (1 + sizes)[:, None].astype(np.float32)
