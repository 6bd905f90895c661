"""Makes a corpus searchable by the trained model, and holds its rankings against judgements where there are any."""

import json
from typing import Annotated, Any

from pydantic import Field

from components.artifacts import Index, Model
from components.base import Input, Output, Runtime, Source, component
from components.relevance import Kind, by_ranking, means, read_qrels
from components.search_index import Backend, make_index, write_record
from components.search_rows import plan_rows, queries_of
from components.searcher import HOW, Searcher
from data.errors import ConfigError

FORMAT = "name of the format, or a table of it and its options; by the file's extension when silent"
FIELDS = "the column of id, text or title, where named otherwise"


@component(version=1, tensorflow=True)
def search(
    model: Input[Model],
    index: Output[Index],
    runtime: Runtime,
    *,
    documents: Annotated[Source[str], Field(description="path pattern of the documents: rows of id, text and title")],
    format: Annotated[str | dict[str, Any], Field(description=FORMAT)] = "",
    fields: Annotated[dict[str, str], Field(description=FIELDS)] = {},
    queries: Annotated[
        Source[str], Field(description="path pattern of queries that are judged: rows of id, text")
    ] = "",
    query_format: Annotated[str | dict[str, Any], Field(description=FORMAT)] = "",
    query_fields: Annotated[dict[str, str], Field(description=FIELDS)] = {},
    numbered: Annotated[
        bool, Field(description="the judgements call queries by their place in the file, from 1, as Cranfield's")
    ] = False,
    relevance: Annotated[
        Source[str], Field(description="file of judgements: query, document, grade; BEIR's tsv, TREC's or SMART's")
    ] = "",
    relevance_format: Annotated[
        Kind, Field(description="of the judgements, where their first line does not tell")
    ] = "auto",
    binary: Annotated[
        bool, Field(description="every grade above 0 counts as 1, where grades fall with relevance")
    ] = False,
    top: Annotated[int, Field(ge=1, description="hits that the served signatures answer")] = 10,
    k1: Annotated[float, Field(ge=0, description="BM25: how soon more of the same word adds no more")] = 1.2,
    b: Annotated[float, Field(ge=0, le=1, description="BM25: how much longer documents count less")] = 0.75,
    backend: Annotated[
        Backend, Field(description="how `polisemia search query` compares vectors: exact, or faiss (HNSW)")
    ] = "exact",
    resamples: Annotated[int, Field(gt=0, description="bootstrap resamples behind each 95 % interval")] = 1000,
    seed: Annotated[int, Field(ge=0, description="of the resamples")] = 0,
) -> None:
    """Encodes documents, on any Beam runner, into an index of vectors and words, and measures its four rankings."""
    if problems := check_judged(queries, relevance):
        raise ConfigError(*problems)
    read = plan_rows(documents, format, fields, "search.documents")
    judged = read_qrels(relevance, relevance_format, binary, "search.relevance") if relevance else {}
    asked = queries_of(queries, query_format, query_fields, "search.queries", numbered) if relevance else {}
    where = f"search.documents = {documents!r}"
    record = make_index(
        model.path, read, where, index.path, index.scratch, runtime, top=top, k1=k1, b=b, backend=backend
    )
    write_record(index.path, record)
    if judged:
        searcher = Searcher(str(index.path))
        metrics = means(by_ranking(searcher, asked, judged, HOW), resamples=resamples, seed=seed)
        record |= {"queries": len(judged), "metrics": metrics}
        (index.path / "metrics.json").write_text(json.dumps(metrics, indent=1))
    index.properties.update(record)


def check_judged(queries: str, relevance: str) -> list[str]:
    """A line where one of the two is there without the other."""
    if queries and not relevance:
        return ["search.relevance: missing; wanted the judgements of search.queries"]
    if relevance and not queries:
        return ["search.queries: missing; wanted the queries that search.relevance judges"]
    return []
