"""Answers for whole files: any format in, JSONL or Parquet out, every row as it was with the prediction beside it."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Literal, NamedTuple

from etils import epath
from pydantic import Field

from components import saved_model
from components.artifacts import Model, Predictions
from components.base import Input, Output, Runtime, Source, component
from components.sources import find_files
from data.errors import ConfigError, DataError, did_you_mean

PREDICTION = "prediction"
BLOCK_BYTES = 1 << 20  # answering is slow beside reading: small blocks share the work evenly and show progress
CHUNK_ROWS = 8192  # rows that are Python objects at a time, on their way to Parquet
# How a user names the column of an input, by how the file was named.
NAMED_BY = {"--input": "--field {}=COLUMN", "bulk_inferrer.input": "bulk_inferrer.fields = {{ {} = 'COLUMN' }}"}
EXTENSIONS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


@component(version=1, tensorflow=True)
def bulk_inferrer(
    model: Input[Model],
    predictions: Output[Predictions],
    runtime: Runtime,
    *,
    input: Annotated[Source[str], Field(description="path pattern of the rows to answer")],
    format: Annotated[
        str | dict[str, Any],
        Field(description="name of the format, or a table of it and its options; by the file's extension when silent"),
    ] = "",
    fields: Annotated[
        dict[str, str], Field(description="the column each input of the model is in, where the names differ")
    ] = {},
    output: Annotated[Literal["jsonl", "parquet"], Field(description="format of the answers")] = "jsonl",
    flat: Annotated[bool, Field(description="answers beside the row's own keys, not below `prediction`")] = False,
) -> None:
    """Reads the input in blocks, on any Beam runner; each worker loads the model once."""
    from components.beam import over_blocks

    directory = str(model.path / "saved_model")
    blocks, job = _plan(directory, model.properties, input, format, fields, flat, "bulk_inferrer.input")
    out = str(predictions.path)
    numbered = [(f"{i:06d}", block) for i, block in enumerate(blocks)]
    found = over_blocks(
        runtime, "bulk_inferrer", numbered, _answer_block, (job, out, output), _merge, predictions.scratch
    )
    _check_found(found, f"{out}/rejects")
    reasons = dict(found.reasons.most_common(20))
    predictions.properties.update(rows=found.rows, rejected=found.reasons.total(), reasons=reasons)


def predict_file(
    directory: epath.PathLike,
    properties: Mapping[str, Any],
    input: str,
    output: str,
    format: str | dict[str, Any] = "",
    fields: Mapping[str, str] | None = None,
    flat: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, int]:
    """Answers the rows of `input` into one file, in their order, in this process.

    directory, properties: as `find_model` gives them.
    output: `*.jsonl` or `*.parquet`; rows that cannot be read go to `<output>.rejects.jsonl`.
    Returns the numbers of rows answered and rejected. Raises ConfigError and DataError.
    """
    path, rejects = epath.Path(output), epath.Path(f"{output}.rejects.jsonl")
    if path.suffix not in EXTENSIONS:
        raise ConfigError(f"--output {output}: wanted a name that ends in {', '.join(EXTENSIONS)}")
    blocks, job = _plan(str(directory), properties, input, format, fields or {}, flat, "--input")
    rejects.unlink(missing_ok=True)
    part = path.with_name(path.name + ".part")  # what is half written has another name
    try:
        found = _answer_into(part, rejects, blocks, job, EXTENSIONS[path.suffix], progress)
        _check_found(found, str(rejects))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return found.rows, found.reasons.total()


def predict_texts(
    directory: epath.PathLike, properties: Mapping[str, Any], texts: Mapping[str, list[str]]
) -> list[dict[str, Any]]:
    """The predictions for texts <str>[N], one list for each input of the model. Raises ConfigError for other inputs."""
    wanted = properties["inputs"]
    if sorted(texts) != sorted(wanted) or len({len(column) for column in texts.values()}) > 1:
        got = " and ".join(f"{len(column)} of {name}" for name, column in texts.items())
        raise ConfigError(f"{directory}: got {got}; wanted as many of each of: {', '.join(wanted)}")
    # The shell's bytes that are no UTF-8 come as surrogates; the model shall see the bytes.
    encoded = {name: [text.encode("utf-8", "surrogateescape") for text in column] for name, column in texts.items()}
    return _predictions(str(directory), properties, encoded)


@dataclass(frozen=True)
class _Job:
    """What a worker needs besides its block."""

    directory: str
    properties: Mapping[str, Any]
    reader: Any
    columns: tuple[tuple[str, str], ...]  # (input of the model, column it is in)
    flat: bool


class _Found(NamedTuple):
    rows: int
    reasons: Counter  # of the rejected rows


def _plan(
    directory: str,
    properties: Mapping[str, Any],
    input: str,
    format: str | dict[str, Any],
    fields: Mapping[str, str],
    flat: bool,
    where: str,
) -> tuple[list[Any], _Job]:
    """The blocks of all files, and the job. Raises ConfigError for a column that the first file has not.

    where: how the files were named, a key of NAMED_BY.
    """
    from data.formats import format_for

    paths = [file.path for file in find_files(input, where=where)]
    options = dict(format) if isinstance(format, dict) else {"name": format}
    reader = format_for(paths[0], options.pop("name", "") or None, **options)
    offered, inputs = reader.columns(paths[0]), properties["inputs"]
    trained = {name: column for name, column in properties.get("fields", {}).items() if column in offered}
    columns = {name: fields.get(name) or trained.get(name) or name for name in inputs}
    problems = [
        f"{NAMED_BY[where].format(n)}: the model has no such input{did_you_mean(n, inputs)}"
        for n in fields
        if n not in inputs
    ]
    problems += [
        f"{paths[0]}: no column '{column}' for the model's input '{name}'{did_you_mean(column, offered)}; "
        f"say which column it is: {NAMED_BY[where].format(name)}"
        for name, column in columns.items()
        if column.split(".")[0] not in {o.split(".")[0] for o in offered}
    ]
    if problems:
        raise ConfigError(*problems)
    kept = {name: properties[name] for name in ("task", "labels", "inputs", "max_tokens")}
    job = _Job(directory, kept, reader, tuple(columns.items()), flat)
    return reader.plan(*paths, block_bytes=BLOCK_BYTES), job


def _answer_block(numbered: tuple[str, Any], job: _Job, out: str, kind: str) -> _Found:
    """Runs in a worker: one block into a shard of its own."""
    number, block = numbered
    shard, rejects = (
        epath.Path(out) / "predictions" / f"{number}.{kind}",
        epath.Path(out) / "rejects" / f"{number}.jsonl",
    )
    return _answer_into(shard, rejects, [block], job, kind)


def _answer_into(
    path: epath.Path,
    rejects: epath.Path,
    blocks: list[Any],
    job: _Job,
    kind: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> _Found:
    """Answers blocks into the file `path`, and what cannot be read into `rejects`, if there is any."""
    answered_rows, bad_rows = 0, []

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal answered_rows
        for done, block in enumerate(blocks, 1):
            for answered, bad in _answered(block, job):
                answered_rows += len(answered)
                bad_rows.extend(bad)
                yield from answered
            progress(done, len(blocks))

    path.parent.mkdir(parents=True, exist_ok=True)
    (_write_jsonl if kind == "jsonl" else _write_parquet)(path, rows())
    if bad_rows:
        rejects.parent.mkdir(parents=True, exist_ok=True)
        _write_jsonl(rejects, bad_rows)
    return _Found(answered_rows, Counter(re.sub(r"\d+", "N", bad["reason"]) for bad in bad_rows))


def _answered(block: Any, job: _Job) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Rows with their predictions, and rejects, a batch at a time."""
    columns = tuple(column for _, column in job.columns)
    for batch, rows in job.reader.read_whole(block, columns):
        texts = {name: _texts(batch.table.column(i)) for i, (name, _) in enumerate(job.columns)}
        missing = {
            i: c for c, column in zip(columns, texts.values(), strict=True) for i, t in enumerate(column) if t is None
        }
        bad = [dict(zip(("file", "line", "reason", "raw"), reject, strict=True)) for reject in batch.rejects]
        bad += [_missing(batch, rows, i, name) for i, name in sorted(missing.items())]
        kept = [i for i in range(len(rows)) if i not in missing]
        found = _predictions(job.directory, job.properties, {n: [c[i] for i in kept] for n, c in texts.items()})
        places = (f"{batch.paths[i]}:{batch.lines[i]}" for i in kept)
        joined = zip((rows[i] for i in kept), found, places, strict=True)
        yield [_joined(row, prediction, job.flat, place) for row, prediction, place in joined], bad


def _texts(column: Any) -> list[bytes | None]:
    """The text of each row, None where it has none, or several: a column with lists anywhere is one of lists."""
    import pyarrow as pa

    if pa.types.is_list(column.type):
        single = [texts[0] if texts and len(texts) == 1 else None for texts in column.to_pylist()]
        column = pa.array(single, pa.string())
    return column.cast(pa.binary()).to_pylist()


def _missing(batch: Any, rows: list[dict[str, Any]], i: int, name: str) -> dict[str, Any]:
    several = batch.table.column(name)[i].as_py()
    reason = f"{name}: {len(several)} texts where one was wanted" if several else f"{name}: no text"
    raw = json.dumps(rows[i], ensure_ascii=False, default=_plain)[:2000]
    return {"file": batch.paths[i], "line": int(batch.lines[i]), "reason": reason, "raw": raw}


def _predictions(directory: str, properties: Mapping[str, Any], texts: dict[str, list]) -> list[dict[str, Any]]:
    from models.evaluation import JUDGES

    if not next(iter(texts.values())):
        return []
    answers = saved_model.load_exported(directory).answer(texts, properties["max_tokens"])
    return JUDGES[properties["task"]].predictions(answers, properties["labels"])


def _joined(row: dict[str, Any], prediction: dict[str, Any], flat: bool, place: str) -> dict[str, Any]:
    added = prediction if flat else {PREDICTION: prediction}
    clash = sorted(added.keys() & row.keys())
    if clash:
        hint = "rename it, or drop `flat`" if flat else "rename it, or put the answers beside it with `flat`"
        raise DataError(f"{place}: the row has a key '{clash[0]}' of its own, where the answer would go; {hint}")
    return {**row, **added}


def _write_jsonl(path: epath.Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("wb") as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, default=_plain) + "\n"
            file.write(line.encode("utf-8", "backslashreplace"))  # half a surrogate pair is written as JSON escapes it


def _plain(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _write_parquet(path: epath.Path, rows: Iterator[dict[str, Any]]) -> None:
    """One table of all keys that any row has. Raises DataError where a key holds values of different kinds."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    try:
        while chunk := list(islice(rows, CHUNK_ROWS)):
            names = dict.fromkeys(name for row in chunk for name in row)
            tables.append(pa.table({name: [row.get(name) for row in chunk] for name in names}))
        table = pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})
    except (pa.ArrowException, UnicodeError) as error:
        raise DataError(f"{path}: the rows do not fit one Parquet table ({error}); JSONL holds any row") from error
    with path.open("wb") as file:
        pq.write_table(table, file, compression="lz4")


def _merge(found: Iterable[_Found]) -> _Found:
    rows, reasons = 0, Counter[str]()
    for one in found:
        rows += one.rows
        reasons.update(one.reasons)
    return _Found(rows, reasons)


def _check_found(found: _Found, rejects: str) -> None:
    if found.reasons and not found.rows:
        reasons = "; ".join(f"{n} x {reason}" for reason, n in found.reasons.most_common(5))
        raise DataError(f"none of {found.reasons.total()} rows could be answered: {reasons}. Each is in {rejects}")
