"""Keeps the test split what it is: rows of a new span that nearly are test rows of an earlier one train no model.

A span leaves the signatures of its test rows to the spans after it, so that their texts are never read again.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field

from components.artifacts import Examples, Guard
from components.base import Input, Output, Runtime, component
from components.leaks import LEAKS, read_table
from data import schema

SIGNATURES = "signatures.parquet"
BATCH_ROWS = 4096
TRAINED_ON = ("train", "valid")


@component(version=1)
def split_guard(
    examples: Input[Examples],
    earlier: list[Input[Guard]],
    guard: Output[Guard],
    runtime: Runtime,
    *,
    near: Annotated[
        float,
        Field(
            gt=0.5,
            le=1,
            description="Jaccard similarity of character shingles from which two texts are too alike",
        ),
    ] = 0.8,
) -> None:
    """Finds rows of train and valid that an earlier span's test split has, or nearly has: they are not trained on."""
    from components.beam import over_blocks

    known = tuple(str(one.path / SIGNATURES) for one in earlier)
    splits = ("test", *(TRAINED_ON if known else ()))
    shards = [(split, shard) for split in splits for shard in examples.shards(split)]
    found = over_blocks(runtime, "split_guard", shards, look, (known, near), merge, guard.scratch)
    _write(guard.path / SIGNATURES, found["signatures"])
    _write(guard.path / LEAKS, found["leaks"])
    exact = sum(row["likeness"] == 1.0 for row in found["leaks"].to_pylist())
    guard.properties.update(
        span=examples.properties["span"],
        test_rows=len(found["signatures"]),
        exact=exact,
        near=len(found["leaks"]) - exact,
        examples=[row["text"] for row in found["leaks"].slice(0, 5).to_pylist()],
    )


def look(shard: tuple[str, str], known: tuple[str, ...], near: float) -> dict[str, Any]:
    """Signatures of a test shard's rows; of another's, the keys of those that earlier test rows are too like. Runs in
    a worker."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from etils import epath

    from data.minhash import signatures

    split, path = shard
    found = empty()
    with epath.Path(path).open("rb") as file:
        names = set(pq.ParquetFile(file).schema_arrow.names)
        wanted = [schema.KEY, *(name for name in (schema.TEXT, schema.TEXT_PAIR) if name in names)]
        for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS, columns=wanted):
            columns = [batch.column(name).to_pylist() for name in wanted[1:]]
            texts = ["\n".join(text or "" for text in row) for row in zip(*columns, strict=True)]
            mine = signatures(texts)
            if split == "test":
                part = pa.table({"signature": pa.FixedSizeListArray.from_arrays(mine.ravel(), mine.shape[1])})
                found["signatures"] = pa.concat_tables([found["signatures"], part])
                continue
            likeness = _index(known).likeness(mine)
            rows = np.flatnonzero(likeness >= near)
            part = pa.table({
                "key": batch.column(schema.KEY).take(rows),
                "likeness": likeness[rows],
                "text": [texts[row][:200] for row in rows],
            }, schema=found["leaks"].schema)  # fmt: skip
            found["leaks"] = pa.concat_tables([found["leaks"], part])
    return found


@lru_cache(maxsize=1)
def _index(known: tuple[str, ...]) -> Any:
    import numpy as np

    from data.minhash import PLACES, Index

    parts = [read_table(path).column("signature").combine_chunks().values.to_numpy() for path in known]
    return Index(np.concatenate([part.reshape(-1, PLACES) for part in parts]).astype(np.uint32))


def merge(found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    import pyarrow as pa

    every = [empty(), *found]
    merged = {name: pa.concat_tables([one[name] for one in every]) for name in ("signatures", "leaks")}
    merged["leaks"] = merged["leaks"].sort_by([("likeness", "descending"), ("key", "ascending")])
    return merged


def empty() -> dict[str, Any]:
    import pyarrow as pa

    from data.minhash import PLACES

    leaks = pa.schema([("key", pa.int64()), ("likeness", pa.float64()), ("text", pa.string())])
    signature = pa.schema([("signature", pa.list_(pa.uint32(), PLACES))])
    return {"signatures": signature.empty_table(), "leaks": leaks.empty_table()}


def _write(path: Any, table: Any) -> None:
    import pyarrow.parquet as pq

    with path.open("wb") as file:
        pq.write_table(table, file, compression="lz4")
