"""Tests `data/formats/csv.py`: quotes, encodings, headers, and that cutting a file into blocks changes no row."""

import csv
import io
import random

import pytest

from data.errors import DataError
from data.formats import csv as csv_format
from data.formats import files, format_for, lines
from tests.contracts.format import read_all

COLUMNS = ("text", "label")


@pytest.fixture
def read(tmp_path):
    """read(content, block_bytes=..., **options) of a CSV file with these bytes."""

    def read(content, block_bytes=1 << 20, columns=COLUMNS, name="a.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_all(format_for(str(path), **options), path, columns, block_bytes)

    return read


def written(rows, **options):
    text = io.StringIO()
    csv.writer(text, **options).writerows([("text", "label"), *rows])
    return text.getvalue()


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_what_python_writes_is_read_back_in_blocks_of_any_size(read, line_end, quoting):
    rng = random.Random(5)
    pieces = ["a", "é", ",", '"', '""', "\n", "\r\n", " ", "🦙", ', "', '",\n']
    rows = [("".join(rng.choices(pieces, k=rng.randint(1, 30))), rng.choice("pn")) for _ in range(200)]
    content = written(rows, lineterminator=line_end, quoting=quoting)
    for block_bytes in (1, 17, 300, 4096, 1 << 20):
        found = read(content, block_bytes)
        assert [(text, label) for _, text, label in found.rows] == rows
        assert found.rejects == []
        assert found.blocks > 100 or block_bytes > 17
        assert [line for line, _, _ in found.rows] == first_lines(content)


def first_lines(content):
    """The line each record but the header starts on, by csv.reader's own count."""
    reader = csv.reader(io.StringIO(content, newline="\n"))
    ends = [reader.line_num for _ in reader]
    return [end + 1 for end in ends[:-1]]


def test_any_soup_of_quotes_has_the_same_rows_and_rejects_however_it_is_cut(read):
    """Broken quotes too: a record that fails costs its first line, wherever the block ends."""
    rng, pieces = random.Random(3), ["a", ",", '"', "\n", "\r\n", '""', '","', '"\n', ',"', '\n"', " ", "x,y\n"]
    kept = 0
    for _ in range(150):
        content = "text,label\n" + "".join(rng.choices(pieces, k=rng.randint(0, 120)))
        whole = read(content)
        kept += len(whole.rows)
        for block_bytes in (1, 7, 40):
            assert read(content, block_bytes)[:2] == whole[:2], repr(content)
    assert kept > 300


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_sound_lines_are_parsed_by_arrow_and_any_flaw_among_them_is_judged_as_before(read, monkeypatch, line_end):
    sound = ["a,b", '"a, b",c', '"say ""a""",b', ",", 'é "a",\0', '"",']
    flaws = ["", "a", "a,b,c", '"a"b,c', '"a,b', "a\rb,c", '"a\r",c', '"a\n",c', "a,b\udcff"]
    judged, sound_rows, quoted_records = [], csv_format.Csv._sound_rows, csv_format.Csv._quoted_records

    def judge(*args):
        judged.append(args)
        return quoted_records(*args)

    monkeypatch.setattr(csv_format.Csv, "_quoted_records", judge)
    for extra in ([], *([flaw, *sound] for flaw in flaws)):
        content = line_end.join(["text,label", *sound, *extra, ""]).encode("utf-8", "surrogateescape")
        found = {}
        for way in (sound_rows, lambda *args: None):
            monkeypatch.setattr(csv_format.Csv, "_sound_rows", way)
            judged.clear()
            found[way] = read(content)
            assert bool(judged) == bool(extra or way is not sound_rows), extra
        assert found[sound_rows] == found[way], extra


def test_one_stray_quote_costs_one_row_of_thousands(read):
    rows = [f"texto {i},bueno" for i in range(30_000)]
    rows[10] = 'texto 10,"bueno'
    for block_bytes in (1 << 16, 1 << 20):
        found = read("text,label\n" + "\n".join(rows), block_bytes)
        assert len(found.rows) == 29_999
        assert [(line, raw) for line, _, raw in found.rejects] == [(12, 'texto 10,"bueno')]


def test_a_quote_left_open_for_longer_than_a_record_may_be_is_given_up(read, monkeypatch):
    monkeypatch.setattr(csv_format, "RECORD_BYTES", 2000)
    monkeypatch.setattr(lines, "RECORD_BYTES", 2000)
    monkeypatch.setattr(files, "PIECE_BYTES", 1000)
    before = csv.field_size_limit(2000)
    try:
        content = 'text,label\n"abierta,mala\n' + "una fila,buena\n" * 1000 + f"{'x' * 3000},larga\nsigue,buena\n"
        whole = read(content)
        assert len(whole.rows) == 1001
        assert [line for line, _, _ in whole.rejects] == [2, 1003]
        assert read(content, block_bytes=500)[:2] == whole[:2]
    finally:
        csv.field_size_limit(before)


def test_quotes_are_plain_characters_when_the_user_says_so(read):
    found = read('"text",label\n"Así, dijo\n""a,b\n', quoting=False, columns=('"text"', "label"))
    assert found.rows == [[2, '"Así', " dijo"], [3, '""a', "b"]]


@pytest.mark.parametrize(
    ("encoding", "mark"), [("latin-1", b""), ("cp1252", b""), ("utf-8", b""), ("utf-8", b"\xef\xbb\xbf")]
)
def test_encodings(read, encoding, mark):
    content = mark + "text,label\nniño «comió»,sí\nñ,ü\n".encode(encoding)
    found = read(content, block_bytes=5, encoding=encoding)
    assert found.rows == [[2, "niño «comió»", "sí"], [3, "ñ", "ü"]]


def test_bytes_that_are_not_text_cost_their_row_and_only_where_they_are_wanted(read):
    content = b"id,text,label\n1,caf\xe9,a\n\xe9,b,b\n3,c\x81,c\n"
    assert read(content).rejects == [
        [2, "text: byte 0xe9 is no text in this encoding", "1,caf\\xe9,a"],
        [4, "text: byte 0x81 is no text in this encoding", "3,c\\x81,c"],
    ]
    assert read(content).rows == [[3, "b", "b"]]
    assert [line for line, reason, _ in read(content, encoding="cp1252").rejects] == [4]


def test_a_file_without_a_header_has_the_names_it_is_given(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\nc,d")
    reader = format_for(str(path), columns=["text", "label"])
    assert reader.columns(str(path)) == COLUMNS
    assert read_all(reader, path, ("label", "text"), 3).rows == [[1, "b", "a"], [2, "d", "c"]]


def test_nul_bytes_long_fields_and_no_line_end_at_the_end(read):
    found = read("text,label\na\0b,c\n" + "x" * 300_000 + ",d\nf,g")
    assert [row[1:] for row in found.rows] == [["a\0b", "c"], ["x" * 300_000, "d"], ["f", "g"]]


def test_blank_lines_are_rejects_between_rows_and_nothing_at_the_end(read):
    for block_bytes in (1, 8, 1000):
        found = read("text,label\n\na,b\n\r\n\nc,d\n\n\r\n\n", block_bytes)
        assert found.rows == [[3, "a", "b"], [6, "c", "d"]]
        assert [reject[:2] for reject in found.rejects] == [[2, "empty line"], [4, "empty line"], [5, "empty line"]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no header line"),
        ("\n\n", "no header line"),
        ("text,text\na,b\n", "two columns are called 'text'"),
        ('"text,label\n', "the header breaks the rules of quoting"),
        ("año,label\n".encode("latin-1"), "the header is not utf-8; name its `encoding`"),
        ("text,label\n".encode("utf-16"), "the file is UTF-16"),
        ("txt,label\na,b\n", "no column 'text'; did you mean 'txt'"),
        ("id,label\na,b\n", "no column 'text'; known: id, label"),
    ],
)
def test_a_file_without_the_columns_is_one_clear_error(read, content, reason):
    with pytest.raises(DataError, match=r"a\.csv: " + reason):
        read(content)


def test_files_that_cannot_be_opened_are_data_errors(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DataError, match="cannot be opened"):
            format_for("a.csv").plan(str(path))
        with pytest.raises(DataError, match="cannot be opened"):
            format_for("a.csv").columns(str(path))


def test_several_files_are_planned_at_once(tmp_path):
    paths = [tmp_path / name for name in ("a.csv", "b.csv")]
    for path in paths:
        path.write_text("text,label\na,b\n")
    assert [block.path for block in format_for("a.csv").plan(*map(str, paths))] == list(map(str, paths))
