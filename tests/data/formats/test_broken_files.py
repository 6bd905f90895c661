"""Two hundred broken files over all formats: every row is kept or rejected, and nothing but a DataError comes out."""

import contextlib
import csv
import gzip
import io
import json
import random
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import DataError
from data.formats import format_for
from tests.contracts.format import read_all
from tests.data.formats.test_tfrecord import example, frame

FILES = 200
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


BREAKS = [cut, flip, lose_quotes, lose_lines, other_encoding, empty, head_only, rubbish, rubbish_inside]


@pytest.mark.parametrize("name", SOUND)
def test_every_row_of_a_broken_file_is_kept_or_rejected(name, tmp_path):
    refused, kept, rejected = 0, 0, 0
    columns = COLUMNS if "txt" not in name else ("text",)
    for seed in range(-(-FILES // len(SOUND))):
        rng = random.Random(f"{name} {seed}")
        broken = BREAKS[seed % len(BREAKS)](rng, SOUND[name])
        path = tmp_path / name
        path.write_bytes(broken)
        reader = format_for(str(path))
        with contextlib.suppress(DataError):
            reader.columns(str(path))
        try:
            found = read_all(reader, path, columns, rng.choice([300, 2000, 1 << 24]))
        except DataError:
            refused += 1
            continue
        kept, rejected = kept + len(found.rows), rejected + len(found.rejects)
        if name in ("a.txt", "a.jsonl"):
            assert len(found.rows) + len(found.rejects) == _lines(broken, name), f"seed {seed}"
    assert kept > 100 and rejected, "too little was broken, or too much, for this to be a test of anything"
    assert not refused or name.startswith(("a.csv", "a.tsv")), "only a header may be missing"


def _lines(content: bytes, name: str) -> int:
    """The lines a reader has to answer for: counted without it."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return 1
    lines = content.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").split(b"\n")
    if name == "a.jsonl":
        return len(lines) if lines != [b""] else 0
    return sum(bool(line.decode("utf-8", "surrogateescape").strip()) for line in lines)
