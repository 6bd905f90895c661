"""Tests `components/mixture.py`, and the way of its weights from the rows to the training loop."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.example_gen import example_gen
from components.mixture import Mixture
from components.tokenizer_gen import tokenizer_gen
from components.transform import transform
from data.errors import ConfigError, DataError
from data.store import Shards, TokenStore
from pipeline.config import check_config
from tests.contracts.component import run

ROWS = {"translate": 12, "summarise": 3}


def shares(mixture: Mixture, rows: dict[str, int]) -> dict[str, float]:
    """Of all the weight, what each part has."""
    return {part: weight * rows[part] / sum(rows.values()) for part, weight in mixture.weights(rows).items()}


def test_rates_are_those_of_raffel_et_al():
    rows = {"a": 900, "b": 90, "c": 10}
    assert shares(Mixture(by="x"), rows) == pytest.approx({"a": 0.9, "b": 0.09, "c": 0.01})
    assert shares(Mixture(by="x", limit=100), rows) == pytest.approx({"a": 0.5, "b": 0.45, "c": 0.05})
    roots = np.array([30, 90**0.5, 10**0.5])
    assert [*shares(Mixture(by="x", temperature=2), rows).values()] == pytest.approx(roots / roots.sum())
    assert shares(Mixture(by="x", rates={"a": 1, "b": 2, "c": 1}), rows) == pytest.approx(
        {"a": 0.25, "b": 0.5, "c": 0.25}
    )


def test_rates_name_the_parts_that_there_are():
    with pytest.raises(DataError) as error:
        Mixture(by="x", rates={"en-es": 1, "sum": 2}).weights({"en-se": 5, "sum": 5})
    assert str(error.value).splitlines() == [
        "example_gen.mixture.rates: no rate for 'en-se'; did you mean 'en-es'?",
        "example_gen.mixture.rates: no training row of 'en-es'; did you mean 'en-se'?",
    ]


@pytest.mark.parametrize(
    "given, told",
    [
        ({"rates": {"a": 0}}, "rates.a: Input should be greater than 0"),
        ({"rates": {"a": 1}, "limit": 9}, "got rates and limit"),
    ],
)
def test_a_table_that_says_no_rates_is_refused(given, told):
    raw = {"name": "t", "task": "classification", "trainer": {"family": "lstm"}}
    with pytest.raises(ConfigError, match=rf"example_gen\.mixture: .*{told}"):
        check_config({**raw, "example_gen": {"input": "a.csv", "mixture": {"by": "x", **given}}})


@pytest.fixture
def jobs(tmp_path):
    """A file a job, of which the job's name is in the path."""
    for job, count in ROWS.items():
        lines = [{"text": f"{job} source {n}", "target": f"target {n}"} for n in range(count)]
        (tmp_path / f"{job}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(tmp_path / "{job}.jsonl")


def test_training_rows_weigh_what_their_part_is_to_have(tmp_path, jobs):
    params = {"task": "text_to_text", "fields": {"text": "text", "target": "target", "prefix": "job"}}
    mixture = {"by": "job", "temperature": 1e9}
    splits = {"train": 0.7, "test": 0.3}
    examples = run(example_gen, tmp_path / "e", {}, input=jobs, mixture=mixture, splits=splits, **params)
    tokenizer = run(tokenizer_gen, tmp_path / "k", {"examples": [examples]}, kind="words")
    inputs = {"examples": examples, "tokenizer": tokenizer, "guard": None}
    tokens = run(transform, tmp_path / "t", inputs, task="text_to_text")
    for split in ("train", "test"):
        parts = [part for shard in examples.shards(split) for part in pq.read_table(shard).column("job").to_pylist()]
        weights = TokenStore([Shards(tokens.shards(split))]).weights
        counts = {part: parts.count(part) for part in ROWS}
        assert min(counts.values()) and counts["translate"] != counts["summarise"]
        wanted = [len(parts) / 2 / counts[part] if split == "train" else 1.0 for part in parts]
        assert weights.tolist() == pytest.approx(wanted), split


def test_the_column_is_looked_for_before_anything_runs(tmp_path, jobs):
    with pytest.raises(ConfigError, match=r"example_gen\.mixture\.by: .* has no column 'jobs'; did you mean 'job'"):
        run(example_gen, tmp_path / "e", {}, input=jobs, task="text_to_text", mixture={"by": "jobs"})


def test_a_column_with_the_name_of_another_field_is_refused(tmp_path, jobs):
    fields = {"text": "target", "target": "text"}
    with pytest.raises(
        ConfigError, match=r"mixture\.by: column 'prefix' has the name of a field that is in column 'job'"
    ):
        run(
            example_gen,
            tmp_path / "e",
            {},
            input=jobs,
            task="text_to_text",
            fields={**fields, "prefix": "job"},
            mixture={"by": "prefix"},
        )


def test_a_task_that_cuts_its_rows_from_all_texts_has_no_mixture():
    raw = {"name": "t", "task": "language_modeling", "trainer": {"family": "lstm"}}
    with pytest.raises(ConfigError, match=r"example_gen\.mixture: 'language_modeling' cuts its rows from all texts"):
        check_config({**raw, "example_gen": {"input": "a.txt", "mixture": {"by": "source"}}})
