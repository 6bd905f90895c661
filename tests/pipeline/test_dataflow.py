"""Tests `runner = "DataflowRunner"`: each pass becomes the job Dataflow would get, built offline and never sent."""

import re
import tarfile
from pathlib import Path

import pytest
from apache_beam.internal import pickler
from apache_beam.portability.api import beam_runner_api_pb2 as proto
from etils import epath

import components.beam
from components import artifacts, bulk_inferrer, example_gen, statistics_gen, tokenizer_gen, transform
from components.base import Runtime
from components.beam_options import make_pipeline
from data.errors import StageError
from tests.package import PACKAGES, ROOT

HOME = "gs://fake-bucket/home/tiny"
BEAM = {
    "runner": "DataflowRunner",
    "project": "fake-project",
    "region": "europe-west1",
    "temp_location": "gs://fake-bucket/tmp",
    "dry_run": True,
    "no_auth": True,
}


def examples(shards: int = 2) -> artifacts.Examples:
    files = {f"{split}/0-00000-{n:012d}.parquet": {} for split in ("train", "test") for n in range(shards)}
    properties = {"labels": ["bad", "good"], "span": "1", "rows": {}, "columns": [], "fields": {}}
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


def run_transform(folder: Path, runtime: Runtime, shards: int = 2) -> None:
    tokenizer, tokens = artifacts.TokenizerFiles(f"{HOME}/tokenizer_gen/a"), artifacts.Tokens(f"{HOME}/transform/b")
    params = transform.transform.params(task="classification").model_dump()
    transform.transform(examples(shards), tokenizer, None, tokens, runtime, **params)


def run_bulk_inferrer(folder: Path, runtime: Runtime) -> None:
    (folder / "a.csv").write_text("text\none\ntwo\n")
    properties = {"task": "classification", "labels": ["bad", "good"], "inputs": ["text"], "max_tokens": 16}
    model = artifacts.Model(f"{HOME}/trainer/a", {"files": {}, "properties": properties})
    params = bulk_inferrer.bulk_inferrer.params(input=str(folder / "a.csv")).model_dump()
    bulk_inferrer.bulk_inferrer(model, artifacts.Predictions(f"{HOME}/bulk_inferrer/b"), runtime, **params)


STAGES = {  # how to start it, what its workers run
    "example_gen": (run_example_gen, example_gen._read_block),
    "statistics_gen": (run_statistics_gen, statistics_gen.count_shard),
    "tokenizer_gen": (run_tokenizer_gen, tokenizer_gen._count_shard),
    "transform": (run_transform, transform._transform_shard),
    "bulk_inferrer": (run_bulk_inferrer, bulk_inferrer._answer_block),
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


def shipped(job: proto.Pipeline, step: str) -> tuple:
    """What the function of a Map step is given besides its element, as a worker unpickles it."""
    (transform,) = (t for t in steps(job) if t.unique_name == step)
    _, args, *_ = pickler.loads(proto.ParDoPayload.FromString(transform.spec.payload).do_fn.payload)
    return tuple(args)


def coder(job: proto.Pipeline, step: str) -> list[str]:
    """Names of the coders of what a step gives, the outer one first."""
    (transform,) = (t for t in steps(job) if t.unique_name == step)
    (output,) = transform.outputs.values()
    found = job.components.coders[job.components.pcollections[output].coder_id]
    inner = [job.components.coders[id].spec for id in found.component_coder_ids]
    return [
        re.findall(rb"\w+Coder", spec.payload)[0].decode() if spec.payload else spec.urn
        for spec in (found.spec, *inner)
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_becomes_a_job_of_six_steps(stage, pipelines, bucket, tmp_path):
    run, work = STAGES[stage]
    left = epath.Path(f"{HOME}/{stage}/b/scratch/{stage}.pickle")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a killed run")
    with pytest.raises(StageError, match=f"{stage}: the Beam runner said DONE, but its workers left no gs://"):
        run(tmp_path, Runtime(beam=BEAM))
    job = pipelines[0].runner.proto_pipeline
    names = [step.unique_name for step in steps(job)]
    assert names == [f"{stage}: {step}" for step in ("start", "blocks", "spread", "work", "merge", "summary")]
    assert shipped(job, f"{stage}: work")[0] is work, "functions go by name, so a worker needs our package"
    assert shipped(job, f"{stage}: summary") == (str(left),)
    assert not [path for path in bucket.rglob("*") if path.is_file()], "building a job writes nothing"


def test_elements_are_pickled_blocks_and_small_summaries(pipelines, bucket, tmp_path):
    for shards in (2, 2002):
        with pytest.raises(StageError):
            run_transform(tmp_path, Runtime(beam=BEAM), shards)
    few, many = (pipeline.runner.proto_pipeline for pipeline in pipelines)
    for step in ("blocks", "work"):
        assert coder(few, f"transform: {step}") == ["beam:coder:kv:v1", "beam:coder:varint:v1", "FastPrimitivesCoder"]
    assert (many.ByteSize() - few.ByteSize()) / 4000 < 200, "Dataflow takes jobs of up to 20 MB"


def test_our_package_goes_along_and_nothing_of_main(pipelines, bucket, tmp_path, source_tree):
    with pytest.raises(StageError):
        run_statistics_gen(tmp_path, Runtime(beam={**BEAM, "setup_file": str(source_tree / "setup.py")}))
    sent = staged(pipelines[0].runner.proto_pipeline)
    assert set(sent) == {"workflow.tar.gz", "submission_environment_dependencies.txt"}
    with tarfile.open(sent["workflow.tar.gz"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"setup.py", "pyproject.toml", "constraints.txt", "data/samples/opiniones/span-1.csv"} <= names
    assert {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")} <= names


def test_an_image_brings_everything(pipelines, bucket, tmp_path):
    image = "europe-west1-docker.pkg.dev/fake-project/images/polisemia:1"
    with pytest.raises(StageError):
        run_statistics_gen(tmp_path, Runtime(beam={**BEAM, "sdk_container_image": image}))
    job = pipelines[0].runner.proto_pipeline
    assert proto.DockerPayload.FromString(environment(job).payload).container_image == image
    assert set(staged(job)) <= {"submission_environment_dependencies.txt"}
