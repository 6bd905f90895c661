"""Tests `data/vectors/`: each format as its writer writes it, damage, and the real files where they are."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from data.errors import DataError
from data.ngrams import character_ngrams, word_hashes
from data.vectors import lookup, read_vectors

REAL = Path(__file__).parents[3] / "../shared/data/static_vectors_gensim_fixtures"
WORDS = ["the", "él", "new york", "a"]
TABLE = np.random.default_rng(0).normal(size=[4, 3]).astype(np.float32)


def text(words=WORDS, table=TABLE, header=True, encoding="utf-8", end="\n") -> bytes:
    lines = [f"{w} {' '.join(repr(float(x)) for x in row)}" for w, row in zip(words, table, strict=True)]
    return (end.join(([f"{len(words)} {table.shape[1]}"] if header else []) + lines) + end).encode(encoding)


def binary(line_feed=b"\n") -> bytes:
    rows = [
        w.replace(" ", "_").encode() + b" " + row.tobytes() + line_feed for w, row in zip(WORDS, TABLE, strict=True)
    ]
    return b"4 3\n" + b"".join(rows)


def fasttext(words, rows, buckets, grams=(2, 4), version=12, model=2, labels=(), quantised=False, encoding="utf-8"):
    """As fasttext.cc's saveModel; version 0 is the first one, without a number."""
    head = struct.pack("<2i", 793712314, version) if version else b""
    size = len(words) + len(labels)
    arguments = struct.pack("<12id", rows.shape[1], 5, 5, 1, 5, 1, 2, model, len(buckets), *grams, 100, 1e-4)
    dictionary = struct.pack("<3iq", size, len(words), len(labels), 100) + (struct.pack("<q", -1) if version else b"")
    entries = [(word, 0) for word in words] + [(label, 1) for label in labels]
    dictionary += b"".join(word.encode(encoding) + b"\0" + struct.pack("<qb", 7, kind) for word, kind in entries)
    matrix = np.concatenate([rows, buckets])
    return head + arguments + dictionary + (bytes([quantised]) if version else b"") + _matrix(matrix)


def _matrix(matrix) -> bytes:
    return struct.pack("<2q", *matrix.shape) + matrix.astype("<f4").tobytes()


def slow_ngrams(word: bytes, shortest: int, longest: int) -> list[int]:
    """dictionary.cc's computeSubwords, byte by byte."""
    word, found = b"<" + word + b">", []
    for i in range(len(word)):
        if word[i] & 0xC0 == 0x80:
            continue
        j, n = i, 1
        while j < len(word) and n <= longest:
            j += 1
            while j < len(word) and word[j] & 0xC0 == 0x80:
                j += 1
            if n >= shortest and not (n == 1 and (i == 0 or j == len(word))):
                found.append(slow_hash(word[i:j]))
            n += 1
    return found


def slow_hash(data: bytes) -> int:
    h = 2166136261
    for byte in data:
        signed = byte - 256 if byte > 127 else byte
        h = ((h ^ (signed & 0xFFFFFFFF)) * 16777619) & 0xFFFFFFFF
    return h


@pytest.fixture
def file(tmp_path):
    def write(data: bytes, name: str = "vectors") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    "data",
    [text(), text(header=False), text(end="\r\n"), text().replace(b"\n", b" \n"), gzip.compress(text())],
    ids=["word2vec", "glove", "crlf", "trailing spaces", "gz"],
)
def test_text(file, data):
    found = read_vectors(file(data))
    assert found.words == WORDS
    np.testing.assert_array_equal(found.table, TABLE)
    assert read_vectors(file(data), most=2).words == WORDS[:2]
    few = read_vectors(file(data), wanted={"a", "él", "york"})
    assert few.words == ["él", "a"]
    np.testing.assert_array_equal(few.table, TABLE[[1, 3]])


@pytest.mark.parametrize("data", [binary(), binary(b""), gzip.compress(binary())], ids=["lines", "no lines", "gz"])
def test_binary(file, data):
    found = read_vectors(file(data))
    assert found.words == ["the", "él", "new_york", "a"]
    np.testing.assert_array_equal(found.table, TABLE)
    assert read_vectors(file(data), wanted={"a"}).words == ["a"]
    assert read_vectors(file(data), most=1).words == ["the"]


def test_words_that_stand_twice_count_once(file):
    found = read_vectors(file(text(["a", "b", "a", "c"])))
    assert found.words == ["a", "b", "c"]
    np.testing.assert_array_equal(found.table, TABLE[[0, 1, 3]])


@pytest.mark.parametrize("encoding", ["latin-1", "cp852"])
def test_encodings(file, encoding):
    rows = [text(encoding=encoding), fasttext(WORDS, TABLE, TABLE, encoding=encoding)]
    for data in rows:
        assert read_vectors(file(data), encoding).words == WORDS
        with pytest.raises(DataError, match=r"vectors(:3|, byte \d+): got the word b'.*l', which is not utf-8"):
            read_vectors(file(data))
        assert read_vectors(file(data), wanted={"the"}).words == ["the"]
    with pytest.raises(DataError, match="got encoding 'latin-99'"):
        read_vectors(file(text()), "latin-99")


@pytest.mark.parametrize("version", [0, 11, 12])
@pytest.mark.parametrize("encoding", ["utf-8", "cp852"])
def test_fasttext_words_and_others(file, version, encoding):
    """A known word is the mean of its row and its n-grams', another of its n-grams'; the end of line has none,
    but in the first version."""
    words, random = ["the", "él", "</s>", "ktery"], np.random.default_rng(1)
    rows, buckets = random.normal(size=[4, 5]).astype(np.float32), random.normal(size=[30, 5]).astype(np.float32)
    path = file(fasttext(words, rows, buckets, version=version, encoding=encoding))

    def grams(word):
        return buckets[[h % 30 for h in slow_ngrams(word.encode(encoding), 2, 4)]]

    expected = [np.concatenate([rows[[i]], grams(w)]).mean(axis=0) for i, w in enumerate(words)]
    expected[2] = rows[2] if version else expected[2]
    others = ["thes", "élé", "x", "který", "The"]
    assert read_vectors(path, encoding, most=2).words == words[:2]
    table, found, _ = lookup(path, words + others, encoding)
    assert found.all()
    np.testing.assert_allclose(table, [*expected, *(grams(w).mean(axis=0) for w in others)], atol=1e-6)
    np.testing.assert_array_equal(lookup(path, others, encoding).table, table[len(words) :])  # none is in the file


def test_supervised_fasttext_gives_its_words_without_labels(file):
    path = file(fasttext(["a", "b"], TABLE[:2], TABLE[:0], (0, 0), model=3, labels=["__label__x"]))
    found = read_vectors(path)
    assert found.words == ["a", "b"] and found.subwords is None
    np.testing.assert_array_equal(found.table, TABLE[:2])
    old = file(fasttext(["a", "b"], TABLE[:2], TABLE, (2, 3), version=11, model=3))  # had word n-grams only
    assert read_vectors(old).subwords is None


def test_case_is_tried_where_there_are_no_ngrams(file):
    table, found, _ = lookup(file(text(["paris", "Rome", "new york", "a"])), ["Paris", "rome", "a", "none"])
    assert found.tolist() == [True, True, True, False]
    np.testing.assert_array_equal(table, [*TABLE[[0, 1, 3]], np.zeros(3)])


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "got an empty file"),
        (b"Hundreds of people\nhave been\n", r"vectors:1: got b'Hundreds of people.*wanted word vectors"),
        (b"\x80\x04\x95 pickle", "wanted word vectors"),
        (text().replace(b"\na ", b"\na 1 2\nb "), r"vectors:5: got b'a 1 2'.*wanted a word and 3 numbers"),
        (text().replace(b"\na ", b"\na nan 1 2\nb "), "vectors:5: got numbers that are not finite"),
        (text().replace(b"4 3", b"5 3"), "ends after 4 of 5 words"),
        (text().replace(b"4 3", b"3 3"), "got 3 words and 4 lines"),
        (text(header=False).replace(b"\na ", b"\n "), "vectors:4: .*wanted a word and 3 numbers"),
        (binary()[:-5], r"byte \d+: the file ends after 3 of 4 words"),
        (binary().replace(TABLE[2].tobytes(), b"\xff" * 12), r"byte \d+: got numbers that are not finite"),
        (gzip.compress(text())[:-9], "wanted a readable file"),
        (fasttext(["a"], TABLE[:1], TABLE)[:-1], "ends within 5 x 3 numbers"),
        (fasttext(["a"], TABLE[:1], TABLE)[:90], "ends (too early|after 0 of 1)"),
        (fasttext(["a"], TABLE[:1], TABLE, quantised=True), "quantised model"),
        (fasttext(["a"], TABLE[:1], TABLE, version=13), "byte 4: got fastText version 13; wanted 11 or 12"),
    ],
)
def test_damage_is_said_with_its_place(file, data, message):
    with pytest.raises(DataError, match=message):
        read_vectors(file(data))


def test_ngrams_are_fasttexts():
    words = [w.encode() for w in ["where", "él", "日本語", "a", "", "ñandú-x", "</s>"]] + [b"\xffab\x80"]
    for shortest, longest in ((3, 6), (1, 3), (2, 2), (0, 0)):
        hashes, splits = character_ngrams(words, shortest, longest)
        found = [hashes[a:b].tolist() for a, b in zip(splits, splits[1:], strict=False)]
        # the same n-grams, by length and then by place
        assert [sorted(each) for each in found] == [sorted(slow_ngrams(w, shortest, longest)) for w in words]
    assert word_hashes(words).tolist() == [slow_hash(w) for w in words]
    # what the fasttext package's get_subwords gives for "where" at 2,000,000 buckets, rows of words taken off
    hashes, _ = character_ngrams([b"where"], 3, 4)
    assert sorted(hashes % 2_000_000) == GOLDEN


GOLDEN = [167652, 312621, 420941, 867498, 989715, 1473420, 1529033, 1540811, 1568469]


@pytest.mark.skipif(not REAL.exists(), reason="needs the vector files in ../shared/data")
@pytest.mark.parametrize("path", sorted(REAL.glob("*")) if REAL.exists() else [], ids=lambda p: p.name)
def test_every_real_file_loads_or_is_refused(path):
    encoding = {"cp852_fasttext.bin": "cp852"}.get(path.name, "latin-1" if "polarity" in path.name else "utf-8")
    if path.suffix in (".cor", "") and "word2vec" not in path.name:
        with pytest.raises(DataError, match=":1: got .*wanted word vectors"):
            read_vectors(path)
        return
    found = read_vectors(path, encoding)
    assert len(found.words) == len(set(found.words)) == len(found.table) and np.isfinite(found.table).all()
    if path.suffix == ".vec":  # the same model's .bin gives what fastText printed, to the digits printed
        other = read_vectors(path.with_suffix(".bin"), encoding)
        assert other.words == found.words
        np.testing.assert_allclose(other.table, found.table, rtol=1e-4, atol=1e-6)
