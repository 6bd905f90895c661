"""Any file of texts to Parquet shards of examples, split by hash; bad rows apart with a reason."""

import contextlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from components.artifacts import Examples
from components.base import Output, Recorded, Runtime, Shared, Source, component
from components.mixture import parts_of
from components.records import Plan, check_columns, field_columns, plan_blocks
from components.specs import checked, mixture_of
from data import schema
from data.errors import DataError


@component(version=2)
def example_gen(
    examples: Output[Examples],
    runtime: Runtime,
    *,
    task: Shared[str],
    input: Annotated[
        Source[str | dict[str, str]],
        Field(
            description="path pattern of the data, or one for each of train, valid, test (or dev): *, ** and ?; "
            "{span}, each of which is read once; {version}, the last of which is; {label} or any {name} for fields"
        ),
    ],
    format: Annotated[
        str | dict[str, Any],
        Field(description="name of the format, or a table of it and its options; by the file's extension when silent"),
    ] = "",
    fields: Annotated[
        dict[str, str], Field(description="the column each field of the task is in, where the names differ")
    ] = {},
    keep: Annotated[list[str], Field(description="other columns to keep, for slices and reports")] = [],
    splits: Annotated[
        dict[str, Annotated[float, Field(ge=0)]],
        Field(description="shares by hash of `split_by`; of given splits, only what valid takes from train"),
    ] = {"train": 0.8, "valid": 0.1, "test": 0.1},
    split_by: Annotated[
        str,
        Field(
            description="column whose hash decides the split; the text, or of question_answering the context, if empty"
        ),
    ] = "",
    mixture: Annotated[
        dict[str, Any],
        checked(mixture_of),
        Field(description="table of the rates at which training sees parts of the rows; see Mixture below"),
    ] = {},
    max_characters: Annotated[int, Field(gt=0, description="longer texts are rejected")] = 1_000_000,
    max_rejected: Annotated[float, Field(ge=0, le=1, description="share of rejected rows that stops the run")] = 0.01,
    spans: Recorded[
        Annotated[
            str,
            Field(
                pattern=r"^(all|last:[1-9]\d*|\d+-\d+)$",
                description='spans to train and test on: "all", the newest n as "last:n", or "from-to" by name',
            ),
        ]
    ] = "all",
    span: Annotated[str, Field(description="set by the runner, from `{span}` in the input's path")] = "",
) -> None:
    """Reads the input, checks each row, and writes the examples of each split."""
    from components.beam import over_blocks

    plans = plan_blocks(input, format, splits, span)
    columns = field_columns(task, fields)
    parts = mixture_of(mixture) if mixture else None
    by = parts.by if parts else ""
    check_columns(plans, task, {"fields": fields, "keep": keep, "split_by": split_by, "mixture": mixture})
    kept = tuple(dict.fromkeys([*keep, by] if by else keep))
    job = _Job(str(examples.path), task, columns, kept, split_by, by, max_characters)
    found = over_blocks(runtime, "example_gen", plans, _read_block, (job,), _merge, examples.scratch)
    _check_counts(found, max_rejected, examples.path)
    examples.properties.update(
        span=span,
        rows={s: found.rows.get(s, 0) for s in schema.SPLITS},
        rejected=sum(found.rejected.values()),
        reasons=dict(found.rejected.most_common(20)),
        labels=sorted(found.labels),
        columns=[name for name in found.columns if name != schema.KEY],
        fields=dict(columns),
    )
    if parts:
        examples.properties.update(mixture={"by": by, "weights": parts.weights(dict(sorted(found.parts.items())))})


@dataclass(frozen=True)
class _Job:
    out: str
    task: str
    fields: tuple[tuple[str, str], ...]  # (field of the task, column it is in)
    keep: tuple[str, ...]
    split_by: str  # the task's if empty
    part_by: str  # no mixture if empty
    max_characters: int


@dataclass
class _Found:
    rows: Counter = field(default_factory=Counter)
    rejected: Counter = field(default_factory=Counter)
    labels: set = field(default_factory=set)
    parts: Counter = field(default_factory=Counter)  # training rows of each part of a mixture
    columns: list = field(default_factory=list)


def _read_block(plan: Plan, job: _Job) -> _Found:
    """Reads one block, writes a Parquet shard a split and the block's rejects. Runs in a worker."""
    found, rejects = _Found(), []
    writers: dict[str, Any] = {}
    captured = next(iter(plan.captures.values()))
    columns = dict.fromkeys((*(c for _, c in job.fields), *job.keep, job.split_by))
    wanted = tuple(column for column in columns if column and column not in captured)
    with contextlib.ExitStack() as files:
        for batch in plan.reader.read(plan.block, wanted):
            table = {name: batch.table.column(i) for i, name in enumerate(wanted)}
            table |= {name: _captured(name, batch.paths, plan.captures) for name in captured}
            rows, bad = _check_rows(table, job)
            rejects += [tuple(reject) for reject in batch.rejects]
            rejects += [(batch.paths[i], int(batch.lines[i]), why, _raw(table, i)) for i, why in bad]
            for split, part in _split(rows, plan.shares):
                found.rows[split] += len(part)
                found.labels.update(_labels(part))
                if job.part_by and split == "train":
                    found.parts.update(parts_of(part.column(job.part_by)))
                found.columns = part.schema.names
                path = f"{job.out}/{split}/{plan.shard}.parquet"
                _writer(writers, files, path, part.schema).write_table(part)
    found.rejected.update(re.sub(r"\d+", "N", reason) for _, _, reason, _ in rejects)
    _write_rejects(rejects, f"{job.out}/rejects/{plan.shard}.jsonl")
    return found


def _captured(name: str, paths: Any, captures: dict[str, dict[str, str]]) -> Any:
    import pyarrow as pa

    if len(captures) == 1:
        return pa.repeat(pa.scalar(next(iter(captures.values()))[name]), len(paths))
    return pa.array([captures[path][name] for path in paths])


def _write_rejects(rejects: list[tuple[str, int, str, str]], path: str) -> None:
    from etils import epath

    if rejects:
        keys = ("file", "line", "reason", "raw")
        lines = (json.dumps(dict(zip(keys, reject, strict=True)), ensure_ascii=False) for reject in rejects)
        epath.Path(path).parent.mkdir(parents=True, exist_ok=True)
        epath.Path(path).write_text("".join(line + "\n" for line in lines))


def _check_rows(table: dict[str, Any], job: _Job) -> tuple[Any, list[tuple[int, str]]]:
    """A table of the rows that can be used (with their key), and (row, reason) of the others."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from data.fields import check_field
    from models.tasks import TASKS

    reasons: dict[int, str] = {}
    out: dict[str, Any] = {}

    def reject(mask: Any, reason: str) -> None:
        for row in np.flatnonzero(pc.fill_null(mask, True).to_numpy(zero_copy_only=False)):
            reasons.setdefault(int(row), reason)

    task = TASKS[job.task]
    for name, column in job.fields:
        out[name], bad = check_field(name, task.kind_of(name), table[column], job.max_characters)
        for each in bad:
            reject(*each)
    checked = dict(out)
    out, bad = task.complete(out)
    for each in bad:
        reject(*each)
    # A text by itself decides, not with the prefix that a task has written before it.
    by = table[job.split_by] if job.split_by else {**out, **checked}[task.split_by]
    out |= {name: table[name] for name in job.keep if name not in out}  # a field of its own name is there
    keep = np.ones(len(next(iter(out.values()))), bool)
    keep[list(reasons)] = False
    rows = pa.table(out).filter(pa.array(keep))
    keys = _keys(pc.filter(by, pa.array(keep)))
    return rows.add_column(0, schema.KEY, pa.array(keys)), sorted(reasons.items())


def _labels(rows: Any) -> Iterable[str]:
    """Each label of the rows once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if schema.LABEL not in rows.schema.names:
        return ()
    labels = rows.column(schema.LABEL)
    return (pc.list_flatten(labels) if pa.types.is_list(labels.type) else labels).unique().to_pylist()


def _keys(values: Any) -> Any:
    """xxh3 of the NFC-normalised, stripped text, as int64: the row's identity and what decides its split."""
    import numpy as np
    import xxhash

    normal, digest = unicodedata.normalize, xxhash.xxh3_64_intdigest
    hashes = [digest(normal("NFC", v or "").strip().encode()) for v in values.to_pylist()]
    return np.array(hashes, np.uint64).view(np.int64)


def _split(rows: Any, shares: dict[str, float]) -> Iterable[tuple[str, Any]]:
    """The rows of each split: the key's place in [0, 1) against the cumulative shares."""
    import numpy as np
    import pyarrow as pa

    names = [name for name in schema.SPLITS if shares.get(name)]
    if len(names) == 1:
        return [(names[0], rows)] if len(rows) else []
    bounds = np.cumsum([shares[name] for name in names]) / sum(shares.values())
    place = rows.column(schema.KEY).to_numpy().view(np.uint64).astype(np.float64) / 2.0**64
    which = np.minimum(np.searchsorted(bounds, place, side="right"), len(names) - 1)
    parts = [(name, rows.filter(pa.array(which == i))) for i, name in enumerate(names)]
    return [(name, part) for name, part in parts if len(part)]


def _writer(writers: dict[str, Any], files: contextlib.ExitStack, path: str, columns: Any) -> Any:
    import pyarrow.parquet as pq
    from etils import epath

    if path not in writers:
        epath.Path(path).parent.mkdir(parents=True, exist_ok=True)
        repeated = [name for name in columns.names if name not in (schema.KEY, *schema.TEXTS)]
        file = files.enter_context(epath.Path(path).open("wb"))
        writer = pq.ParquetWriter(file, columns, compression="lz4", use_dictionary=repeated)
        writers[path] = files.enter_context(writer)
    return writers[path]


def _raw(table: dict[str, Any], row: int) -> str:
    return json.dumps({name: values[row].as_py() for name, values in table.items()}, ensure_ascii=False)[:2000]


def _merge(found: Iterable[_Found]) -> _Found:
    total = _Found()
    for one in found:
        total.rows.update(one.rows)
        total.rejected.update(one.rejected)
        total.labels |= one.labels
        total.parts.update(one.parts)
        total.columns = total.columns or one.columns
    return total


def _check_counts(found: _Found, max_rejected: float, out: Any) -> None:
    kept, bad = sum(found.rows.values()), sum(found.rejected.values())
    reasons = "; ".join(f"{n} x {reason}" for reason, n in found.rejected.most_common(5))
    if bad > max_rejected * (kept + bad):
        raise DataError(
            f"example_gen: {bad} of {kept + bad} rows were rejected, more than max_rejected = {max_rejected}: "
            f"{reasons}. Each is in {out}/rejects with file, line and text; mend the data or raise max_rejected"
        )
    if not found.rows.get("train"):
        kept_by_split = ", ".join(f"{n} {split}" for split, n in found.rows.items()) or "none"
        raise DataError(
            f"example_gen: no row for the train split (kept: {kept_by_split}; rejected: {bad} {reasons}); "
            "look at the input and at splits"
        )
