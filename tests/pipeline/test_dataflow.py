"""Tests `[beam] runner = "DataflowRunner"`: each pass becomes the job Dataflow would get, built offline and never sent."""

import tarfile
from pathlib import Path

import pytest
from apache_beam.internal import pickler
from apache_beam.portability.api import beam_runner_api_pb2 as proto

import components.beam
from components import artifacts, example_gen, statistics_gen, tokenizer_gen, transform
from components.base import Runtime
from components.beam_options import make_pipeline
from data.errors import StageError

ROOT = Path(__file__).parent.parent.parent
HOME = "gs://fake-bucket/home/tiny"
BEAM = {
    "runner": "DataflowRunner",
    "project": "fake-project",
    "region": "europe-west1",
    "temp_location": "gs://fake-bucket/tmp",
    "dry_run": True,
    "no_auth": True,
}


def examples() -> artifacts.Examples:
    files = {f"{split}/0-00000-{n:012d}.parquet": {} for split in ("train", "test") for n in range(2)}
    properties = {"labels": ["bad", "good"], "span": "1", "rows": {}, "columns": ["text", "label"]}
    return artifacts.Examples(f"{HOME}/example_gen/a", {"files": files, "properties": properties})


def run_example_gen(folder: Path, runtime: Runtime) -> None:
    (folder / "a.csv").write_text("text,label\none,good\ntwo,bad\n")
    params = {"task": "classification", "input": str(folder / "a.csv")}
    params = example_gen.example_gen.params(**params).model_dump()
    example_gen.example_gen(artifacts.Examples(f"{HOME}/example_gen/b"), runtime, **params)


def run_statistics_gen(folder: Path, runtime: Runtime) -> None:
    params = statistics_gen.statistics_gen.params().model_dump()
    statistics_gen.statistics_gen(examples(), artifacts.Statistics(f"{HOME}/statistics_gen/b"), runtime, **params)


def run_tokenizer_gen(folder: Path, runtime: Runtime) -> None:
    params = tokenizer_gen.tokenizer_gen.params(kind="words").model_dump()
    tokenizer_gen.tokenizer_gen([examples()], artifacts.TokenizerFiles(f"{HOME}/tokenizer_gen/b"), runtime, **params)


def run_transform(folder: Path, runtime: Runtime) -> None:
    tokenizer, tokens = artifacts.TokenizerFiles(f"{HOME}/tokenizer_gen/a"), artifacts.Tokens(f"{HOME}/transform/b")
    params = transform.transform.params(task="classification").model_dump()
    transform.transform(examples(), tokenizer, tokens, runtime, **params)


STAGES = {
    "example_gen": (run_example_gen, example_gen._read_block, 1),
    "statistics_gen": (run_statistics_gen, statistics_gen.count_shard, 4),
    "tokenizer_gen": (run_tokenizer_gen, tokenizer_gen._count_shard, 2),
    "transform": (run_transform, transform._transform_shard, 4),
}


@pytest.fixture
def pipelines(monkeypatch) -> list:
    """The pipelines that the test's stages built; what their runner made of them is `.runner.proto_pipeline`."""
    made = []

    def make(options):
        made.append(make_pipeline(options))
        return made[-1]

    monkeypatch.setattr(components.beam, "make_pipeline", make)
    return made


def steps(job: proto.Pipeline) -> list[proto.PTransform]:
    (root,) = job.root_transform_ids
    return [job.components.transforms[step] for step in job.components.transforms[root].subtransforms]


def environment(job: proto.Pipeline) -> proto.Environment:
    (found,) = job.components.environments.values()
    return found


def staged(job: proto.Pipeline) -> dict[str, str]:
    """Name on the worker -> local file, of what is sent along."""
    found = {}
    for dependency in environment(job).dependencies:
        role = proto.ArtifactStagingToRolePayload.FromString(dependency.role_payload)
        file = proto.ArtifactFilePayload.FromString(dependency.type_payload)
        found[role.staged_name] = file.path
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_becomes_a_job_of_four_steps(stage, pipelines, bucket, tmp_path):
    run, work, blocks = STAGES[stage]
    with pytest.raises(StageError, match=f"{stage}: the Beam runner said DONE, but its workers left no gs://"):
        run(tmp_path, Runtime(beam=BEAM))
    job = pipelines[0].runner.proto_pipeline
    names = [step.unique_name for step in steps(job)]
    assert names == [f"{stage}: {step}" for step in ("blocks", "work", "merge", "summary")]
    open("/tmp/job.txt","w").write(str(job))
    for c in job.components.pcollections.values(): print(c)
    for i,c in job.components.coders.items(): print(i, c)
    assert not list(bucket.rglob("*.*")), "building a job writes nothing"
    assert 0
