"""Tests `components/sources.py`."""

from pathlib import Path

import pytest
from etils import epath

from components.records import plan_blocks
from components.sources import find_files, find_spans, patterns_of
from data.errors import DataError
from pipeline.sources import SourceHashes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in (
        "train/pos/1.txt",
        "train/pos/2.txt",
        "train/neg/1.txt",
        "span-2.csv",
        "span-10.csv",
        "deep/a/b/c.csv",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_pattern_without_span_is_read_with_the_first_span_alone(tmp_path):
    for name in ("train-9.csv", "train-10.csv", "test.csv"):
        (tmp_path / name).write_text("text,label\na,b\n")
    given = {"train": f"{tmp_path}/train-{{span}}.csv", "test": f"{tmp_path}/test.csv"}
    assert patterns_of(given, "9") == set(given.values()) == patterns_of(given, "")
    assert patterns_of(given, "10") == {given["train"]}
    read = [[plan.block.path for plan in plan_blocks(given, "", {"valid": 0.1}, span)] for span in ("9", "10")]
    assert [[Path(path).name for path in paths] for paths in read] == [["train-9.csv", "test.csv"], ["train-10.csv"]]
    hashes = SourceHashes(epath.Path(tmp_path))
    assert [set(hashes.of(given, span, "")) for span in ("9", "10")] == [{"train", "test"}, {"train"}]
    assert [len(hashes.paths(given, span)) for span in ("9", "10")] == [2, 1]


def test_names_are_captured_from_the_path(folder):
    files = find_files("train/{label}/*.txt")
    assert [(f.path, f.captures) for f in files] == [
        ("train/neg/1.txt", {"label": "neg"}),
        ("train/pos/1.txt", {"label": "pos"}),
        ("train/pos/2.txt", {"label": "pos"}),
    ]


def test_spans_come_in_natural_order_and_pick_their_files(folder):
    assert find_spans("span-{span}.csv") == ["2", "10"]
    assert find_spans("span-2.csv") == [""]
    (file,) = find_files("span-{span}.csv", "10")
    assert file == ("span-10.csv", {"span": "10"})


def test_the_last_version_of_each_span_is_read(folder):
    for name in ("1/v2/a.csv", "1/v10/a.csv", "1/v10/b.csv", "2/v9/a.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    pattern = "{span}/v{version}/*.csv"
    assert find_spans(pattern) == ["1", "2"]
    found = [("1/v10/a.csv", {"span": "1"}), ("1/v10/b.csv", {"span": "1"}), ("2/v9/a.csv", {"span": "2"})]
    assert find_files(pattern) == found and find_files(pattern, "1") == found[:2]
    assert find_files("1/v{version}/*.csv") == [(path, {}) for path, _ in found[:2]]


def test_absolute_paths_and_double_stars(folder):
    assert [f.path for f in find_files(str(folder / "deep/**/*.csv"))] == [str(folder / "deep/a/b/c.csv")]
    assert [f.path for f in find_files(str(folder / "span-2.csv"))] == [str(folder / "span-2.csv")]


def test_no_match_is_an_error_that_names_the_pattern(folder):
    with pytest.raises(DataError, match=r"no file matches 'none-\*\.csv'"):
        find_files("none-*.csv")
    with pytest.raises(DataError, match="no file matches"):
        find_spans("none-{span}.csv")


def test_remote_tables_are_known_by_name():
    assert find_files("tfds:imdb_reviews")[0].path == "tfds:imdb_reviews"
