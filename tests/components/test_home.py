"""Tests homes other than a local disk: one that cannot rename, and a bucket. The same bytes lie in all of them."""

import json
import os
import pathlib
import shutil

import pytest
import xxhash
from etils import epath

from components.base import Runtime
from pipeline.config import check_config
from pipeline.runner import Run

STAGES = ("example_gen", "statistics_gen", "schema_gen", "example_validator", "tokenizer_gen", "transform")
WORDS = ["mesa", "azul", "añil", "luz", "día", "sol", "pan", "mar"]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> pathlib.Path:
    lines = ["opinion,verdict"]
    lines += [f"{WORDS[n % 8]} {WORDS[n // 8 % 8]} {n},{'good' if n % 3 else 'bad'}" for n in range(300)]
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    path.write_text("\n".join([*lines, ",good", ""]))
    return path


@pytest.fixture(scope="module")
def local(tmp_path_factory, source) -> pathlib.Path:
    """What every other home is held against."""
    home = tmp_path_factory.mktemp("local")
    make(home, source)
    return home


def make(home: epath.PathLike, source: epath.PathLike) -> Run:
    config = check_config(
        {
            "name": "tiny",
            "task": "classification",
            "example_gen": {"input": str(source), "fields": {"text": "opinion", "label": "verdict"}},
            "tokenizer_gen": {"kind": "words"},
            "trainer": {"family": "bag_of_words"},
        }
    )
    return Run(config, epath.Path(home), Runtime()).to("transform")


def contents(home: pathlib.Path) -> dict[str, bytes]:
    """Path -> content of every file of every artifact."""
    files = (file for stage in STAGES for file in (home / "tiny" / stage).rglob("*") if file.is_file())
    return {str(file.relative_to(home)): file.read_bytes() for file in files}


def check_whole(run: Run) -> None:
    """Every file is named by a manifest that tells its size and hash, and every manifest's files are there."""
    assert [made.stage for made in run.made] == list(STAGES)
    for made in run.made:
        artifact = type(made.artifact).load(made.artifact.path)
        root, sums = str(artifact.path), artifact.manifest["files"]
        for path in artifact.files(""):
            data = epath.Path(path).read_bytes()
            assert sums[path.removeprefix(f"{root}/")] == {"bytes": len(data), "xxh3": xxhash.xxh3_128_hexdigest(data)}
    assert set(json.loads((run.root / "latest.json").read_text())["stages"]) == set(STAGES)


def test_a_home_that_cannot_rename(tmp_path, monkeypatch, source, local):
    def refuse(*args, **kwargs):
        raise PermissionError("this file system cannot rename")

    renaming = {os: ("rename", "replace", "renames"), pathlib.Path: ("rename", "replace"), shutil: ("move",)}
    for owner, names in renaming.items():
        for name in names:
            monkeypatch.setattr(owner, name, refuse)
    check_whole(make(tmp_path, source))
    assert contents(tmp_path) == contents(local)


def test_a_home_in_a_bucket(bucket, source, local):
    check_whole(make("gs://bucket/home", source))
    assert contents(bucket / "bucket" / "home") == contents(local)
    assert all(made.cached for made in make("gs://bucket/home", source).made)


def test_what_a_killed_run_left_in_a_bucket_is_made_again(bucket, source, local):
    transform = make("gs://bucket/home", source).made[-1].artifact
    (transform.path / "manifest.json").unlink()
    (transform.path / "train" / "left.arrow").write_bytes(b"half a shard")
    run = make("gs://bucket/home", source)
    assert [made.stage for made in run.made if not made.cached] == ["transform"]
    assert contents(bucket / "bucket" / "home") == contents(local)


def test_an_input_in_a_bucket(bucket, source, local, tmp_path):
    epath.Path("gs://bucket/data").mkdir(parents=True)
    epath.Path("gs://bucket/data/reviews.csv").write_bytes(source.read_bytes())
    make(tmp_path, "gs://bucket/data/*.csv")
    shards = {name: data for name, data in contents(local).items() if name.endswith((".parquet", ".arrow"))}
    assert {name: data for name, data in contents(tmp_path).items() if name in shards} == shards
