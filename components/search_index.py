"""A corpus made searchable: its vectors, encoded in Beam by an exported model, and its words, in a SavedModel.

An index is a folder: `saved_model/`, which holds the documents and answers queries anywhere, `vectors.faiss` where it
is asked for, `rejects/`, and `index.json`, written last. That of the command line is made in a folder inside, and an
earlier index is there until the new one is whole.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from etils import epath

from components import saved_model
from components.answer_files import rejects_file
from components.artifacts import write_whole
from components.base import Runtime
from components.search_export import VectorSource, export_search, vectors_by
from components.search_rows import ID, TEXT, Read, plan_rows, texts_of_block
from data.errors import ConfigError, DataError

INDEX, SAVED_MODEL, FAISS, REJECTS = "index.json", "saved_model", "vectors.faiss", "rejects"
PARTS = SAVED_MODEL, FAISS, REJECTS
LOCK = "lock"  # that a home has, too: see pipeline/home.py
SCRATCH, MADE = ".unfinished-index", "whole"  # while an index is made: what a killed run leaves is known by it
NEIGHBOURS = 32  # of a document in the graph that faiss walks (HNSW's M)
Backend = Literal["exact", "faiss"]


@dataclass(frozen=True)
class _Job:
    """What a worker needs besides its block."""

    directory: str
    source: VectorSource
    max_tokens: int
    read: Read
    out: str
    rejects: str


def make_index(
    model: epath.PathLike,
    read: Read,
    where: str,
    out: epath.Path,
    scratch: epath.Path,
    runtime: Runtime,
    *,
    top: int = 10,
    k1: float = 1.2,
    b: float = 0.75,
    backend: Backend = "exact",
) -> dict[str, Any]:
    """Encodes the documents that `read` reads into an index in `out`; returns what its `index.json` is to hold.

    model: as `find_model` takes it. where: how the user named the documents, for messages. scratch: a folder that all
    workers can write. top: hits that the SavedModel answers. k1, b: BM25's.
    Raises DataError where an id stands twice.
    """
    from components.beam import over_blocks
    from data.bm25 import weigh
    from models.ranking import Ranker

    directory, properties = saved_model.find_model(model)
    source, max_tokens, faiss = vectors_by(directory), properties["max_tokens"], _faiss(backend)
    job = _Job(str(directory), source, max_tokens, read, str(scratch), str(out / REJECTS))
    blocks = [(f"{n:06d}", block) for n, block in enumerate(read.reader.plan(*read.paths))]
    found = over_blocks(runtime, "search", blocks, _encode_block, (job,), _merge, scratch)
    ids, texts, vectors = _gathered(scratch, where, out / REJECTS)
    if faiss:
        (out / FAISS).write_bytes(faiss.serialize_index(_graph(faiss, vectors)).tobytes())
    ranker = Ranker(vectors, weigh(texts, k1, b), ids, texts)
    export_search(directory, source, max_tokens, ranker, top, out / SAVED_MODEL)
    return {
        "documents": len(ids),
        "rejected": found.total(),
        "reasons": dict(found.most_common(20)),
        "width": int(vectors.shape[1]),
        "top": min(top, len(ids)),
        "max_tokens": max_tokens,
        "k1": k1,
        "b": b,
        "backend": backend,
    }


def write_record(out: epath.Path, record: Mapping[str, Any]) -> None:
    """Makes an index whole."""
    write_whole(out / INDEX, json.dumps(record, indent=1, ensure_ascii=False))


def build_index(
    model: str,
    input: str,
    output: str,
    runtime: Runtime,
    *,
    format: str | dict[str, Any] = "",
    fields: Mapping[str, str] = {},
    backend: Backend = "exact",
    **options: Any,
) -> dict[str, Any]:
    """The same from the command line, in place of an earlier index `output`, which is there until the new one is whole.

    Raises ConfigError where `output` holds something else than an index.
    """
    _faiss(backend)
    directory, _ = saved_model.find_model(model)
    vectors_by(directory)
    read, out = plan_rows(input, format, fields, "--input"), check_output(output)
    scratch, made = out / SCRATCH, out / SCRATCH / MADE
    if scratch.exists():
        scratch.rmtree()
    made.mkdir(parents=True)
    made_of = make_index(directory, read, f"--input {input}", made, scratch, runtime, backend=backend, **options)
    record = {"model": str(directory), **made_of}
    write_record(made, record)
    _put_in_place(out)
    return record


def find_index(path: str) -> epath.Path:
    """The index that `path` stands for: itself, or the one that the last run of a pipeline, its folder, made.

    Raises ConfigError where there is none.
    """
    place = epath.Path(path)
    if (place / INDEX).exists():
        return place
    if not (place / "latest.json").exists():
        raise ConfigError(
            f"{path}: no {INDEX} in it; `polisemia search index` makes an index, and [search] of a config"
        )
    for run in json.loads((place / "latest.json").read_text())["stages"].get("search", ()):
        if (place / "search" / run["fingerprint"] / INDEX).exists():
            return place / "search" / run["fingerprint"]
    raise ConfigError(f"{path}: its last run made no index; wanted [search] in its config, or `polisemia search index`")


def check_output(output: str) -> epath.Path:
    """The folder of an index to make, as it is. Raises ConfigError where it is none, nor a new one."""
    out = epath.Path(output)
    if "://" in output:
        raise ConfigError(f"--output {output}: wanted a folder of this machine; an index is copied whole")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--output {output}: is a file; wanted a new folder")
    held = {entry.name for entry in out.iterdir()} - {LOCK} if out.exists() else set()
    if held and not (held >= {INDEX, SAVED_MODEL} or SCRATCH in held):
        raise ConfigError(f"--output {output}: holds something else than an index; wanted a new folder")
    return out


def _put_in_place(out: epath.Path) -> None:
    """The index that was made, in place of an earlier one."""
    (out / INDEX).unlink(missing_ok=True)  # first: what is half replaced is no index
    for entry in (out / name for name in PARTS):
        if entry.exists():
            entry.rmtree() if entry.is_dir() else entry.unlink()
    for name in (*PARTS, INDEX):
        if (out / SCRATCH / MADE / name).exists():
            (out / SCRATCH / MADE / name).rename(out / name)
    (out / SCRATCH).rmtree()


def _encode_block(numbered: tuple[str, Any], job: _Job) -> Counter[str]:
    """Runs in a worker: the documents of a block, with their vectors, into a shard of their own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number, block = numbered
    exported, reasons = saved_model.load_exported(job.directory), Counter[str]()
    with rejects_file(epath.Path(job.rejects) / f"{number}.jsonl") as reject:
        for n, (kept, rejects) in enumerate(texts_of_block(job.read, block)):
            reject(rejects)
            reasons.update(each["reason"] for each in rejects)
            if not kept:
                continue
            vectors = job.source.of(exported, [text for _, text in kept], job.max_tokens)
            rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
            ids, texts = (pa.array(column, pa.string()) for column in zip(*kept, strict=True))
            with (epath.Path(job.out) / f"{number}-{n:06d}.parquet").open("wb") as file:
                pq.write_table(pa.table({ID: ids, TEXT: texts, "vector": rows}), file, compression="lz4")
    return reasons


def _merge(found: Iterable[Counter[str]]) -> Counter[str]:
    return sum(found, Counter[str]())


def _gathered(scratch: epath.Path, where: str, rejects: epath.Path) -> tuple[list[str], list[str], Any]:
    """Ids, texts and vectors <float32>[documents, width] of all shards, in the order of the documents."""
    import numpy as np
    import pyarrow.parquet as pq

    tables = []
    for path in sorted(path for path in scratch.iterdir() if path.suffix == ".parquet"):
        with path.open("rb") as file:
            tables.append(pq.ParquetFile(file).read())
    if not tables:
        raise DataError(f"{where}: no document with an id and a text; why not, row by row: {rejects}")
    ids = [name for table in tables for name in table.column(ID).to_pylist()]
    if len(set(ids)) < len(ids):
        twice = [name for name, count in Counter(ids).most_common(5) if count > 1]
        raise DataError(
            f"{where}: got ids more than once ({', '.join(twice)}); wanted an id of its own for each document"
        )
    vectors = [chunk.flatten().to_numpy() for table in tables for chunk in table.column("vector").chunks]
    texts = [text for table in tables for text in table.column(TEXT).to_pylist()]
    return ids, texts, np.concatenate(vectors).reshape(len(ids), -1)


def _faiss(backend: Backend) -> Any:
    """The library, where the index wants it. Raises ConfigError where it is not installed."""
    if backend == "exact":
        return None
    try:
        import faiss
    except ImportError:
        raise ConfigError("backend faiss: faiss is not installed; `pip install polisemia[search]`, or exact") from None
    return faiss


def _graph(faiss: Any, vectors: Any) -> Any:
    graph = faiss.IndexHNSWFlat(vectors.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    graph.add(vectors)
    return graph
