"""Tests `[search]` of a config, end to end: an index made, measured, cached, asked and served by its run."""

import json
import re
from pathlib import Path

import pytest

from components.artifacts import Index
from components.search import search
from data.errors import ConfigError
from pipeline import serve
from pipeline.cli import main
from pipeline.config import load_config
from tests.components.indexed import write
from tests.contracts.component import check_import_is_light

CONFIG = """
name = "tiny"
task = "similarity"

[example_gen]
input = "{folder}/pairs.jsonl"
splits = {{ train = 0.6, valid = 0.2, test = 0.2 }}

[transform]
max_tokens = 16

[trainer]
family = {{ name = "fasttext", width = 8, characters = [3, 4], word_ngrams = 1, buckets = 64 }}
head = {{ objective = "contrastive" }}
epochs = 1

[evaluator]
at_least = {{ mrr = 0.01 }}

[search]
documents = "{folder}/documents.jsonl"
queries = "{folder}/queries.jsonl"
relevance = "{folder}/qrels.tsv"
top = 3
resamples = 20
"""
THINGS = ["mesa azul", "añil y luz", "sol de día", "pan 42", "mar abierto", "casa roja", "vino viejo", "calle larga"]


def call(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return stopped.value.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search-run")
    write(folder / "pairs.jsonl", [{"text": f"{a} {n}", "text_pair": a} for n in range(4) for a in THINGS])
    documents = [{"_id": f"d{n}", "title": text.split()[0], "text": text} for n, text in enumerate(THINGS)]
    write(folder / "documents.jsonl", [*documents, {"_id": "empty", "text": ""}])
    write(folder / "queries.jsonl", [{"_id": "q0", "text": "mesa"}, {"_id": "q1", "text": "PAN"}])
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td3\t1\n")
    (folder / "config.toml").write_text(CONFIG.format(folder=folder))
    assert call("run", str(folder / "config.toml"), "--home", str(folder / "runs")) == 0
    return folder


@pytest.fixture(scope="module")
def home(folder):
    return str(folder / "runs/tiny")


def test_a_run_indexes_and_measures_and_its_record_tells(folder, home):
    record = json.loads((folder / "runs/tiny/latest.json").read_text())
    (entry,) = record["stages"]["search"]
    index = Index.load(entry["artifact"])
    assert (index.properties["documents"], index.properties["rejected"]) == (8, 1)
    told = record["search"]
    assert told["path"] == entry["artifact"] and told["queries"] == 2 and told["documents"] == 8
    assert set(told["metrics"]) >= {"vectors", "bm25", "rrf", "sum", "rrf over bm25"}
    assert set(told["metrics"]["rrf"]) == {"nDCG@10", "MAP", "MRR", "R@100"}
    assert told["metrics"]["bm25"]["MRR"]["value"] == 1.0
    assert json.loads((index.path / "metrics.json").read_text()) == index.properties["metrics"]


def test_an_encoder_without_scores_is_measured_by_the_rank_of_each_texts_own_pair(folder):
    record = json.loads((folder / "runs/tiny/latest.json").read_text())
    found = record["evaluation"]
    assert 0.3 < found["metrics"]["mrr"]["value"] <= 1 and 0.3 < found["baseline"]["mrr"] <= 1
    assert found["blessed"] and "mrr is" in found["reasons"][0]
    artifact = Path(record["stages"]["evaluator"][0]["artifact"])
    worst = [json.loads(line) for line in (artifact / "worst.jsonl").read_text().splitlines()]
    assert worst and [row["rank"] for row in worst] == sorted((row["rank"] for row in worst), reverse=True)
    kept = {row["text"].rpartition(" ")[0] for row in worst}
    assert json.loads((artifact / "metrics.json").read_text())["candidates"] == len(kept)


def test_the_same_command_finds_the_index_whole_and_shows_its_metrics(folder, capsys):
    assert call("run", str(folder / "config.toml"), "--home", str(folder / "runs")) == 0
    out = capsys.readouterr().out
    assert (
        re.search(r"^bm25 .* MRR 1\.0000 \[1\.0000, 1\.0000\]", out, re.MULTILINE) and "search: 8 documents in" in out
    )
    assert "made" not in out.split("search: 8")[0]


@pytest.mark.slow
def test_what_decides_the_index_makes_it_anew_and_only_it(folder, capsys):
    changed = ["run", str(folder / "config.toml"), "--home", str(folder / "runs"), "--json", "--set", "search.k1=0.5"]
    assert call(*changed) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [name for name, entries in stages.items() if not entries[0]["cached"]] == ["search"]


def test_query_and_eval_take_the_runs_folder(folder, home, capsys):
    assert call("search", "query", home, "pan", "--by", "bm25") == 0
    assert [hit["id"] for hit in json.loads(capsys.readouterr().out)["hits"]] == ["d3"]
    files = ["--queries", str(folder / "queries.jsonl"), "--qrels", str(folder / "qrels.tsv")]
    assert call("search", "eval", home, *files, "--json") == 0
    record = json.loads((folder / "runs/tiny/latest.json").read_text())["search"]
    found = json.loads(capsys.readouterr().out)["metrics"]
    for how, metrics in found.items():
        assert {n: m["value"] for n, m in metrics.items()} == {n: m["value"] for n, m in record["metrics"][how].items()}


def test_serve_takes_the_runs_folder_and_names_the_model_for_it(home, monkeypatch):
    found = []
    monkeypatch.setattr(serve.os, "execv", lambda program, command: found.extend(command))
    assert call("search", "serve", home, "--port=8500") == 0
    assert "--model_name=tiny" in found and "--port=8500" in found
    (base,) = (each.partition("=")[2] for each in found if each.startswith("--model_base_path="))
    assert (Path(base) / "1/assets.extra/golden.jsonl").exists()


def test_check_reads_the_heads_of_all_three(folder, capsys):
    assert call("check", str(folder / "config.toml")) == 0
    assert "search: 1 file(s) of documents, 2 judged queries" in capsys.readouterr().out
    for key, value, said in (
        ("documents", "none.jsonl", "search.documents: no file matches 'none.jsonl'"),
        ("relevance", "none.tsv", "search.relevance none.tsv: no such file"),
        ("fields", "{ text = 'body' }", "name it: search.fields.text = 'COLUMN'"),
        ("numbered", "true", "the judgements know 2 queries that the queries' file has not (q0, q1)"),
    ):
        assert call("check", str(folder / "config.toml"), "--set", f"search.{key}={value}") in (1, 2)
        assert said in capsys.readouterr().err


def test_a_section_that_cannot_be_is_told_before_anything_runs(folder):
    for overrides, said in (
        (["search.relevance="], "search.relevance: missing; wanted the judgements of search.queries"),
        (["search.queries="], "search.queries: missing; wanted the queries that search.relevance judges"),
        (["search.top=0"], "search.top"),
        (["search.document=x"], "search.document: unknown key; did you mean 'documents'"),
    ):
        with pytest.raises(ConfigError, match=said):
            load_config(str(folder / "config.toml"), overrides)


def test_a_run_that_made_no_index_says_so(folder, tmp_path, capsys):
    (tmp_path / "latest.json").write_text('{"stages": {}}')
    assert call("search", "query", str(tmp_path), "pan") == 2
    assert "its last run made no index; wanted [search] in its config" in capsys.readouterr().err


def test_the_stage_loads_nothing_heavy_and_says_what_each_key_is():
    check_import_is_light("components.search")
    assert all(info.description for info in search.params.model_fields.values())
