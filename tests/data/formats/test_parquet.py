"""Tests `data/formats/parquet.py`: types, nesting, row groups, damage."""

import datetime
import decimal
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import DataError
from data.formats import format_for
from tests.contracts.format import read_all


@pytest.fixture
def write(tmp_path):
    def write(columns, **options):
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table(columns), path, **options)
        return path

    return write


def values(path, column, block_bytes=1 << 20):
    found = read_all(format_for(str(path)), path, (column,), block_bytes)
    assert not found.rejects
    return [value for _, value in found.rows]


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array([1, None, -2], pa.int8()), ["1", None, "-2"]),
        (pa.array([0.1, 1e20, None], pa.float32()), ["0.1", "1e+20", None]),
        (pa.array([True, None]), ["true", None]),
        (pa.array(["ñ", None], pa.large_string()), ["ñ", None]),
        (pa.array(["b", "a", None, "b"]).dictionary_encode(), ["b", "a", None, "b"]),
        (pa.array([b"bytes", None]), ["bytes", None]),
        (pa.array([decimal.Decimal("1.50")]), ["1.50"]),
        (pa.array([datetime.date(2020, 2, 29)]), ["2020-02-29"]),
        (pa.nulls(2), [None, None]),
        (pa.array([[1, None], [], None]), [["1", None], [], None]),
        (pa.array([["a", "b"], None], pa.large_list(pa.large_string())), [["a", "b"], None]),
        (pa.array([["a", "b"]], pa.list_(pa.string(), 2)), [["a", "b"]]),
        (pa.array([["a"], ["b"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))), [["a"], ["b"]]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_any_type_that_can_be_text_is_text(write, array, texts):
    assert values(write({"c": array}), "c") == texts


def test_structs_are_reached_by_path(write):
    column = pa.array([{"b": {"c": "x", "d": 1}}, None, {"b": None}])
    path = write({"a": column, "a.b.d": ["a", "name with", "dots"]})
    assert values(path, "a.b.c") == ["x", None, None]
    assert values(path, "a.b.d") == ["a", "name with", "dots"]
    assert format_for(str(path)).columns(str(path)) == ("a.b.c", "a.b.d")


def test_small_row_groups_share_a_block(write):
    path = write({"c": [f"fila {i}" for i in range(1000)]}, row_group_size=10)
    for block_bytes, blocks in ((1, 100), (1000, None), (1 << 20, 1)):
        found = read_all(format_for(str(path)), path, ("c",), block_bytes)
        assert found.rows == [[i + 1, f"fila {i}"] for i in range(1000)]
        assert found.blocks == blocks or (blocks is None and 1 < found.blocks < 100)


def test_long_texts_come_a_few_at_a_time(write):
    path = write({"c": ["x" * 1_000_000] * 40}, compression="zstd", use_dictionary=False)
    reader = format_for(str(path))
    assert max(len(batch.lines) for batch in reader.read(reader.plan(str(path))[0], ("c",))) <= 17


@pytest.mark.parametrize("kind", [pa.binary(), pa.string(), pa.large_string(), pa.list_(pa.string())], ids=str)
def test_bytes_that_are_not_text_cost_their_row(write, kind):
    """A Parquet string may hold any bytes: nothing looks at them before the reader does."""
    bad = pa.array([b"bien", b"caf\xe9", b"sigue"])
    strings = pa.Array.from_buffers(pa.string(), 3, bad.buffers()).cast(pa.string())
    array = pa.ListArray.from_arrays([0, 1, 2, 3], strings) if pa.types.is_list(kind) else bad
    if pa.types.is_string(kind):
        array = strings
    elif pa.types.is_large_string(kind):
        array = pa.Array.from_buffers(kind, 3, bad.cast(pa.large_binary()).buffers())
    path = write({"c": array, "n": [1, 2, 3]})
    found = read_all(format_for(str(path)), path, ("c", "n"))
    wrap = (lambda text: [text]) if pa.types.is_list(kind) else str
    assert found.rows == [[1, wrap("bien"), "1"], [3, wrap("sigue"), "3"]]
    assert found.rejects == [[2, "c: byte 0xe9 is no text in this encoding", "caf\\xe9\t2"]]


def test_columns_that_are_no_text_are_an_error(write):
    path = write({"text": ["a"], "s": [{"x": 1}], "l": [[{"x": 1}]]})
    for column, reason in (("l", "column 'l' is list<"), ("s", "known: "), ("txt", "did you mean 'text'")):
        with pytest.raises(DataError, match=reason):
            values(path, column)


def test_damage_in_a_row_group_keeps_what_came_before(write):
    path = write(
        {"c": [f"fila {i} {i * 7919 % 10_007}" for i in range(50_000)]}, use_dictionary=False, row_group_size=25_000
    )
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(0).total_byte_size
    for at in range(len(data) // 4, len(data) // 4 + 2000):
        data[at] ^= random.Random(at).randrange(1, 256)
    assert start
    path.write_bytes(bytes(data))
    found = read_all(format_for(str(path)), path, ("c",), block_bytes=1)
    assert [reason.split(":")[0] for _, reason, _ in found.rejects] == ["the rest of the row group cannot be read"]
    assert [row for row in found.rows if row[0] > 25_000] == [
        [i + 1, f"fila {i} {i * 7919 % 10_007}"] for i in range(25_000, 50_000)
    ]


def test_a_missing_file_is_an_error_and_one_that_is_no_parquet_a_reject(tmp_path):
    reader = format_for("a.parquet")
    with pytest.raises(DataError, match="cannot be opened"):
        reader.plan(str(tmp_path / "none.parquet"))
    (tmp_path / "a.parquet").write_bytes(b"")
    found = read_all(reader, tmp_path / "a.parquet", ("c",))
    assert found.rows == [] and found.rejects[0][:1] == [0]
    with pytest.raises(DataError, match="not a Parquet file that can be read"):
        reader.columns(str(tmp_path / "a.parquet"))
