"""Broken files over all formats: every row is kept or rejected, and nothing but a DataError comes out.

Over 200 of them in `make test`, over 1,000 in `make test-all`.
"""

import contextlib
import csv
import gzip
import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import DataError
from data.formats import format_for
from tests.contracts.format import read_all
from tests.data.formats.test_tfrecord import example, frame

FILES, ALL_FILES = 16, 77  # of each name: every way to break one, once and about five times
TEN_MEGABYTES = 10 << 20
ROWS = [("texto, " * (i % 9) + f'núm. {i} "sí"\nfin', ["bueno", "malo"][i % 2]) for i in range(300)]
COLUMNS = ("text", "label")


def _separated(delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows([COLUMNS, *ROWS])
    return text.getvalue().encode()


def _parquet() -> bytes:
    sink = pa.BufferOutputStream()
    texts, labels = zip(*ROWS, strict=True)
    pq.write_table(pa.table({"text": texts, "label": labels}), sink, row_group_size=70)
    return sink.getvalue().to_pybytes()


SOUND = {
    "a.csv": _separated(","),
    "a.tsv": _separated("\t"),
    "a.jsonl": "".join(
        json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n" for row in ROWS
    ).encode(),
    "a.txt": "".join(text.replace("\n", " ") + "\n" for text, _ in ROWS).encode(),
    "a.parquet": _parquet(),
    "a.tfrecord": b"".join(frame(example(text=[text.encode()], label=[label.encode()])) for text, label in ROWS),
}
SOUND["a.conll"] = "".join(
    f"{word} {label}\n" + "\n" * (i % 7 == 6)
    for i, (word, label) in enumerate((word, label) for text, label in ROWS for word in text.split())
).encode()
SOUND |= {f"{name}.gz": gzip.compress(content) for name, content in SOUND.items()}


def cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def flip(rng: random.Random, content: bytes) -> bytes:
    broken = bytearray(content)
    for _ in range(rng.choice([1, 5, 50])):
        broken[rng.randrange(len(broken))] ^= rng.randrange(1, 256)
    return bytes(broken)


def lose_quotes(rng: random.Random, content: bytes) -> bytes:
    return re.sub(b'"', lambda quote: b"" if rng.random() < 0.1 else quote[0], content)


def lose_lines(rng: random.Random, content: bytes) -> bytes:
    return re.sub(b"\n", lambda end: rng.choice([b"", b"\n\n", b"\r", b"\r\n", end[0]]), content)


def other_encoding(rng: random.Random, content: bytes) -> bytes:
    return content.decode("utf-8", "replace").encode(rng.choice(["latin-1", "cp1252", "utf-16", "utf-32"]), "replace")


def empty(rng: random.Random, content: bytes) -> bytes:
    return b""


def head_only(rng: random.Random, content: bytes) -> bytes:
    return content.split(b"\n", 1)[0]


def rubbish(rng: random.Random, content: bytes) -> bytes:
    return rng.randbytes(rng.randrange(1, 5000))


def rubbish_inside(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + rng.randbytes(rng.randrange(1, 300)) + content[at:]


def bare_quotes(rng: random.Random, content: bytes) -> bytes:
    return re.sub(b"[ ,]", lambda found: found[0] + rng.choice([b"", b"", b"", b'"', b"'"]), content)


def ten_megabytes(rng: random.Random, content: bytes) -> bytes:
    places = [found.start() for found in re.finditer(b"texto", content)] or [len(content)]
    at = rng.choice(places)
    return content[:at] + b"x" * TEN_MEGABYTES + content[at:]


def missing_column(rng: random.Random, content: bytes) -> bytes:
    return content.replace(b"label", b"lebal")


def nested(rng: random.Random, content: bytes) -> bytes:
    values = [b'{"a": [1, {"b": null}]}', b"[[], [{}]]", b"null", b"[" * 2000, b'{"text": {"text": 1}}']
    return re.sub(b'"?bueno"?', lambda found: rng.choice(values) if rng.random() < 0.2 else found[0], content)


def nul_bytes(rng: random.Random, content: bytes) -> bytes:
    return re.sub(
        b"[t\n]", lambda found: b"\0" * rng.randrange(3) + found[0] if rng.random() < 0.1 else found[0], content
    )


def folder(rng: random.Random, content: bytes) -> bytes:
    """A folder with the name of a file: the test makes one."""
    return b""


OUTSIDE = [cut, flip, empty, rubbish, rubbish_inside]  # of a gzip file: its compressed bytes
INSIDE = [lose_quotes, lose_lines, other_encoding, head_only, bare_quotes, ten_megabytes, missing_column, nested]
INSIDE += [nul_bytes]  # of a gzip file: what it holds
BREAKS = [*OUTSIDE, *INSIDE, folder]


def broken_file(path: Path, name: str, seed: int) -> tuple[Callable, bytes]:
    """Writes a broken file; how it was broken, and its content as a reader sees it."""
    rng, how = random.Random(f"{name} {seed}"), BREAKS[seed % len(BREAKS)]
    if how is folder:
        path.mkdir()
        return how, b""
    inside = name.endswith(".gz") and how in INSIDE and "parquet" not in name  # a Parquet file is whole or is not
    content = how(rng, gzip.decompress(SOUND[name]) if inside else SOUND[name])
    path.write_bytes(gzip.compress(content, 1) if inside else content)
    return how, content


@pytest.mark.parametrize("files", [FILES, pytest.param(ALL_FILES, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SOUND)
def test_every_row_of_a_broken_file_is_kept_or_rejected(name, files, tmp_path):
    refused, kept, rejected = [], 0, 0
    options = {"name": "conll", "columns": list(COLUMNS)} if "conll" in name else {}
    columns = COLUMNS if "txt" not in name else ("text",)
    for seed in range(files):
        path = tmp_path / f"{seed}-{name}"
        how, broken = broken_file(path, name, seed)
        reader = format_for(str(path), **options)
        with contextlib.suppress(DataError):
            reader.columns(str(path))
        try:
            found = read_all(reader, path, columns, random.Random(seed).choice([2000, 20000, 1 << 24]))
        except DataError as error:
            assert str(path) in str(error)
            refused.append(how)
            continue
        finally:
            path.rmdir() if how is folder else path.unlink()
        kept, rejected = kept + len(found.rows), rejected + len(found.rejects)
        assert all(line >= 0 and reason for line, reason, _ in found.rejects)
        if name in ("a.txt", "a.jsonl"):
            assert len(found.rows) + len(found.rejects) == _lines(broken, name), f"seed {seed}"
    assert kept > 100 and rejected, "too little was broken, or too much, for this to be a test of anything"
    assert folder in refused
    if not name.startswith(("a.csv", "a.tsv")):  # whose header may be broken
        assert set(refused) <= {folder, missing_column}, "only a column may be missing"


def _lines(content: bytes, name: str) -> int:
    """The lines a reader has to answer for: counted without it."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return 1
    lines = content.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").split(b"\n")
    if name == "a.jsonl":
        return len(lines) if lines != [b""] else 0
    return sum(bool(line.decode("utf-8", "surrogateescape").strip()) for line in lines)
