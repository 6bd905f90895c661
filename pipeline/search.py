"""`polisemia search`: index a corpus, ask it, serve it, and hold its rankings against judgements."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from etils import epath

from data.errors import ConfigError
from pipeline.serve import ANY_FLAG, IMAGE, Image, With, become_server

app = typer.Typer(no_args_is_help=True, help="Search a corpus by vectors, by words or by both.")

IndexPath = Annotated[
    str, typer.Argument(help="folder of an index, or a run (runs/NAME) that made one", metavar="INDEX")
]
Fields = Annotated[
    list[str],
    typer.Option("--field", metavar="FIELD=COLUMN", help="column of id, text or title, where named otherwise"),
]
Format = Annotated[str, typer.Option(help="format of the file; by its extension if empty")]
By = Annotated[str, typer.Option(help="vectors, bm25, rrf (both, by ranks) or sum (both, by weighted scores)")]
Weight = Annotated[float, typer.Option(min=0, max=1, help="share of the vectors' scores in sum")]


@app.command()
def index(
    model: Annotated[str, typer.Argument(help="a run (runs/NAME), served model or SavedModel", metavar="MODEL")],
    input: Annotated[str, typer.Option(help="path pattern of the documents, in any format that a config reads")],
    output: Annotated[str, typer.Option(help="folder for the index")],
    format: Format = "",
    field: Fields = [],
    top: Annotated[int, typer.Option(min=1, help="hits that the served signature answers")] = 10,
    k1: Annotated[float, typer.Option(min=0, help="BM25: how soon more of the same word adds no more")] = 1.2,
    b: Annotated[float, typer.Option(min=0, max=1, help="BM25: how much longer documents count less")] = 0.75,
    backend: Annotated[str, typer.Option(help="how `query` compares vectors: exact, or faiss (HNSW)")] = "exact",
    beam: Annotated[list[str], typer.Option(metavar="K=V", help="options of Beam, as in a config: runner=...")] = [],
) -> None:
    """Encode documents with MODEL, in Beam, and make them searchable by vectors and by BM25."""
    from components.base import Runtime
    from components.saved_model import find_model
    from components.search_index import build_index, check_output
    from components.trusted import check_trusted
    from pipeline.config import field_column, set_value
    from pipeline.home import locked
    from pipeline.report import Screen

    if backend not in ("exact", "faiss"):
        raise ConfigError(f"--backend {backend}: wanted exact or faiss")
    given: dict[str, Any] = {}
    for each in beam:
        if "=" not in each:
            raise ConfigError(f"--beam {each}: wanted K=V, such as runner=FlinkRunner")
        set_value(given, f"beam.{each}")
    options: dict[str, Any] = {"format": format, "fields": dict(map(field_column, field)), "backend": backend}
    check_trusted(find_model(model)[0])
    with Screen() as screen, locked(check_output(output), screen.on_wait):
        screen.on_stage("search", "")
        runtime = Runtime(beam=given.get("beam", {}), progress=screen.progress)
        record = build_index(model, input, output, runtime, top=top, k1=k1, b=b, **options)
    print(json.dumps({"output": output, **record}, ensure_ascii=False))


@app.command()
def query(
    index: IndexPath,
    text: Annotated[list[str] | None, typer.Argument(help="queries", metavar="TEXT...")] = None,
    input: Annotated[str, typer.Option(help="file of queries, with columns id and text, instead")] = "",
    format: Format = "",
    field: Fields = [],
    by: By = "rrf",
    weight: Weight = 0.5,
    top: Annotated[int, typer.Option(min=1, help="most hits of a query")] = 10,
) -> None:
    """The best documents of INDEX for each query, one JSON object a line."""
    from components.search_rows import rows_of
    from pipeline.config import field_column

    if bool(text) == bool(input):
        raise ConfigError("search query: give TEXT (once or more), or --input FILE")
    how = _how(by)
    searcher = _searcher(index)
    rows: list[tuple[str | None, str]] = [(None, each) for each in text or ()]
    rows += rows_of(input, format, dict(map(field_column, field)), "--input") if input else []
    for (name, asked), hits in zip(rows, searcher.search([t for _, t in rows], how, top, weight), strict=True):
        head = {"query": asked} if name is None else {"id": name, "query": asked}
        found = [{**hit._asdict(), "score": round(hit.score, 6)} for hit in hits]
        print(json.dumps({**head, "hits": found}, ensure_ascii=False))


@app.command("eval")
def evaluate(
    index: IndexPath,
    queries: Annotated[str, typer.Option(help="file of queries, with columns id and text")],
    qrels: Annotated[str, typer.Option(help="file of judgements: BEIR's tsv, TREC's or SMART's")],
    format: Format = "",
    field: Fields = [],
    qrels_format: Annotated[str, typer.Option(help="auto, beir, trec or smart")] = "auto",
    binary: Annotated[bool, typer.Option(help="count every grade above 0 as 1")] = False,
    numbered: Annotated[bool, typer.Option(help="judgements call queries by their place in the file, from 1")] = False,
    by: Annotated[list[str] | None, typer.Option(help="rankings to measure; all four if not given")] = None,
    weight: Weight = 0.5,
    measure: Annotated[
        list[str] | None, typer.Option(help="as ir-measures writes it: P@5; nDCG@10, MAP, MRR and R@100 if not given")
    ] = None,
    queries_out: Annotated[
        str, typer.Option(metavar="FILE", help="write what each query gets, the worst first, as JSON lines")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """What INDEX's rankings are worth, by judgements, with 95 % intervals over queries; BM25 is the baseline."""
    from components import relevance
    from components.search_rows import queries_of
    from components.searcher import HOW
    from pipeline.config import field_column
    from pipeline.report import judged_lines

    if qrels_format not in relevance.KINDS:
        raise ConfigError(f"--qrels-format {qrels_format}: wanted one of {', '.join(relevance.KINDS)}")
    hows = [_how(each) for each in by] if by else list(HOW)
    judged = relevance.read_qrels(qrels, qrels_format, binary)
    asked = queries_of(queries, format, dict(map(field_column, field)), "--queries", numbered)
    if queries_out:
        epath.Path(queries_out).parent.mkdir(parents=True, exist_ok=True)
    measures = measure or relevance.MEASURES
    values = relevance.by_ranking(_searcher(index), asked, judged, hows, weight, measures)
    found = relevance.means(values, measures)
    if queries_out:
        rows = relevance.worst_first(values, asked, judged, measures)
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        epath.Path(queries_out).write_text("".join(lines))
    if as_json:
        print(json.dumps({"queries": len(judged), "metrics": found}))
        return
    for line in judged_lines(found):
        print(line)


@app.command(context_settings=ANY_FLAG)
def serve(context: typer.Context, index: IndexPath, with_: With = "", image: Image = IMAGE) -> None:
    """Serve INDEX as `polisemia serve` serves a model, under the name of its folder, with the same flags."""
    from components.search_index import find_index

    name = re.sub(r"\W+", "_", Path(index).resolve().name)
    become_server([str(find_index(index)), f"--model_name={name}", *context.args], with_, image)


def _searcher(index: str) -> Any:
    """An index, loaded once it is known to hold no op that reaches further than it should."""
    from components.search_index import SAVED_MODEL, find_index
    from components.searcher import Searcher
    from components.trusted import check_trusted

    if (model := find_index(index) / SAVED_MODEL).exists():
        check_trusted(model)
    return Searcher(index)


def _how(by: str) -> Any:
    from components.searcher import HOW

    if by not in HOW:
        raise ConfigError(f"--by {by}: wanted one of {', '.join(HOW)}")
    return by
