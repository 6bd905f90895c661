"""Tests `components/search_export.py`: what an index answers over a server is what `polisemia search query` answers."""

import json
import random

import numpy as np
import pytest

from components.base import Runtime
from components.infra_validator import check_ops
from components.search_index import build_index
from components.searcher import Searcher
from components.serving_ops import LINKED
from pipeline.cli import main
from pipeline.serve import find_served
from tests.components.indexed import export_model, write
from tests.plain_ranking import plain
from tests.serving.running import running

WORDS = [
    "good",
    "film",
    "bad",
    "Año",
    "an\u0303o",
    "CAFÉ",
    "café",
    "7",
    "42º",
    "n_1",
    "straße",
    "हिन्दी",
    "ΟΔΟΣ",
    "plot",
]
QUERIES = [
    "good año",
    "CAFE\u0301 42º, plot",
    "STRASSE bad bad",
    "7 n_1 οδος",
    "हिन्दी",
    "unheard",
    "",
    "film \udcff plot",
]
SIGNATURES = {"rrf": "search", "vectors": "search_vectors", "bm25": "search_bm25", "sum": "search_sum"}
TOP = 5


@pytest.fixture(scope="module")
def texts():
    """Each of them twice, so that there are ties by any ranking."""
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 5))) for _ in range(20)] * 2


@pytest.fixture(scope="module")
def index(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("export")
    export_model(folder / "model", 0)
    source = write(folder / "d.jsonl", [{"id": f"ñ{n}", "text": text} for n, text in enumerate(texts)])
    build_index(str(folder / "model"), source, str(folder / "index"), Runtime(), top=TOP)
    return str(folder / "index")


@pytest.fixture(scope="module")
def served(index):
    name, base = find_served(index)
    with running(model_name=name, model_base_path=base) as (_, client):
        yield lambda queries, signature: client.predict({"query": queries}, name, signature)[0]


@pytest.mark.parametrize("by", SIGNATURES)
def test_what_is_served_is_what_the_command_line_answers(index, served, capsys, by):
    with pytest.raises(SystemExit, match="0"):
        main(["search", "query", index, *QUERIES, "--by", by, "--top", str(TOP)])
    told = [json.loads(line)["hits"] for line in capsys.readouterr().out.splitlines()]
    answer = served([query.encode("utf-8", "surrogateescape") for query in QUERIES], SIGNATURES[by])
    assert answer["hits"].tolist() == [len(hits) for hits in told]
    assert max(map(len, told)) == TOP
    for row, hits in enumerate(told):
        rest = TOP - len(hits)
        assert [each.decode() for each in answer["ids"][row]] == [hit["id"] for hit in hits] + [""] * rest
        assert [each.decode() for each in answer["texts"][row]] == [hit["text"] for hit in hits] + [""] * rest
        np.testing.assert_allclose(answer["scores"][row], [hit["score"] for hit in hits] + [0.0] * rest, atol=1e-6)


@pytest.mark.parametrize("by", SIGNATURES)
def test_what_is_served_is_each_rankings_definition(index, served, texts, by):
    """Scores; places too where they are no matter of the last digit of a cosine."""
    searcher = Searcher(index)
    vectors, asked = searcher.model.ranker.vectors.numpy(), searcher.encode(QUERIES)
    answer = served([query.encode("utf-8", "surrogateescape") for query in QUERIES], SIGNATURES[by])
    for row, query in enumerate(QUERIES):
        wanted = plain(by, query, asked[row], vectors, texts, TOP)
        scores = [score for _, score in wanted]
        np.testing.assert_allclose(answer["scores"][row][: len(wanted)], scores, rtol=1e-5, atol=1e-6)
        if by == "bm25":
            assert [each.decode() for each in answer["ids"][row] if each] == [f"ñ{place}" for place, _ in wanted]


def test_search_is_the_default(served):
    default, named = (served(["café", "good film"], name) for name in ("serving_default", "search"))
    assert all(np.array_equal(default[name], named[name]) for name in named)


def test_every_tf_serving_that_is_known_has_its_ops(index):
    for target in LINKED:
        assert "UnsortedSegmentSum" in check_ops(f"{index}/saved_model", target)


def test_the_graph_holds_words_and_no_documents(index, texts):
    """Its constants, unlike variables, must stay below 2 GB."""
    with open(f"{index}/saved_model/saved_model.pb", "rb") as file:
        graph = file.read()
    assert "straße".encode() not in graph and b"strasse" in graph
    assert "ñ39".encode() not in graph and max(texts, key=len).encode() not in graph
