"""Tests `components/base.py` and `components/artifacts.py`: a signature is the specification of its stage."""

import json
from typing import Annotated

import pytest
from pydantic import Field

from components.artifacts import Examples, Statistics, Tokens
from components.base import Input, Output, Recorded, Runtime, Shared, Source, component


@component(version=3)
def counter(
    examples: list[Input[Examples]],
    tokens: Input[Tokens] | None,
    statistics: Output[Statistics],
    runtime: Runtime,
    *,
    task: Shared[str],
    input: Source[str] = "",
    top: Annotated[int, Field(gt=0, description="how many")] = 5,
    devices: Recorded[Annotated[int, Field(gt=0)]] = 1,
) -> None:
    statistics.properties["top"] = top


def test_signature_tells_inputs_output_and_params():
    assert (counter.name, counter.version, counter.output, counter.kind) == ("counter", 3, "statistics", Statistics)
    assert counter.inputs["examples"].many and not counter.inputs["examples"].optional
    assert counter.inputs["tokens"].optional and counter.inputs["tokens"].kind is Tokens
    assert counter.takes_runtime
    assert (counter.shared, counter.sources, counter.recorded) == ({"task"}, {"input"}, {"devices"})


def test_params_keep_their_bounds():
    with pytest.raises(ValueError, match="greater than 0"):
        counter.params(task="x", top=0)
    with pytest.raises(ValueError, match="greater than 0"):
        counter.params(task="x", devices=0)
    assert counter.params(task="x").top == 5


def test_a_stage_has_one_output():
    with pytest.raises(AssertionError, match="one Output"):

        @component(version=1)
        def none(examples: Input[Examples]) -> None: ...


def test_an_artifact_is_whole_only_with_its_manifest(tmp_path):
    artifact = Examples(tmp_path / "abc")
    artifact.clear()
    (artifact.path / "train").mkdir()
    (artifact.path / "train" / "0.parquet").write_bytes(b"rows")
    assert Examples.load(artifact.path) is None
    artifact.properties["rows"] = 4
    artifact.commit(stage="example_gen")
    whole = Examples.load(artifact.path)
    assert whole.properties == {"rows": 4}
    assert whole.shards("train") == [str(tmp_path / "abc/train/0.parquet")]
    assert whole.manifest["files"]["train/0.parquet"]["bytes"] == 4
    (artifact.path / "manifest.json").write_text(json.dumps(whole.manifest)[:-9])
    assert Examples.load(artifact.path) is None, "half a manifest is none"


def test_clear_keeps_only_the_scratch_directory(tmp_path):
    artifact = Examples(tmp_path / "abc")
    artifact.clear()
    artifact.scratch.mkdir()
    (artifact.scratch / "checkpoint").write_text("kept")
    (artifact.path / "left.parquet").write_text("of a killed run")
    artifact.clear()
    assert (artifact.scratch / "checkpoint").read_text() == "kept"
    assert not (artifact.path / "left.parquet").exists()
    artifact.commit()
    assert not artifact.scratch.exists()


def test_an_artifact_whose_outside_part_is_gone_is_made_again(tmp_path):
    outside = tmp_path / "served"
    outside.mkdir()
    artifact = Examples(tmp_path / "abc")
    artifact.clear()
    artifact.properties["external"] = [[str(outside)]]
    artifact.commit()
    assert Examples.load(artifact.path)
    outside.rmdir()
    assert Examples.load(artifact.path) is None
