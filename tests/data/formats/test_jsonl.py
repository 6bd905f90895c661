"""Tests `data/formats/jsonl.py`: paths, lists, spelling, broken lines."""

import json

import pytest

from data.errors import DataError
from data.formats import format_for
from tests.contracts.format import read_all


@pytest.fixture
def read(tmp_path):
    def read(content, columns, block_bytes=1 << 20, **options):
        path = tmp_path / "a.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_all(format_for(str(path), **options), path, columns, block_bytes)

    return read


def test_values_keep_the_spelling_of_json(read):
    row = '{"a": 1.50, "b": 2e3, "c": true, "d": null, "e": 123456789012345678901234567890, "f": -0, "g": "\\u00e9"}'
    found = read(row, tuple("abcdefg"))
    assert found.rows == [[1, "1.50", "2e3", "true", None, "123456789012345678901234567890", "-0", "é"]]


def test_paths_reach_into_objects_and_lists(read):
    row = {"a": {"b": [{"c": "x"}, {"c": "y"}]}, "a.b": "a key with a dot", "l": ["p", "q"]}
    found = read(json.dumps(row), ("a.b", "a.b.1.c", "l.1", "l.7", "a.b.x"))
    assert found.rows == [[1, "a key with a dot", "y", "q", None, None]]


def test_a_list_in_one_row_is_a_list_in_all(read):
    content = '{"l": "a"}\n{"l": ["b", null, 1]}\n{"l": null}\n{"l": [["c"]]}\n{}\n'
    for block_bytes in (1, 1000):
        found = read(content, ("l",), block_bytes)
        assert found.rows == [[1, ["a"]], [2, ["b", None, "1"]], [3, None], [5, None]]
        assert found.rejects == [[4, "l: a list where a text was wanted", '{"l": [["c"]]}']]


def test_a_list_that_comes_after_the_head_is_no_text(read):
    found = read('{"l": "a"}\n' * 1000 + '{"l": ["b"]}\n', ("l",))
    assert (len(found.rows), found.rejects[0][:2]) == (1000, [1001, "l: a list where a text was wanted"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": 1', "broken JSON: Expecting ',' delimiter at column 8"),
        ("{'a': 1}", "broken JSON: Expecting property name enclosed in double quotes at column 2"),
        ('{"a": "\t"}', "broken JSON: Invalid control character at at column 8"),
        ('{"a": 1}, {"a": 2}', "not one JSON object"),
        ("7", "not one JSON object"),
        ("", "empty line"),
        ("[" * 100_000, "broken JSON: nested too deeply"),
        ('{"a": {"b": 1}}', "a: an object where a text was wanted"),
    ],
)
def test_a_broken_line_costs_itself(read, line, reason):
    for block_bytes in (1, 1 << 20):
        found = read('{"a": "x"}\n' + line + '\n{"a": "y"}', ("a",), block_bytes)
        assert found.rows == [[1, "x"], [3, "y"]]
        assert [reject[:2] for reject in found.rejects] == [[2, found.rejects[0][1]]]
        assert found.rejects[0][1].startswith(reason)


def test_encodings_and_line_ends(read):
    content = '{"a": "niño"}\r\n  {"a": "ñ"}  \r\n\r\n'
    for encoding in ("utf-8", "utf-8-sig", "latin-1", "cp1252"):
        assert read(content.encode(encoding), ("a",), 5, encoding=encoding).rows == [[1, "niño"], [2, "ñ"]]
    assert read(content.encode("utf-8-sig"), ("a",)).rows == [[1, "niño"], [2, "ñ"]]


def test_a_utf_16_file_is_one_reject(read):
    found = read('{"a": "niño"}\n'.encode("utf-16") * 50, ("a",), block_bytes=10)
    assert found.rows == []
    assert [(line, reason[:18]) for line, reason, _ in found.rejects] == [(1, "the file is UTF-16")]


def test_a_column_of_no_row_is_an_error_that_names_those_there_are(read):
    with pytest.raises(DataError, match="no column 'txt'; did you mean 'text'\\? It has: text, m.x, l.0.y"):
        read('{"text": "a"}\n{"m": {"x": 1}, "l": [{"y": 2}]}\n', ("txt",))


def test_a_file_without_one_good_row_is_all_rejects(read):
    assert len(read("rubbish\n" * 5, ("a",)).rejects) == 5
