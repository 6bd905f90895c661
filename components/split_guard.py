"""Keeps the test split what it is: rows of a new span that nearly are test rows of an earlier one train no model.

A span leaves the signatures of its test rows to the spans after it, so that their texts are never read again.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field

from components.artifacts import Examples, Guard
from components.base import Input, Output, Runtime, component
from components.leaks import LEAKS, TRAINED_ON, read_table, shard_name
from data import schema

SIGNATURES = "signatures.parquet"
BATCH_ROWS = 4096


@component(version=2)
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
    exact = sum(found["leaks"].column("exact").to_pylist())
    guard.properties.update(
        span=examples.properties["span"],
        test_rows=len(found["signatures"]),
        exact=exact,
        near=len(found["leaks"]) - exact,
        examples=found["leaks"].column("text").slice(0, 5).to_pylist(),
    )


def look(shard: tuple[str, str], known: tuple[str, ...], near: float) -> dict[str, Any]:
    """Signatures of a test shard's rows; of another's, those that earlier test rows are too like. Runs in a worker."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import xxhash
    from etils import epath

    from data.minhash import normalised, signatures

    split, path = shard
    found, start = empty(), 0
    with epath.Path(path).open("rb") as file:
        names = set(pq.ParquetFile(file).schema_arrow.names)
        wanted = [name for name in (schema.TEXT, schema.TEXT_PAIR) if name in names]
        for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS, columns=wanted):
            columns = [batch.column(name).to_pylist() for name in wanted]
            texts = ["\n".join(text or "" for text in row) for row in zip(*columns, strict=True)]
            normal = normalised(texts)
            mine, digests = signatures(normal), np.array([xxhash.xxh3_64_intdigest(text) for text in normal], np.uint64)
            if split == "test":
                lists = pa.FixedSizeListArray.from_arrays(mine.ravel(), mine.shape[1])
                part = pa.table({"digest": digests, "signature": lists})
                found["signatures"] = pa.concat_tables([found["signatures"], part])
            else:
                index, same = _index(known)
                likeness = index.likeness(mine)
                rows = np.flatnonzero(likeness >= near)
                part = pa.table({
                    "shard": [shard_name(path)] * len(rows),
                    "row": start + rows,
                    "exact": np.isin(digests[rows], same),
                    "likeness": likeness[rows],
                    "text": [texts[row][:200] for row in rows],
                }, schema=found["leaks"].schema)  # fmt: skip
                found["leaks"] = pa.concat_tables([found["leaks"], part])
            start += len(batch)
    return found


@lru_cache(maxsize=1)
def _index(known: tuple[str, ...]) -> tuple[Any, Any]:
    """Of the earlier test rows: where the like ones are found, and their digests."""
    import numpy as np
    import pyarrow as pa

    from data.minhash import PLACES, Index

    table = pa.concat_tables([read_table(path) for path in known]).combine_chunks()
    signatures = table.column("signature").combine_chunks().values.to_numpy().reshape(-1, PLACES)
    return Index(signatures.astype(np.uint32)), table.column("digest").to_numpy()


def merge(found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    import pyarrow as pa

    every = [empty(), *found]
    merged = {name: pa.concat_tables([one[name] for one in every]) for name in ("signatures", "leaks")}
    merged["signatures"] = merged["signatures"].sort_by("digest")
    merged["leaks"] = merged["leaks"].sort_by(
        [("likeness", "descending"), ("shard", "ascending"), ("row", "ascending")]
    )
    return merged


def empty() -> dict[str, Any]:
    import pyarrow as pa

    from data.minhash import PLACES

    kinds = {
        "shard": pa.string(),
        "row": pa.int64(),
        "exact": pa.bool_(),
        "likeness": pa.float64(),
        "text": pa.string(),
    }
    leaks = pa.schema(list(kinds.items()))
    signature = pa.schema([("digest", pa.uint64()), ("signature", pa.list_(pa.uint32(), PLACES))])
    return {"signatures": signature.empty_table(), "leaks": leaks.empty_table()}


def _write(path: Any, table: Any) -> None:
    import pyarrow.parquet as pq

    with path.open("wb") as file:
        pq.write_table(table, file, compression="lz4")
