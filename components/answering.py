"""What becomes of rows: read in batches, answered by the model, and joined with their answers as JSONL or Arrow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from components import saved_model
from components.answer_files import united
from components.answers import Answers, Judged, Raw
from data.errors import DataError

PREDICTION = "prediction"
JSONL, PARQUET = "jsonl", "parquet"
RAW_CHARACTERS = 2000  # of a rejected row
# Rows asked at once are sorted by length, so the more the better: 8192 cost 2 to 5 % less than 2048, and no memory to
# speak of, unless the texts are long, or a row's answer has many numbers (a vector a token).
MOST_ROWS, MOST_BYTES, MOST_VALUES = 8192, 4 << 20, 1 << 22


@dataclass(frozen=True)
class Job:
    """What a worker needs besides its block."""

    directory: str
    properties: Mapping[str, Any]
    signature: str
    reader: Any
    columns: Mapping[str, str]  # input of the model -> column it is in
    flat: bool
    kind: str  # of what is written: JSONL or PARQUET


class Asked(NamedTuple):
    """Rows on their way to the model: data.formats' Batch, with the texts, and Rows, with all that is in them.

    done: blocks that are whole when these rows are written.
    """

    parts: list[tuple[Any, Any]]
    done: int


class Answered(NamedTuple):
    """What is written of them. written: <bytes> of JSONL, or a pa.Table; None where every row was rejected."""

    written: Any
    rows: int
    rejects: list[dict[str, Any]]
    done: int


def read(blocks: Sequence[Any], job: Job) -> Iterator[Asked]:
    """The rows of the blocks, in their order, as many at a time as are asked at once."""
    columns = tuple(dict.fromkeys(job.columns.values()))
    values = saved_model.load_exported(job.directory).values_a_row(job.signature, job.properties["max_tokens"])
    most = max(1, min(MOST_ROWS, MOST_VALUES // max(values, 1)))
    parts: list[tuple[Any, Any]] = []
    rows = size = done = 0
    for done, block in enumerate(blocks, 1):
        for batch, whole in job.reader.read_whole(block, columns):
            for start in range(0, max(1, len(whole)), most):
                places = range(len(whole))[start : start + most]
                if rows + len(places) > most or size > MOST_BYTES:
                    yield Asked(parts, done - 1)
                    parts, rows, size = [], 0, 0
                part = batch.part(start, most)
                parts.append((part, whole.take(places)))
                rows, size = rows + len(places), size + part.table.nbytes
    yield Asked(parts, done)


def answer(asked: Asked, job: Job) -> Answered:
    """The rows with their answers; those that cannot be read, or have no text, among the rejects."""
    texts: dict[str, list[Any]] = {name: [] for name in job.columns}
    rejects: list[dict[str, Any]] = []
    kept = []
    for batch, rows in asked.parts:
        found = {name: _texts(batch.table.column(column)) for name, column in job.columns.items()}
        lacking = {
            i: job.columns[name] for name, column in found.items() for i, text in enumerate(column) if text is None
        }
        rejects += [dict(zip(("file", "line", "reason", "raw"), reject, strict=True)) for reject in batch.rejects]
        rejects += [_rejected(batch, rows, i, column) for i, column in sorted(lacking.items())]
        places = [i for i in range(len(rows)) if i not in lacking]
        for name, column in found.items():
            texts[name] += [column[i] for i in places]
        kept.append((batch, rows.take(places), places))
    if not next(iter(texts.values())):
        return Answered(None, 0, rejects, asked.done)
    answers = ask(job.directory, job.properties, job.signature, texts)
    for each in kept:
        _check_keys(*each, answers.names if job.flat else (PREDICTION,))
    join = _jsonl if job.kind == JSONL else _table
    return Answered(join([rows for _, rows, _ in kept], answers, job.flat), len(answers), rejects, asked.done)


def ask(directory: str, properties: Mapping[str, Any], signature: str, texts: Mapping[str, Sequence[bytes]]) -> Answers:
    """The answers of a signature to texts <bytes>[N], one list for each input of the model.

    Those of the default one are put as its task puts predictions.
    """
    from models.evaluation import JUDGES

    exported = saved_model.load_exported(directory)
    inputs = saved_model.as_inputs(signature, exported.inputs_of(signature), texts)
    answers = exported.answer(inputs, saved_model.longest(properties), signature=signature)
    if signature != saved_model.SIGNATURE:
        return Raw(answers, exported.by_token(signature))
    return Judged(JUDGES[properties["task"]].predictions(answers, properties["labels"]))


def _texts(column: Any) -> list[bytes | None]:
    """The text of each row, None where it has none, or several: a column with lists anywhere is one of lists."""
    import pyarrow as pa

    if pa.types.is_list(column.type):
        single = [texts[0] if texts and len(texts) == 1 else None for texts in column.to_pylist()]
        column = pa.array(single, pa.string())
    return column.cast(pa.binary()).to_pylist()


def _rejected(batch: Any, rows: Any, i: int, column: str) -> dict[str, Any]:
    several = batch.table.column(column)[i].as_py()
    reason = f"{column}: {len(several)} texts where one was wanted" if several else f"{column}: no text"
    (raw,) = rows.take([i]).json()
    return {"file": batch.paths[i], "line": int(batch.lines[i]), "reason": reason, "raw": raw[:RAW_CHARACTERS]}


def _check_keys(batch: Any, rows: Any, places: Sequence[int], taken: Sequence[str]) -> None:
    """Raises DataError for a row that has a key where its answer would go. places: of the rows in the batch."""
    if clash := rows.with_key(taken):
        place, name = places[clash[0]], clash[1]
        hint = "put the answers beside it with `flat`" if taken == (PREDICTION,) else "drop `flat`"
        raise DataError(
            f"{batch.paths[place]}:{batch.lines[place]}: the row has a key '{name}' of its own, where the answer "
            f"would go; rename it, or {hint}"
        )


def _jsonl(rows: Sequence[Any], answers: Answers, flat: bool) -> bytes:
    """Each row, opened at its end, and its answer put there: no key of the row is written in another way."""
    opened = (row[:-1].rstrip() for part in rows for row in part.json())
    begin, end = ("", "") if flat else (f'"{PREDICTION}": ', "}")
    lines = [f"{row}, {begin}{answer[flat:]}{end}\n" for row, answer in zip(opened, answers.json(), strict=True)]
    return "".join(lines).encode("utf-8", "backslashreplace")  # half a surrogate pair, as JSON escapes it


def _table(rows: Sequence[Any], answers: Answers, flat: bool) -> Any:
    table, found = united([part.table() for part in rows]), answers.table()
    columns = zip(found.column_names, found.columns, strict=True) if flat else [(PREDICTION, found.to_struct_array())]
    for name, column in columns:
        table = table.append_column(name, column)
    return table
