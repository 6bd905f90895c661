"""Tests the table of formats, and every format on its samples."""

import gzip
import pickle

import pytest

from data.errors import ConfigError
from data.formats import FORMATS, format_for
from tests.contracts.format import SAMPLES, check_format, read_all

WITH_SAMPLES = [name for name, kind in FORMATS.items() if not kind.scheme]


@pytest.mark.parametrize("name", WITH_SAMPLES)
def test_format_keeps_its_contract(name):
    check_format(name)


A_COLUMN = {
    "text": "text",
    "tfrecord": "text",
    "conll": "1",
    "smart": "text",
    "squad": "question",
    "wic": "text",
    "jsonl": "data.text",
    "parquet": "data.text",
}


@pytest.mark.parametrize("name", WITH_SAMPLES)
def test_gzip_changes_no_row(name, tmp_path):
    columns = (A_COLUMN.get(name, "label"),)
    plain = min((SAMPLES / name).glob("sample.*"), key=lambda path: len(path.name))
    zipped = tmp_path / f"{plain.name}.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    reader = format_for(str(zipped), name)
    found = read_all(reader, zipped, columns, block_bytes=10)
    assert found.blocks == 1
    assert found[:2] == read_all(reader, plain, columns)[:2]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.csv", "csv"),
        ("gs://bucket/a.csv.gz", "csv"),
        ("a.tab", "tsv"),
        ("a.ndjson", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.txt-00000-of-00010", "text"),
        ("data_tfrecord-00000-of-00001.gz", "tfrecord"),
        ("tfds:glue/sst2#train[:10%]", "tfds"),
        ("train-v2.0.json.gz", "squad"),
        ("bigquery:SELECT a FROM b.csv", "bigquery"),
    ],
)
def test_format_is_known_by_the_name_of_the_file(path, name):
    assert type(format_for(path)) is FORMATS[name]


def test_format_is_taken_by_name_with_its_options():
    reader = format_for("a.data", "csv", delimiter=";", columns=["text", "label"], encoding="utf-8-sig")
    assert (reader.delimiter, reader.names, reader.encoding) == (";", ("text", "label"), "utf-8")
    assert pickle.loads(pickle.dumps(reader)) == reader


@pytest.mark.parametrize(
    ("path", "name", "options", "problems"),
    [
        ("a.csv", "cvs", {}, ["unknown name 'cvs'; did you mean 'csv'"]),
        ("a.csv", ["csv"], {}, ["unknown name ['csv']"]),
        ("a.jsonll", None, {}, ["a.jsonll: no format is known by this name; did you mean '.jsonl'"]),
        ("a", None, {}, ["known: .bio, .conll"]),
        ("a.csv", None, {"delimeter": ";"}, ["format.delimeter: csv has no such option; did you mean 'delimiter'"]),
        ("a.parquet", None, {"encoding": "utf-8"}, ["format.encoding: parquet has no such option"]),
        ("a.csv", None, {"delimiter": "||", "encoding": "utf-16"}, ["one ASCII character", "got 'utf-16'"]),
        ("a.csv", None, {"encoding": "utf-9"}, ["keeps ASCII as it is"]),
        ("a.csv", None, {"encoding": "hex"}, ["keeps ASCII as it is"]),
        ("a.txt", None, {"unit": "page"}, ["format.unit: Input should be 'line' or 'file'; got 'page'"]),
    ],
)
def test_a_wrong_name_or_option_is_one_clear_error(path, name, options, problems):
    with pytest.raises(ConfigError) as caught:
        format_for(path, name, **options)
    assert len(caught.value.problems) == len(problems)
    assert all(
        wanted in got for wanted, got in zip(sorted(problems), sorted(caught.value.problems), strict=True)
    ) or all(any(wanted in got for got in caught.value.problems) for wanted in problems)
