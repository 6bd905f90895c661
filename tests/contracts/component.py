"""What every stage promises, and artifacts to try one on."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from components.artifacts import MANIFEST, Artifact, Examples
from components.base import Component, Runtime
from data import schema

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("tensorflow", "keras", "apache_beam", "pyarrow", "numpy", "sklearn", "matplotlib")


def make_examples(
    path: Path,
    rows_by_split: dict[str, list[dict[str, Any]]],
    span: str = "",
    shards: int = 2,
    key: Callable[[dict[str, Any]], str] = lambda row: row[schema.TEXT],
) -> Examples:
    """A whole Examples artifact of the given rows (`text`, `label`, ...), dealt out over some shards a split.

    key: what the key of a row is the hash of.
    """
    examples = Examples(path)
    examples.clear()
    every = [row for rows in rows_by_split.values() for row in rows]
    names = dict.fromkeys(name for row in every for name in row)
    columns = pa.table({name: [row.get(name) for row in every] for name in names}).schema
    for split, rows in rows_by_split.items():
        for number in range(min(shards, len(rows))):
            part = pa.Table.from_pylist(rows[number::shards], columns)
            keys = [xxhash.xxh3_64_intdigest(key(row).strip().encode()) for row in rows[number::shards]]
            part = part.add_column(0, schema.KEY, pa.array(np.array(keys, np.uint64).view(np.int64)))
            shard = path / split / f"0-{number:05d}-{0:012d}.parquet"
            shard.parent.mkdir(exist_ok=True)
            pq.write_table(part, shard)
    examples.properties.update(
        span=span,
        rows={split: len(rows_by_split.get(split, ())) for split in schema.SPLITS},
        labels=sorted({row[schema.LABEL] for row in every if row.get(schema.LABEL) is not None}),
        columns=columns.names,
    )
    examples.commit()
    return examples


def run(stage: Component, path: Path, inputs: dict[str, Any], workers: int = 2, **params: Any) -> Any:
    """Runs a stage into `path` as the runner does, and gives back its whole artifact."""
    artifact = stage.kind(path)
    artifact.clear()
    beam = {"runtime": Runtime(beam={"direct_num_workers": workers})} if stage.takes_runtime else {}
    stage(**inputs, **{stage.output: artifact}, **beam, **stage.params(**params).model_dump())
    artifact.commit()
    return artifact


def check_component(stage: Component, path: Path, inputs: dict[str, Any], **params: Any) -> None:
    """A stage is named after its file, documented, loads nothing heavy, and makes the same bytes every time."""
    module = inspect.getmodule(stage.function)
    assert module.__name__ == f"components.{stage.name}"
    assert stage.version >= 1 and stage.function.__doc__
    for name, info in stage.params.model_fields.items():
        assert info.description or name in stage.shared, f"{stage.name}.{name} has no description"
    check_import_is_light(module.__name__)
    check_same_bytes(*(run(stage, path / f"run-{n}", inputs, n, **params) for n in (1, 2)))


def check_import_is_light(module: str) -> None:
    """A cached run imports every stage and must still answer in a second."""
    code = f"import sys, {module}\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", f"importing {module} loads {done.stdout}{done.stderr}"


def check_same_bytes(one: Artifact, other: Artifact) -> None:
    """The same manifest (which holds every file's checksum) and the same files beside it."""
    first, second = (sorted(p.relative_to(a.path) for p in Path(a.path).rglob("*")) for a in (one, other))
    assert first == second
    assert (one.path / MANIFEST).read_bytes() == (other.path / MANIFEST).read_bytes()
