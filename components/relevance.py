"""Rankings against judgements: which documents answer which query, read from files, and the field's metrics.

ir-measures computes them (MacAvaney et al. 2022), with trec_eval's own code behind.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from components.searcher import How, Searcher
from data.errors import ConfigError, DataError

Kind = Literal["auto", "beir", "trec", "smart"]
KINDS: tuple[Kind, ...] = ("auto", "beir", "trec", "smart")
LINES = {
    "beir": "query, document and grade, with tabs between",
    "trec": "query, 0, document and grade",
    "smart": "query, document and, if any, grade",
}
DEPTH = 1000  # hits of a query that are judged
AT_ONCE = 256  # queries whose hits are in memory
MEASURES = ("nDCG@10", "MAP", "MRR", "R@100")  # as ir-measures calls them
Qrels = dict[str, dict[str, int]]


def read_qrels(path: str, kind: Kind = "auto", binary: bool = False, where: str = "--qrels") -> Qrels:
    """Grades by query and document, those above 0.

    kind: beir: a line `query-id, corpus-id, score` of names, then tabs; trec: query, anything, document, grade; smart:
    query, document and, if any, a grade, or 0 and a decimal number, as CISI's, whose lines are all relevant. By the
    first line where it is `auto`. binary: every grade above 0 is 1, for scales that do not rise with relevance
    (Cranfield's 1 is best).
    where: how the user named the file, for messages. Raises DataError for a line that is none of these.
    """
    from etils import epath

    if not epath.Path(path).is_file():
        raise ConfigError(f"{where} {path}: no such file")
    try:
        text = epath.Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} {path}: got bytes that are no UTF-8 ({error}); wanted a text file") from None
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    kind = _kind(lines[0][1].split() if lines else []) if kind == "auto" else kind
    qrels: Qrels = {}
    for number, line in lines[kind == "beir" :]:
        try:
            query, document, grade = _line(line.rstrip("\r").split("\t" if kind == "beir" else None), kind)
        except (ValueError, IndexError):
            raise DataError(f"{path}:{number}: got {line!r}; wanted {LINES[kind]}") from None
        if grade > 0:
            qrels.setdefault(query, {})[document] = 1 if binary else grade
    if not qrels:
        raise DataError(f"{path}: no document is relevant to any query; it was read as {kind}")
    return qrels


def _kind(first: Sequence[str]) -> Kind:
    if first[:1] == ["query-id"]:
        return "beir"
    return "trec" if len(first) == 4 and "." not in first[3] else "smart"


def _line(row: Sequence[str], kind: Kind) -> tuple[str, str, int]:
    if kind == "trec":
        return row[0], row[2], int(row[3])
    listed = kind == "smart" and (len(row) == 2 or (len(row) == 4 and "." in row[3]))
    return row[0], row[1], 1 if listed else int(row[2])


def by_ranking(
    searcher: Searcher,
    queries: Mapping[str, str],
    qrels: Qrels,
    hows: Sequence[How],
    weight: float = 0.5,
    measures: Sequence[str] = MEASURES,
) -> dict[str, Any]:
    """{how: values <float64>[queries, measures]} of the queries that have a relevant document, in their order in qrels.

    measures: that ir-measures knows, of the first 1000 hits. Raises ConfigError for an unknown one, and DataError where
    queries or documents have judgements and are not there.
    """
    import numpy as np

    check_asked(queries, qrels)
    _check_known(searcher.ids, qrels)
    judged = list(qrels)
    found: dict[str, list[Any]] = {how: [] for how in hows}
    for part in (judged[start : start + AT_ONCE] for start in range(0, len(judged), AT_ONCE)):
        asked, wanted = [queries[query] for query in part], {query: qrels[query] for query in part}
        vectors = None if set(hows) == {"bm25"} else searcher.encode(asked)
        for how in hows:
            hits = zip(part, searcher.rank(asked, how, DEPTH, weight, vectors), strict=True)
            # By rank, as trec_eval orders equal scores, of which fused rankings are full, by the documents' names.
            run = {query: {searcher.ids[at]: -float(n) for n, at in enumerate(places)} for query, (_, places) in hits}
            found[how].append(by_query(run, wanted, measures))
    return {how: np.concatenate(parts) for how, parts in found.items()}


def means(
    values: Mapping[str, Any], measures: Sequence[str] = MEASURES, resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """{how: {measure: {value, low, high}}} with 95 % intervals over queries; and where BM25 is among several rankings,
    `HOW over bm25`: the differences, query by query, with theirs."""
    shown = dict(values)
    if "bm25" in values:
        shown |= {f"{how} over bm25": each - values["bm25"] for how, each in values.items() if how != "bm25"}
    return {name: _means(each, measures, resamples, seed) for name, each in shown.items()}


def worst_first(
    values: Mapping[str, Any], queries: Mapping[str, str], qrels: Qrels, measures: Sequence[str] = MEASURES
) -> list[dict[str, Any]]:
    """Each query with what every ranking is worth to it, those first for which the first measure is lowest, on average
    over the rankings."""
    import numpy as np

    order = np.argsort(np.mean([each[:, 0] for each in values.values()], axis=0), kind="stable")
    judged = list(qrels)
    return [
        {"id": judged[at], "query": queries[judged[at]], "relevant": len(qrels[judged[at]])}
        | {how: dict(zip(measures, each[at].round(6).tolist(), strict=True)) for how, each in values.items()}
        for at in order
    ]


def by_query(run: Mapping[str, Mapping[str, float]], qrels: Qrels, measures: Sequence[str] = MEASURES) -> Any:
    """The measures of each query <float64>[queries, measures] of a run, scores by query and document; 0 for one without
    hits."""
    import ir_measures
    import numpy as np

    parsed = [_measure(name) for name in measures]
    place = {query: row for row, query in enumerate(qrels)}
    found = np.zeros([len(qrels), len(parsed)])
    for each in ir_measures.iter_calc(parsed, qrels, run):
        found[place[each.query_id], parsed.index(each.measure)] = each.value
    return found


def _measure(name: str) -> Any:
    import ir_measures

    try:
        return ir_measures.parse_measure(name)
    except (NameError, ValueError):
        raise ConfigError(
            f"--measure {name}: ir-measures knows no such; wanted one such as {', '.join(MEASURES)}, P@5"
        ) from None


def _means(values: Any, measures: Sequence[str], resamples: int, seed: int) -> dict[str, Any]:
    import numpy as np

    from models.evaluation.base import resampled

    def of_sums(sums):
        return {name: sums[..., n] / sums[..., -1] for n, name in enumerate(measures)}

    return resampled(of_sums, np.column_stack([values, np.ones(len(values))]), resamples, seed)


def check_asked(queries: Mapping[str, str], qrels: Qrels) -> None:
    """Raises DataError where a query is judged and not there."""
    unasked = [query for query in qrels if query not in queries]
    if unasked:
        raise DataError(
            f"the judgements know {len(unasked)} queries that the queries' file has not ({', '.join(unasked[:5])}); "
            "wanted the same ids; where they are the queries' places in their file, as Cranfield's, say `numbered`"
        )


def _check_known(ids: Sequence[str], qrels: Qrels) -> None:
    named = {name for documents in qrels.values() for name in documents}
    if named.isdisjoint(ids):
        raise DataError(
            f"the judgements name no document of the index ({', '.join(sorted(named)[:5])}); wanted ids such as "
            f"{', '.join(ids[:5])}"
        )
