"""Search on real collections: BM25, the vectors of an encoder trained here, and both together.

    python -m benchmarks.tasks_search              every row
    python -m benchmarks.tasks_search cranfield    one of them: cranfield, cisi

Wants the corpora in ../shared/data (benchmarks/common.py says where). The encoder learns from the documents alone, each
title beside the rest of its text (contrastive); no query and no judgement is read before the measuring, and nothing is
chosen by them: BM25 and both fusions are at their defaults. Cranfield's grades fall with relevance, so that every
grade above 0 counts as 1, and its judgements call queries by their place in the file.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import CORPORA, artifact, print_each, run

Row = tuple[str, ...]
HEADER: Row = ("row", "ranking", "nDCG@10", "MAP", "MRR", "recall@100", "nDCG@10 over BM25", "wanted")
FILES = {
    "cranfield": ("ir_cran", "cran.all.1400", "cran.qry", "cran.qrels"),
    "cisi": ("ir_cisi", "CISI.ALL", "CISI.QRY", "CISI.REL"),
}
WANTED = {"cranfield": {"bm25": ">= .35", "rrf": "above BM25", "sum": "above BM25"}, "cisi": {}}
ENCODER: dict[str, Any] = {
    "transform": {"max_tokens": 256},
    "trainer": {
        "family": {"name": "fasttext", "width": 256, "characters": [3, 5], "word_ngrams": 1, "pooling": "idf"},
        "head": {"objective": "contrastive"},
        "epochs": 4,
        "optimizer": {"learning_rate": 2e-5},
    },
}


def titles(documents: Path, out: Path) -> None:
    """Each title beside the rest of its document, as JSON lines. Cranfield's texts begin with their titles."""
    from data.formats import format_for

    reader = format_for(str(documents), "smart")
    with out.open("w") as file:
        for block in reader.plan(str(documents)):
            for batch in reader.read(block, ("title", "text")):
                for title, text in zip(*(column.to_pylist() for column in batch.table.columns), strict=True):
                    rest = (text or "").removeprefix(title or "").strip()
                    if title and rest:
                        file.write(json.dumps({"text": title, "text_pair": rest}) + "\n")


def collection(name: str, folder: Path) -> list[Row]:
    """A row a ranking, with the 95 % interval over queries."""
    from components.base import Runtime
    from components.relevance import by_ranking, means, read_qrels
    from components.search_index import build_index
    from components.search_rows import queries_of
    from components.searcher import HOW, Searcher

    place, documents, queries, qrels = FILES[name]
    path, pairs = CORPORA / place, folder / f"{name}.jsonl"
    titles(path / documents, pairs)
    given = {"input": str(pairs), "splits": {"train": 0.95, "valid": 0.05}}
    record = run({"name": name, "task": "similarity", "example_gen": given, **ENCODER}, folder, until="trainer")
    model, index = str(artifact(record, "trainer")), str(folder / f"{name}-index")
    build_index(model, str(path / documents), index, Runtime(), format="smart")
    asked = queries_of(str(path / queries), "smart", {}, "--queries", numbered=True)
    judged = read_qrels(str(path / qrels), binary=True)
    found = means(by_ranking(Searcher(index), asked, judged, HOW))
    return [_row(name, how, found) for how in HOW]


def _row(name: str, how: str, found: dict[str, Any]) -> Row:
    def shown(value: dict[str, float], sign: str = "") -> str:
        return f"{value['value']:{sign}.4f} [{value['low']:{sign}.4f}, {value['high']:{sign}.4f}]"

    ndcg, *others = found[how].values()
    over = found.get(f"{how} over bm25")
    gain = shown(over["nDCG@10"], "+") if over else ""
    return (name, how, shown(ndcg), *(f"{each['value']:.4f}" for each in others), gain, WANTED[name].get(how, ""))


ROWS: dict[str, Callable[[Path], list[Row]]] = {name: partial(collection, name) for name in FILES}


if __name__ == "__main__":
    print_each("search", HEADER, ROWS)
