"""Answers for whole files: any format in, JSONL or Parquet out, every row as it was with the prediction beside it."""

import json
import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Any, Literal, NamedTuple

from etils import epath
from pydantic import Field

from components import saved_model
from components.answer_files import jsonl_file, parquet_file, rejects_file
from components.answering import JSONL, PARQUET, Answered, Asked, Job, answer, ask, read
from components.artifacts import Model, Predictions
from components.base import Input, Output, Runtime, Source, component
from components.sources import find_files
from data.errors import ConfigError, DataError, did_you_mean

BLOCK_BYTES = 1 << 20  # answering is slow beside reading: small blocks share the work evenly and show progress
AT_ONCE = max(1, min(4, os.cpu_count() or 1))  # batches that `predict_file` asks the model about at the same time
# How a user names the column of an input, by how the file was named.
NAMED_BY = {"--input": "--field {}=COLUMN", "bulk_inferrer.input": "bulk_inferrer.fields = {{ {} = 'COLUMN' }}"}
EXTENSIONS = {".jsonl": JSONL, ".ndjson": JSONL, ".parquet": PARQUET}
FILES = {JSONL: jsonl_file, PARQUET: parquet_file}


class Found(NamedTuple):
    """How many rows were answered, and why the others were not."""

    rows: int
    reasons: Counter[str]


@component(version=2, tensorflow=True)
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
    signature: Annotated[
        str,
        Field(description="what is asked of the model: its predictions, or another of its signatures, such as embed"),
    ] = saved_model.SIGNATURE,
    output: Annotated[Literal["jsonl", "parquet"], Field(description="format of the answers")] = "jsonl",
    flat: Annotated[bool, Field(description="answers beside the row's own keys, not below `prediction`")] = False,
) -> None:
    """Reads the input in blocks, on any Beam runner; each worker loads the model once."""
    from components.beam import over_blocks

    directory = str(model.path / "saved_model")
    job, blocks = _plan(
        directory, model.properties, input, format, fields, signature, flat, output, "bulk_inferrer.input"
    )
    out = str(predictions.path)
    numbered = [(f"{i:06d}", block) for i, block in enumerate(blocks)]
    found = over_blocks(runtime, "bulk_inferrer", numbered, _answer_block, (job, out), _merge, predictions.scratch)
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
    signature: str = saved_model.SIGNATURE,
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
    kind = EXTENSIONS[path.suffix]
    job, blocks = _plan(str(directory), properties, input, format, fields or {}, signature, flat, kind, "--input")
    rejects.unlink(missing_ok=True)
    part = path.with_name(path.name + ".part")  # what is half written has another name
    try:
        found = _answer_into(part, rejects, blocks, job, AT_ONCE, progress)
        _check_found(found, str(rejects))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return found.rows, found.reasons.total()


def predict_texts(
    directory: epath.PathLike,
    properties: Mapping[str, Any],
    texts: Mapping[str, list[str]],
    signature: str = saved_model.SIGNATURE,
) -> list[dict[str, Any]]:
    """The answers to texts <str>[N], one list for each input of the model.

    Raises ConfigError for other inputs, or a signature that the model has not.
    """
    wanted = _inputs(str(directory), properties, signature)
    if sorted(texts) != sorted(wanted) or len({len(column) for column in texts.values()}) > 1:
        got = " and ".join(f"{len(column)} of {name}" for name, column in texts.items())
        says = " ".join(f"--given {name}=TEXT" for name in wanted)
        raise ConfigError(f"{directory}: got {got}; wanted as many of each of: {', '.join(wanted)} ({says})")
    # The shell's bytes that are no UTF-8 come as surrogates; the model shall see the bytes.
    encoded = {name: [text.encode("utf-8", "surrogateescape") for text in column] for name, column in texts.items()}
    return [json.loads(answer) for answer in ask(str(directory), properties, signature, encoded).json()]


def _plan(
    directory: str,
    properties: Mapping[str, Any],
    input: str,
    format: str | dict[str, Any],
    fields: Mapping[str, str],
    signature: str,
    flat: bool,
    kind: str,
    where: str,
) -> tuple[Job, list[Any]]:
    """The job, and the blocks of all files. Raises ConfigError for a column that the first file has not.

    where: how the files were named, a key of NAMED_BY.
    """
    from data.formats import format_for

    paths = [file.path for file in find_files(input, where=where)]
    options = dict(format) if isinstance(format, dict) else {"name": format}
    reader = format_for(paths[0], options.pop("name", "") or None, **options)
    offered, inputs = reader.columns(paths[0]), _inputs(directory, properties, signature)
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
    kept["stride"] = properties.get("stride", 0)
    job = Job(directory, kept, signature, reader, columns, flat, kind)
    return job, reader.plan(*paths, block_bytes=BLOCK_BYTES)


def _inputs(directory: str, properties: Mapping[str, Any], signature: str) -> list[str]:
    """The model's inputs that a signature reads. Raises ConfigError where the model has no such signature, or it takes
    no texts."""
    inputs = properties["inputs"]
    if signature == saved_model.SIGNATURE:
        return inputs
    exported = saved_model.load_exported(directory)
    if signature not in exported.signatures:
        raise ConfigError(f"signature: {directory} has no '{signature}'{did_you_mean(signature, exported.signatures)}")
    read = exported.inputs_of(signature)
    if read != saved_model.EXAMPLES and not set(read) <= set(inputs):
        raise ConfigError(
            f"signature: '{signature}' takes {', '.join(read)}; wanted one that takes {', '.join(inputs)}"
        )
    return inputs if read == saved_model.EXAMPLES else [name for name in inputs if name in read]


def _answer_block(numbered: tuple[str, Any], job: Job, out: str) -> Found:
    """Runs in a worker: one block into a shard of its own."""
    number, block = numbered
    shard = epath.Path(out) / "predictions" / f"{number}.{job.kind}"
    return _answer_into(shard, epath.Path(out) / "rejects" / f"{number}.jsonl", [block], job, at_once=1)


def _answer_into(
    path: epath.Path,
    rejects: epath.Path,
    blocks: list[Any],
    job: Job,
    at_once: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Found:
    """Answers blocks into the file `path`, and what cannot be read into `rejects`, if there is any."""
    rows, reasons = 0, Counter[str]()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FILES[job.kind](path) as write, rejects_file(rejects) as reject:
        for answered in _ahead(lambda asked: answer(asked, job), read(blocks, job), at_once):
            if answered.rows:
                write(answered.written)
            reject(answered.rejects)
            rows += answered.rows
            reasons.update(re.sub(r"\d+", "N", each["reason"]) for each in answered.rejects)
            progress(answered.done, len(blocks))
    return Found(rows, reasons)


def _ahead(work: Callable[[Asked], Answered], batches: Iterable[Asked], at_once: int) -> Iterator[Answered]:
    """What `work` makes of the batches, in their order, some at once: TensorFlow leaves Python free while it computes,
    so the next rows are read and the last ones written meanwhile. At most `at_once` + 1 batches are in memory."""
    if at_once == 1:
        yield from map(work, batches)
        return
    running: deque[Future[Answered]] = deque()
    with ThreadPoolExecutor(at_once) as threads:
        try:
            for batch in batches:
                running.append(threads.submit(work, batch))
                if len(running) > at_once:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)


def _merge(found: Iterable[Found]) -> Found:
    rows, reasons = 0, Counter[str]()
    for one in found:
        rows += one.rows
        reasons.update(one.reasons)
    return Found(rows, reasons)


def _check_found(found: Found, rejects: str) -> None:
    if found.reasons and not found.rows:
        reasons = "; ".join(f"{n} x {reason}" for reason, n in found.reasons.most_common(5))
        raise DataError(f"none of {found.reasons.total()} rows could be answered: {reasons}. Each is in {rejects}")
