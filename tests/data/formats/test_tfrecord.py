"""Tests `data/formats/tfrecord.py`: frames, blocks, damage. The samples were written by TensorFlow."""

import gzip
import struct

import google_crc32c
import pytest

from data.errors import DataError
from data.formats import format_for
from data.formats import tfrecord as tfrecord_format
from tests.contracts.format import read_all


def frame(data: bytes) -> bytes:
    def checksum(part: bytes) -> bytes:
        crc = google_crc32c.value(part)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    return length + checksum(length) + data + checksum(data)


def example(**features) -> bytes:
    message = tfrecord_format._example_class()()
    for name, values in features.items():
        kinds = {bytes: "bytes_list", float: "float_list", int: "int64_list"}
        getattr(message.features.feature[name], kinds[type(values[0])] if values else "bytes_list").value.extend(values)
    return message.SerializeToString()


@pytest.fixture
def read(tmp_path):
    def read(content, columns=("text",), block_bytes=1 << 20, name="a.tfrecord"):
        path = tmp_path / name
        path.write_bytes(content)
        return read_all(format_for(str(path)), path, columns, block_bytes)

    return read


TEXTS = [f"texto {i} ñ" for i in range(2000)]
RECORDS = [frame(example(text=[text.encode()])) for text in TEXTS]


def test_blocks_are_cut_between_records(read):
    for block_bytes, blocks in ((1, 2000), (1000, None), (1 << 20, 1)):
        found = read(b"".join(RECORDS), block_bytes=block_bytes)
        assert found.rows == [[i + 1, text] for i, text in enumerate(TEXTS)]
        assert found.blocks == blocks or (blocks is None and 10 < found.blocks < 1000)


def test_values_of_every_kind(read):
    rows = [
        example(b=[b"a"], f=[0.1], i=[-(2**63)], l=[1, 2], e=[]),
        example(l=[3]),
        example(f=[float("inf")], b=[b"x", b"y"]),
    ]
    found = read(b"".join(map(frame, rows)), ("b", "f", "i", "l", "e"))
    assert found.rows == [
        [1, ["a"], "0.1", "-9223372036854775808", ["1", "2"], None],
        [2, None, None, None, ["3"], None],
        [3, ["x", "y"], "Infinity", None, None, None],
    ]


def test_a_list_after_the_head_is_no_text(read):
    found = read(b"".join(RECORDS[:200]) + frame(example(text=[b"a", b"b"])))
    assert (len(found.rows), found.rejects[0][:2]) == (200, [201, "text: a list where a text was wanted"])


def test_a_broken_record_costs_itself_and_a_broken_length_the_rest(read):
    records = list(RECORDS)
    records[500] = records[500][:20] + b"\xff" + records[500][21:]
    for block_bytes in (1, 5000, 1 << 20):
        found = read(b"".join(records), block_bytes=block_bytes)
        assert (len(found.rows), [r[:2] for r in found.rejects]) == (1999, [[501, tfrecord_format.DATA_WRONG]])
    records[1500] = b"\xff" + records[1500][1:]
    for block_bytes in (1, 5000, 1 << 20):
        found = read(b"".join(records), block_bytes=block_bytes)
        assert len(found.rows) == 1499
        assert [r[:2] for r in found.rejects] == [
            [501, tfrecord_format.DATA_WRONG],
            [1501, tfrecord_format.LENGTH_LOST],
        ]


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 20, 30])
def test_a_file_cut_short_loses_its_last_record(read, cut):
    for block_bytes in (1, 1 << 20):
        found = read(b"".join(RECORDS[:10])[:-cut], block_bytes=block_bytes)
        assert (len(found.rows), [r[:2] for r in found.rejects]) == (9, [[10, tfrecord_format.CUT_SHORT]])


def test_a_damaged_gzip_keeps_the_records_before_the_damage(read):
    packed = gzip.compress(b"".join(RECORDS))
    found = read(packed[: len(packed) // 2], name="a.tfrecord.gz")
    kept = len(found.rows)
    assert 0 < kept < 2000 and found.rows == [[i + 1, text] for i, text in enumerate(TEXTS[:kept])]
    assert found.rejects == [[kept + 1, "the gzip data are cut short: the rest of the file is lost", ""]]


def test_what_is_no_text_is_looked_for_in_wanted_columns_only(read):
    content = frame(example(text=[b"a"], image=[b"\xff\xd8\xff"]))
    assert read(content).rows == [[1, "a"]]
    assert read(content, ("image",)).rejects[0][1] == "image: byte 0xff is no text in this encoding"


def test_an_empty_file_has_no_rows_and_a_column_of_no_record_is_an_error(read):
    assert read(b"")[:2] == ([], [])
    with pytest.raises(DataError, match="no column 'txt'; did you mean 'text'"):
        read(RECORDS[0], ("txt",))
