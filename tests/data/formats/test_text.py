"""Tests `data/formats/text.py` and what `lines.py` gives every format of lines."""

import gzip
import io
from pathlib import Path

import pytest

from data.errors import DataError
from data.formats import files, format_for, lines, text
from data.formats.base import BATCH_ROWS
from tests.contracts.format import check_batch, read_all


@pytest.fixture
def read(tmp_path):
    def read(content, block_bytes=1 << 20, name="a.txt", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_all(format_for(str(path), **options), path, ("text",), block_bytes)

    return read


def test_lines_of_a_file_in_blocks_of_any_size(read):
    content = "uno\n\n  \r\ndos\r\ntrés\u2028y cuarto\x0b\x1c\n\n\nfin"
    for block_bytes in (1, 4, 11, 1000):
        assert read(content, block_bytes).rows == [
            [1, "uno"],
            [4, "dos"],
            [5, "trés\u2028y cuarto\x0b\x1c"],
            [8, "fin"],
        ]


def test_batches_stay_small_and_lines_are_counted_over_pieces_and_blocks(read):
    rows = [f"línea {i} " + "x" * (i % 70) for i in range(3 * BATCH_ROWS)]
    for block_bytes in (200_000, 1 << 30):
        found = read("\n".join(rows), block_bytes)
        assert [text for _, text in found.rows] == rows
        assert [line for line, _ in found.rows] == list(range(1, len(rows) + 1))
    assert read(gzip.compress("\n".join(rows).encode()), name="a.txt.gz").rows == found.rows


def test_a_line_that_never_ends_is_not_held(read, monkeypatch):
    asked = []

    class Spy(io.BufferedReader):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    monkeypatch.setattr(lines, "RECORD_BYTES", 5000)
    monkeypatch.setattr(files, "PIECE_BYTES", 1000)
    monkeypatch.setattr(files, "open_binary", lambda path: Spy(io.FileIO(path)))
    for name, pack in (("a.txt", bytes), ("a.txt.gz", gzip.compress)):
        for block_bytes in (100, 3000):
            found = read(pack(b"uno\n" + b"x" * 20_000 + b"\n\ndos\n" + b"y" * 5001), block_bytes, name)
            assert found.rows == [[1, "uno"], [4, "dos"]]
            assert [(line, reason, len(raw)) for line, reason, raw in found.rejects] == [
                (2, lines.TOO_LONG, 2000),
                (5, lines.TOO_LONG, 2000),
            ]
    assert max(asked) < 15_000


@pytest.mark.parametrize("damage", ["cut short", "corrupt"])
def test_a_damaged_gzip_keeps_the_rows_before_the_damage(read, damage):
    rows = [f"{i * 7919 % 10_007} línea {i}" for i in range(50_000)]
    packed = bytearray(gzip.compress("\n".join(rows).encode()))
    middle = len(packed) // 2
    if damage == "corrupt":
        packed[middle : middle + 5000] = bytes(5000)
    else:
        del packed[middle:]
    found = read(bytes(packed), name="a.txt.gz")
    kept = len(found.rows)
    assert kept > 10_000 and [text for _, text in found.rows[:10_000]] == rows[:10_000]
    line, reason, raw = found.rejects[-1]
    assert reason == f"the gzip data are {damage}: the rest of the file is lost" and line > found.rows[-1][0]
    if damage == "cut short":  # corrupt data may decompress to anything before it is noticed
        assert [text for _, text in found.rows] == rows[:kept] and len(found.rejects) == 1
        assert rows[kept].startswith(raw)


def test_a_file_that_is_no_gzip_is_one_reject(read):
    assert read(b"plain", name="a.txt.gz").rejects == [
        [1, "the gzip data are corrupt: the rest of the file is lost", ""]
    ]


def test_empty_and_blank_files_have_no_rows(read):
    assert read(b"")[:2] == read(b"\n\r\n\n")[:2] == ([], [])


def test_many_small_files_share_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "FILES_A_BLOCK", 4)
    paths = [str(tmp_path / f"{i:02}.txt") for i in range(10)]
    for i, path in enumerate(paths):
        content = "no es texto \xe9" if i == 5 else f"\ufeffarchivo {i}\n\nseguido\n"
        Path(path).write_bytes(content.encode("latin-1" if i == 5 else "utf-8"))
    reader = format_for("a.txt", unit="file")
    blocks = reader.plan(*paths)
    assert [(block.path, block.start, len(block.files)) for block in blocks] == [
        (paths[0], 0, 4),
        (paths[4], 4, 4),
        (paths[8], 8, 2),
    ]
    batches = [batch for block in blocks for batch in reader.read(block, ("text",))]
    for batch in batches:
        check_batch(batch, ("text",))
    assert [path for batch in batches for path in batch.paths] == paths[:5] + paths[6:]
    assert batches[0].table.column(0).to_pylist() == [f"archivo {i}\n\nseguido" for i in range(4)]
    assert [(reject.path, reject.line) for batch in batches for reject in batch.rejects] == [(paths[5], 1)]


def test_files_may_be_empty_damaged_or_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "RECORD_BYTES", 1000)
    contents = {
        "a.txt": b"",
        "b.txt": b"x" * 1001,
        "c.txt.gz": gzip.compress(b"bien"),
        "d.txt.gz": gzip.compress(b"mal")[:-9],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    reader = format_for("a.txt", unit="file")
    (block,) = reader.plan(*(str(tmp_path / name) for name in contents))
    (batch,) = reader.read(block, ("text",))
    assert batch.table.column(0).to_pylist() == ["", "bien"]
    assert [(reject.path[-8:], reject.line, reject.reason[:20]) for reject in batch.rejects] == [
        (str(tmp_path / "b.txt")[-8:], 1, "a file of over 16 MiB"[:20]),
        ("d.txt.gz", 0, "the gzip data are cu"),
    ]


def test_only_the_text_is_offered(read, tmp_path):
    (tmp_path / "a.txt").write_text("uno\n")
    reader = format_for("a.txt")
    assert reader.columns(str(tmp_path / "a.txt")) == ("text",)
    with pytest.raises(DataError, match="no column 'label'; known: text"):
        read_all(reader, tmp_path / "a.txt", ("text", "label"))


def test_remote_files_are_opened_by_epath(read, tmp_path, monkeypatch):
    from etils import epath

    (tmp_path / "a.txt").write_text("uno\ndos\ntres\n")
    opened = []
    monkeypatch.setattr(epath, "Path", lambda path: opened.append(path) or tmp_path / path.removeprefix("gs://bucket/"))
    assert len(read_all(format_for("gs://bucket/a.txt"), "gs://bucket/a.txt", ("text",), 5).rows) == 3
    assert set(opened) == {"gs://bucket/a.txt"}
