"""Tests `components/search*.py` and `pipeline/search.py`: a corpus indexed in Beam, asked here and by a server."""

import json
import sys
import threading
from contextlib import suppress

import numpy as np
import pytest
import tensorflow as tf
from etils import epath

from components import relevance
from components.base import Runtime
from components.relevance import MEASURES, by_ranking, means
from components.saved_model import write_properties
from components.search_index import SCRATCH, build_index
from components.search_rows import rows_of
from components.searcher import Searcher
from data.errors import ConfigError, DataError
from models import ranking
from pipeline.cli import main
from pipeline.home import locked
from pipeline.report import Screen
from tests.components.indexed import export_model, export_zeros, write

TEXTS = ["good film", "bad film", "fun plot", "dull plot", "very good fun", "not bad", "dull dull film"]
DOCUMENTS = [{"_id": f"d{n}", "title": text.split()[0], "text": text} for n, text in enumerate(TEXTS)]


ZEBRAS = [{"id": "z", "text": "zebra"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Bi-encoders without training, whose random vectors are as good as any, one that gives unknown words no vector,
    and an index of TEXTS by the first."""
    folder = tmp_path_factory.mktemp("search")
    for seed, name in enumerate(("model", "other")):
        export_model(folder / name, seed)
    export_zeros(folder / "zeros")
    source = write(folder / "documents.jsonl", [*DOCUMENTS, {"_id": "empty", "text": " "}])
    record = build_index(str(folder / "model"), source, str(folder / "index"), Runtime(), top=3)
    assert (record["documents"], record["rejected"], record["reasons"]) == (7, 1, {"text: empty": 1})
    return folder


@pytest.fixture(scope="module")
def searcher(folder):
    return Searcher(str(folder / "index"))


def whole(n):
    return f"{DOCUMENTS[n]['title']} {DOCUMENTS[n]['text']}"


def test_a_document_is_nearest_to_itself_by_every_ranking(searcher):
    for how in ("vectors", "rrf", "sum"):
        for n, hits in enumerate(searcher.search([whole(n) for n in range(7)], how, 2)):
            assert hits[0].id == f"d{n}" and hits[0].text == whole(n) and hits[0].score >= hits[1].score, how


def test_words_find_only_what_shares_one(searcher):
    (hits,) = searcher.search(["PLOT, unheard"], "bm25", 10)
    assert {hit.id for hit in hits} == {"d2", "d3"}
    assert searcher.search(["unheard"], "bm25", 10) == [[]]


def test_fused_ranks_are_those_of_both_rankings(searcher):
    near, worded, fused = (searcher.search(["fun film"], how, 7)[0] for how in ("vectors", "bm25", "rrf"))
    wanted = dict.fromkeys((hit.id for hit in near), 0.0)
    for hits in (near, worded):
        for rank, hit in enumerate(hits, 1):
            wanted[hit.id] += 1 / (60 + rank)
    assert {hit.id: hit.score for hit in fused} == pytest.approx(wanted)


def test_a_family_that_only_pools_is_searched_by_its_vectors_at_length_one(folder, tmp_path):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def embed(text):
        size = tf.cast(tf.strings.length(text), tf.float32)
        return {"pooled": tf.stack([size, size * size], axis=1)}

    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"embed": embed, "serving_default": embed})
    write_properties(tmp_path / "m", {"task": "x", "labels": [], "inputs": ["text"], "max_tokens": 8})
    source = write(tmp_path / "d.jsonl", [{"id": "a", "text": "x"}, {"id": "b", "text": "xxxx"}])
    build_index(str(tmp_path / "m"), source, str(tmp_path / "index"), Runtime())
    vectors = Searcher(str(tmp_path / "index")).model.ranker.vectors.numpy()
    np.testing.assert_allclose(vectors, np.array([[1, 1], [4, 16]]) / np.array([[2**0.5], [272**0.5]]), rtol=1e-6)


def test_faiss_finds_what_the_product_finds(folder, searcher, tmp_path, monkeypatch):
    pytest.importorskip("faiss", reason="the extra `search` is not installed")
    build_index(str(folder / "model"), str(folder / "documents.jsonl"), str(tmp_path / "i"), Runtime(), backend="faiss")
    monkeypatch.setattr(ranking, "DEPTH", 2)  # below the documents: all of them are compared, not looked for
    by_graph = Searcher(str(tmp_path / "i"))
    for how in ("vectors", "rrf", "sum"):
        exact, near = (each.search(["fun film", "dull"], how, 3) for each in (searcher, by_graph))
        for wanted, hits in zip(exact, near, strict=True):
            assert [hit.id for hit in hits] == [hit.id for hit in wanted]
            assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in wanted])


def test_faiss_that_is_not_there_is_told_before_anything_is_encoded(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"faiss is not installed; `pip install polisemia\[search\]`"):
        build_index(
            str(folder / "model"), str(folder / "documents.jsonl"), str(tmp_path / "i"), Runtime(), backend="faiss"
        )
    assert not (tmp_path / "i").exists()


def test_an_id_twice_and_a_folder_of_something_else_are_refused(folder, tmp_path):
    twice = write(tmp_path / "twice.jsonl", [DOCUMENTS[0], DOCUMENTS[0]])
    with pytest.raises(DataError, match=r"ids more than once \(d0\)"):
        build_index(str(folder / "model"), twice, str(tmp_path / "i"), Runtime())
    with pytest.raises(ConfigError, match="no index.json"):
        Searcher(str(tmp_path / "i"))
    with pytest.raises(ConfigError, match="holds something else than an index"):
        build_index(str(folder / "model"), twice, str(folder / "model"), Runtime())
    assert (folder / "model/saved_model.pb").exists()


def test_what_a_killed_run_left_is_made_anew(folder, tmp_path):
    """It holds the folder in which an index is made, and no index.json: no index, and no one else's folder."""
    (tmp_path / "i" / SCRATCH).mkdir(parents=True)
    (tmp_path / "i" / SCRATCH / "000009-000000.parquet").write_text("half")
    (tmp_path / "i/index.json").write_text("half")
    build_index(str(folder / "model"), str(folder / "documents.jsonl"), str(tmp_path / "i"), Runtime())
    assert Searcher(str(tmp_path / "i")).ids == [f"d{n}" for n in range(7)] and not (tmp_path / "i" / SCRATCH).exists()


def test_an_index_is_there_until_another_is_whole_and_then_the_other_is(folder, tmp_path):
    """In one process too, which keeps the models that it has loaded."""
    index, first = str(tmp_path / "i"), write(tmp_path / "first.jsonl", DOCUMENTS[:2])
    build_index(str(folder / "model"), first, index, Runtime())
    build_index(str(folder / "other"), str(folder / "documents.jsonl"), index, Runtime())
    with pytest.raises(DataError, match="ids more than once"):
        build_index(str(folder / "model"), write(tmp_path / "twice.jsonl", DOCUMENTS[:1] * 2), index, Runtime())
    ((hit,),) = Searcher(index).search([whole(6)], "vectors", 1)
    assert hit.id == "d6" and hit.score == pytest.approx(1)


def test_two_builds_into_one_folder_wait_for_each_other(folder, tmp_path, monkeypatch):
    index, waiting = tmp_path / "i", threading.Event()
    monkeypatch.setattr(Screen, "on_wait", lambda screen, owner: waiting.set())
    command = ["search", "index", str(folder / "model"), "--input", str(folder / "documents.jsonl")]

    def build():
        with suppress(SystemExit):
            main([*command, "--output", str(index)])

    thread = threading.Thread(target=build)
    with locked(epath.Path(index), print):
        thread.start()
        assert waiting.wait(60) and [entry.name for entry in index.iterdir()] == ["lock"]
    thread.join()
    assert Searcher(str(index)).ids == [f"d{n}" for n in range(7)]


def test_someone_elses_folder_is_refused_whatever_its_names(folder, tmp_path):
    (tmp_path / "i/scratch").mkdir(parents=True)
    (tmp_path / "i/index.json").write_text("[]")
    with pytest.raises(ConfigError, match="holds something else than an index"):
        build_index(str(folder / "model"), str(folder / "documents.jsonl"), str(tmp_path / "i"), Runtime())
    with pytest.raises(ConfigError, match="is a file; wanted a new folder"):
        build_index(str(folder / "model"), str(folder / "documents.jsonl"), str(tmp_path / "i/index.json"), Runtime())
    with pytest.raises(SystemExit, match="2"):
        main(["search", "index", str(folder / "model"), "--input", "x", "--output", str(tmp_path / "i")])
    assert sorted(entry.name for entry in (tmp_path / "i").iterdir()) == ["index.json", "scratch"]


def test_paragraphs_are_one_text(folder, tmp_path):
    rows = [{"id": "a", "title": ["good", None], "text": ["fun film ", ""]}, {"id": "b", "text": "plot"}]
    assert rows_of(write(tmp_path / "d.jsonl", rows), "", {}, "--input") == [("a", "good fun film"), ("b", "plot")]


def test_each_file_has_a_title_or_not(tmp_path):
    titled, plain = {"id": "1", "title": "good", "text": "film"}, {"id": "2", "text": "plot"}
    for first, second in ((titled, plain), (plain, titled)):
        write(tmp_path / "a.jsonl", [first]), write(tmp_path / "b.jsonl", [second])
        assert sorted(rows_of(f"{tmp_path}/*.jsonl", "", {}, "--input")) == [("1", "good film"), ("2", "plot")]
    with pytest.raises(ConfigError, match="no column 'head' for 'title'"):
        rows_of(f"{tmp_path}/*.jsonl", "", {"title": "head"}, "--input")


def test_what_the_model_knows_nothing_of_is_near_nothing(folder, tmp_path):
    """And takes no place among those that share words: the model lacks `zebra`."""
    source = write(tmp_path / "d.jsonl", [*({"id": f"d{n}", "text": "good film"} for n in range(5)), *ZEBRAS])
    build_index(str(folder / "zeros"), source, str(tmp_path / "i"), Runtime())
    searcher = Searcher(str(tmp_path / "i"))
    assert searcher.search(["", "?"], "vectors", 3) == searcher.search(["", "?"], "sum", 3) == [[], []]
    assert [hit.id for hit in searcher.search(["zebra"], "rrf", 3)[0]] == ["z"]
    assert searcher.search(["zebra"], "sum", 3)[0][0].id == "z"


def evaluate(searcher, queries, qrels, hows, measures=MEASURES, resamples=5):
    return means(by_ranking(searcher, queries, qrels, hows, measures=measures), measures, resamples)


def test_rankings_are_measured_beside_bm25_and_by_pairs(searcher, monkeypatch):
    queries, qrels = {"1": "good film", "2": "plot"}, {"1": {"d0": 1}, "2": {"d2": 1, "d3": 1}}
    found = evaluate(searcher, queries, qrels, ["vectors", "bm25"], resamples=50)
    assert set(found) == {"vectors", "bm25", "vectors over bm25"}
    assert found["bm25"]["nDCG@10"]["value"] == 1.0
    gain = found["vectors"]["MAP"]["value"] - found["bm25"]["MAP"]["value"]
    assert found["vectors over bm25"]["MAP"]["value"] == pytest.approx(gain)
    few = evaluate(searcher, queries, qrels, ["bm25"], measures=["R@1", "P@2"], resamples=5)
    assert {name: each["value"] for name, each in few["bm25"].items()} == {"R@1": 0.75, "P@2": 0.75}
    with pytest.raises(ConfigError, match="--measure recall: ir-measures knows no such"):
        evaluate(searcher, queries, qrels, ["bm25"], measures=["recall"])
    monkeypatch.setattr(relevance, "AT_ONCE", 1)
    assert evaluate(searcher, queries, qrels, ["vectors", "bm25"], resamples=50) == found
    with pytest.raises(DataError, match=r"know 1 queries that the queries' file has not \(3\).*`numbered`"):
        evaluate(searcher, queries, {"3": {"d0": 1}}, ["bm25"])
    with pytest.raises(DataError, match=r"name no document of the index \(7\)"):
        evaluate(searcher, queries, {"1": {"7": 1}}, ["bm25"])


def test_equal_scores_are_measured_in_the_order_in_which_they_are_answered(folder, tmp_path):
    source = write(tmp_path / "d.jsonl", [{"id": name, "text": "fun plot"} for name in ("a", "c", "b")])
    build_index(str(folder / "model"), source, str(tmp_path / "i"), Runtime())
    searcher = Searcher(str(tmp_path / "i"))
    assert [hit.id for hit in searcher.search(["plot"], "bm25", 3)[0]] == ["a", "c", "b"]
    assert evaluate(searcher, {"1": "plot"}, {"1": {"a": 1}}, ["bm25"], resamples=5)["bm25"]["MRR"]["value"] == 1.0


def test_the_command_line_tells_of_ids_twice_and_of_options_that_are_none(folder, tmp_path, capsys):
    queries, qrels = write(tmp_path / "q.jsonl", [{"id": "1", "text": "a"}] * 2), tmp_path / "qrels"
    qrels.write_text("1 d0\n")
    with pytest.raises(SystemExit, match="1"):
        main(["search", "eval", str(folder / "index"), "--queries", queries, "--qrels", str(qrels)])
    assert "q.jsonl: got ids more than once (1); wanted one for each query" in capsys.readouterr().err
    common = ["search", "index", "m", "--input", "x", "--output", "y"]
    for options, told in ((["--beam", "runner"], "--beam runner: wanted K=V"), (["--field", "a"], "--field a: wanted")):
        with pytest.raises(SystemExit, match="2"):
            main([*common, *options])
        assert told in capsys.readouterr().err


def test_a_query_of_bytes_that_are_no_utf8_is_answered(folder, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["search", "query", str(folder / "index"), "plot \udcff", "--by", "bm25"])
    assert json.loads(capsys.readouterr().out)["query"] == "plot \udcff"


def test_the_command_line_indexes_asks_and_measures(folder, tmp_path, capsys):
    documents, index = str(folder / "documents.jsonl"), str(tmp_path / "index")
    model = [
        "search",
        "index",
        str(folder / "model"),
        "--input",
        documents,
        "--output",
        index,
        "--beam",
        "runner=DirectRunner",
    ]
    with pytest.raises(SystemExit):
        main(model)
    assert json.loads(capsys.readouterr().out)["documents"] == 7
    with pytest.raises(SystemExit):
        main(["search", "query", index, "plot", "--by", "bm25", "--top", "1"])
    line = json.loads(capsys.readouterr().out)
    assert line["query"] == "plot" and len(line["hits"]) == 1 and line["hits"][0]["id"] in ("d2", "d3")
    queries = tmp_path / "queries.smart"
    queries.write_text(".I 008\n.W\ngood film\n.I 020\n.W\nfun\nplot\n")
    assert rows_of(str(queries), "", {}, "--queries") == [("008", "good film"), ("020", "fun plot")]
    (tmp_path / "qrels").write_text("1 d0 2\n2 d2 1\n")
    with pytest.raises(SystemExit):
        main(
            ["search", "eval", index, "--queries", str(queries), "--qrels", str(tmp_path / "qrels")]
            + ["--numbered", "--binary", "--by", "bm25", "--json"]
        )
    told = json.loads(capsys.readouterr().out)
    assert told["queries"] == 2 and told["metrics"]["bm25"]["MRR"]["value"] == 1.0
    (tmp_path / "qrels").write_text("1 d0 2\n2 d2 1\n2 d5 1\n")  # d5 shares no word with the query
    options = ["--numbered", "--by", "bm25", "--by", "vectors", "--measure", "R@5", "--measure", "MRR"]
    out = tmp_path / "worst" / "by-query.jsonl"
    with pytest.raises(SystemExit):
        main(
            ["search", "eval", index, "--queries", str(queries), "--qrels", str(tmp_path / "qrels"), *options]
            + ["--queries-out", str(out), "--json"]
        )
    told = json.loads(capsys.readouterr().out)["metrics"]
    worst = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["id"], row["query"], row["relevant"]) for row in worst] == [
        ("2", "fun plot", 2),
        ("1", "good film", 1),
    ]
    assert worst[0]["bm25"] == {"R@5": 0.5, "MRR": 1.0} and worst[1]["bm25"]["R@5"] == 1.0
    for how in ("bm25", "vectors"):
        mean = np.mean([row[how]["MRR"] for row in worst])
        assert mean == pytest.approx(told[how]["MRR"]["value"], abs=1e-6)
