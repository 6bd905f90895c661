"""word2vec's formats, and GloVe's: a word and its numbers a line, or the numbers as bytes.

Text: `word 0.1 0.2 ...`; word2vec and fastText (.vec) write `words width` in a line before, GloVe does not.
Binary: the same first line, then for each word its bytes, a space, width float32 and mostly a line feed.
"""

import re
import warnings
from collections.abc import Iterator

import numpy as np

from data.errors import DataError
from data.vectors.base import Source, Vectors, once

HEADER = re.compile(rb"\s*(\d+)[ \t]+(\d+)[ \t]*\r?\n")
NUMBERS = frozenset(b"0123456789.+-eEinfaNI \t\r\n")
LINES = 4096  # parsed at once
LONGEST_LINE = 1 << 20


def recognises(source: Source) -> bool:
    """A file with the header, or whose first line is a word and at least two numbers."""
    return bool(HEADER.match(source.data[:100])) or _width(_line(source, 0)) >= 2


def read(source: Source) -> Vectors:
    header = HEADER.match(source.data[:100])
    if not header:
        return _text(source, 0, None, _width(_line(source, 0)))
    words, width = int(header[1]), int(header[2])
    if width < 1:
        raise DataError(f"{source.path}:1: got a width of 0; wanted the width of the vectors")
    start = header.end()
    if _is_text(source, start, width):
        return _text(source, start, words, width)
    return _binary(source, start, words, width)


def _line(source: Source, start: int) -> bytes:
    end = source.data.find(b"\n", start, start + LONGEST_LINE)
    return source.data[start : end if end >= 0 else start + LONGEST_LINE]


def _width(line: bytes) -> int:
    """How many numbers end a line that starts with something else or with a number, less that; 0 when none do."""
    _, *numbers = line.split() or [b""]
    return len(numbers) if numbers and _floats(numbers) is not None else 0


def _floats(numbers: list[bytes]) -> np.ndarray | None:
    try:
        return np.array(numbers).astype(np.float32)
    except ValueError:
        return None


def _is_text(source: Source, start: int, width: int) -> bool:
    """Whether numbers are written out: the first line reads as text, or at least what follows its word looks so."""
    if _width(_line(source, start)) >= width:
        return True
    after = source.data.find(b" ", start) + 1
    return NUMBERS.issuperset(source.data[after : after + 4 * width])


def _text(source: Source, start: int, expected: int | None, width: int) -> Vectors:
    first = 2 if start else 1
    words: list[str] = []
    blocks = [np.zeros([0, width], np.float32)]
    count = 0
    for lines in _blocks(source, start):
        parsed, numbers = _parse(source, lines, width, first + count)
        words += parsed
        blocks.append(numbers)
        count += len(lines)
        if source.most is not None and len(words) >= source.most:
            expected = None  # the rest is not read
            break
    if expected is not None and count < expected:
        raise source.cut(count, expected)
    if expected is not None and count > expected:
        raise DataError(f"{source.path}:1: got {expected} words and {count} lines of them; wanted as many")
    kept = once(words)[: source.most]
    return Vectors([words[i] for i in kept], np.concatenate(blocks)[kept])


def _blocks(source: Source, start: int) -> Iterator[list[bytes]]:
    """Lines, without those at the end that are empty, some thousand at a time."""
    lines, data, size = [], source.data, len(source.data)
    while size > start and data[size - 1 : size] in (b"\n", b"\r"):
        size -= 1
    while start < size:
        end = data.find(b"\n", start, size)
        end = size if end < 0 else end
        lines.append(data[start:end].strip(b" \t\r"))
        start = end + 1
        if len(lines) == LINES:
            yield lines
            lines = []
    yield lines


def _parse(source: Source, lines: list[bytes], width: int, first: int) -> tuple[list[str], np.ndarray]:
    """Words and numbers <float32>[words, width] of the lines whose word is kept; `first` is the first one's number."""
    cut = [line.replace(b"\t", b" ").partition(b" ") for line in lines]
    kept = [i for i, (word, _, _) in enumerate(cut) if source.wanted is None or source.keeps(word)]
    numbers = _numbers([cut[i][2] for i in kept], width)
    if numbers is None:  # a word with spaces in it, or a broken line: one by one
        split = [_split(source, lines[i], width, first + i) for i in range(len(lines))]
        kept = [i for i, (word, _) in enumerate(split) if source.keeps(word)]
        numbers = np.array([split[i][1] for i in kept], np.float32).reshape(-1, width)
        spelt = [split[i][0] for i in kept]
    else:
        spelt = [cut[i][0] for i in kept]
    finite = np.isfinite(numbers).all(axis=1)
    if not finite.all():
        line = first + kept[int(np.argmin(finite))]
        raise DataError(f"{source.path}:{line}: got numbers that are not finite; wanted a vector")
    words = [source.decode(word, f"{source.path}:{first + i}") for word, i in zip(spelt, kept, strict=True)]
    return words, numbers


def _numbers(rows: list[bytes], width: int) -> np.ndarray | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what is not a number ends the parsing with a warning
        try:
            numbers = np.fromstring(b" ".join(rows), np.float32, sep=" ")
        except (DeprecationWarning, ValueError):
            return None
    counts = all(len(row.split()) == width for row in rows)  # else two lines could make up for each other
    return numbers.reshape(-1, width) if counts and len(numbers) == len(rows) * width else None


def _split(source: Source, line: bytes, width: int, number: int) -> tuple[bytes, np.ndarray]:
    word, *numbers = line.rsplit(None, width)
    parsed = _floats(numbers) if len(numbers) == width else None
    if parsed is None:
        raise DataError(f"{source.path}:{number}: got {line[:60]!r}...; wanted a word and {width} numbers")
    return word, parsed


def _binary(source: Source, start: int, expected: int, width: int) -> Vectors:
    words: list[str] = []
    places = []
    for count in range(expected):
        space = source.data.find(b" ", start, start + LONGEST_LINE)
        end = space + 1 + 4 * width
        if space < 0 or end > len(source.data):
            raise source.cut(count, expected)
        word = source.data[start:space].lstrip(b"\n")
        if source.keeps(word):
            words.append(source.decode(word, f"{source.path}, byte {start}"))
            places.append(space + 1)
        start = end
        if len(words) == source.most:
            break
    kept = once(words)
    table = np.zeros([len(kept), width], np.float32)
    for row, i in enumerate(kept):
        table[row] = np.frombuffer(source.data, "<f4", width, places[i])
    finite = np.isfinite(table).all(axis=1)
    if not finite.all():
        byte = places[kept[int(np.argmin(finite))]]
        raise DataError(f"{source.path}, byte {byte}: got numbers that are not finite; wanted a vector")
    return Vectors([words[i] for i in kept], table)
