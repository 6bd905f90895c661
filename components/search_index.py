"""A corpus made searchable: its vectors, encoded in Beam by an exported model, its words for BM25, and a SavedModel.

An index is a folder: `documents.parquet` (id, text), `vectors.npy` <float32>[documents, width] of length 1, `bm25.npz`
and `bm25.txt`, `saved_model/` that answers queries by vectors anywhere, `rejects/`, and `index.json`, written last. It
is made in a folder inside, and an earlier index is there until the new one is whole.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from etils import epath

from components import saved_model
from components.answer_files import rejects_file
from components.artifacts import write_whole
from components.base import Runtime
from components.search_export import VectorSource, export_search, vectors_by
from components.sources import find_files
from data.errors import ConfigError, DataError, did_you_mean

INDEX, DOCUMENTS, VECTORS, FAISS = "index.json", "documents.parquet", "vectors.npy", "vectors.faiss"
SAVED_MODEL, REJECTS = "saved_model", "rejects"
PARTS = DOCUMENTS, VECTORS, FAISS, "bm25.npz", "bm25.txt", SAVED_MODEL, REJECTS
SCRATCH, MADE = ".unfinished-index", "whole"  # while an index is made: what a killed run leaves is known by it
ID, TEXT, TITLE = "id", "text", "title"
NEIGHBOURS = 32  # of a document in the graph that faiss walks (HNSW's M)
Backend = Literal["exact", "faiss"]


class Read(NamedTuple):
    """How rows of documents or queries are read: the format's reader, and the column that each field is in."""

    reader: Any
    columns: Mapping[str, str]
    paths: list[str]


@dataclass(frozen=True)
class _Job:
    """What a worker needs besides its block."""

    directory: str
    source: VectorSource
    max_tokens: int
    read: Read
    out: str


def plan_rows(input: str, format: str | dict[str, Any], fields: Mapping[str, str], where: str) -> Read:
    """How `input` is read: `id`, `text` and, where a file has one or a column is named for it, `title`.

    A file without `id` may call it `_id`, as BEIR's do. Raises ConfigError for a column that the first file has not.
    """
    from data.formats import format_for

    paths = [file.path for file in find_files(input, where=where)]
    options = dict(format) if isinstance(format, dict) else {"name": format}
    reader = format_for(paths[0], options.pop("name", "") or None, **options)
    offered = reader.columns(paths[0])
    columns = {ID: "_id" if ID not in offered and "_id" in offered else ID, TEXT: TEXT}
    columns |= {TITLE: TITLE} if any(TITLE in reader.columns(path) for path in paths) else {}
    known = ID, TEXT, TITLE
    problems = [f"--field {name}: wanted one of {', '.join(known)}" for name in fields if name not in known]
    columns |= {name: column for name, column in fields.items() if name in known}
    problems += [
        f"{paths[0]}: no column '{column}' for '{name}'{did_you_mean(column, offered)}; name it: --field {name}=COLUMN"
        for name, column in columns.items()
        if column not in offered and (name in fields or name != TITLE)
    ]
    if problems:
        raise ConfigError(*problems)
    return Read(reader, columns, paths)


def texts_of_block(read: Read, block: Any) -> Iterator[tuple[list[tuple[str, str]], list[dict[str, Any]]]]:
    """(id, title and text) of each row of a block, and rejects of those without an id or any text, batch by batch."""
    untitled = block.columns and read.columns.get(TITLE) not in block.columns
    columns = {name: column for name, column in read.columns.items() if not (name == TITLE and untitled)}
    for batch in read.reader.read(block, tuple(columns.values())):
        yield _texts_of(batch, columns)


def _texts_of(batch: Any, columns: Mapping[str, str]) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """A list of texts, such as paragraphs, is one text."""
    values = {name: map(_one, batch.table.column(column).to_pylist()) for name, column in columns.items()}
    titles = values.get(TITLE, [""] * len(batch.lines))
    keys = "file", "line", "reason", "raw"
    kept, rejects = [], [dict(zip(keys, reject, strict=True)) for reject in batch.rejects]
    for place, (name, title, text) in enumerate(zip(values[ID], titles, values[TEXT], strict=True)):
        whole = " ".join(filter(None, (title.strip(), text.strip())))
        if name and whole:
            kept.append((name, whole))
        else:
            reason = "id: empty" if whole else "text: empty"
            reject = batch.paths[place], int(batch.lines[place]), reason, json.dumps([name, whole], ensure_ascii=False)
            rejects.append(dict(zip(keys, reject, strict=True)))
    return kept, rejects


def _one(value: str | list[str | None] | None) -> str:
    return " ".join(filter(None, value)) if isinstance(value, list) else value or ""


def build_index(
    model: str,
    input: str,
    output: str,
    runtime: Runtime,
    *,
    format: str | dict[str, Any] = "",
    fields: Mapping[str, str] = {},
    top: int = 10,
    k1: float = 1.2,
    b: float = 0.75,
    backend: Backend = "exact",
) -> dict[str, Any]:
    """Encodes the documents of `input` and writes the index `output`; returns what its `index.json` holds.

    model: as `find_model` takes it. top: hits that the SavedModel's signature `search` answers. k1, b: BM25's.
    Raises ConfigError where `output` holds something else than an index, DataError where an id stands twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from components.beam import over_blocks
    from data.bm25 import Bm25

    directory, properties = saved_model.find_model(model)
    source, max_tokens = vectors_by(directory), properties["max_tokens"]
    _faiss(backend)
    read = plan_rows(input, format, fields, "--input")
    out = _claimed(output)
    scratch, made = out / SCRATCH, out / SCRATCH / MADE
    job = _Job(str(directory), source, max_tokens, read, str(scratch))
    blocks = [(f"{n:06d}", block) for n, block in enumerate(read.reader.plan(*read.paths))]
    found = over_blocks(runtime, "search_index", blocks, _encode_block, (job,), _merge, scratch)
    ids, texts, vectors = _gathered(scratch, input)
    with (made / DOCUMENTS).open("wb") as file:
        pq.write_table(pa.table({ID: ids, TEXT: texts}), file, compression="lz4")
    _write_vectors(made, vectors, backend)
    Bm25.of(texts, k1, b).save(made)
    export_search(directory, source, max_tokens, vectors, ids, texts, top, made / SAVED_MODEL)
    record = {
        "model": str(directory),
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
    _put_in_place(out, record)
    return record


def _claimed(output: str) -> epath.Path:
    """The folder of the index, with an empty one inside to make it in."""
    out = epath.Path(output)
    if "://" in output:
        raise ConfigError(f"--output {output}: wanted a folder of this machine; an index is copied whole")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--output {output}: is a file; wanted a new folder")
    ours = all((out / name).exists() for name in (INDEX, VECTORS)) or (out / SCRATCH).exists()
    if out.exists() and any(out.iterdir()) and not ours:
        raise ConfigError(f"--output {output}: holds something else than an index; wanted a new folder")
    if (out / SCRATCH).exists():
        (out / SCRATCH).rmtree()
    (out / SCRATCH / MADE).mkdir(parents=True)
    return out


def _put_in_place(out: epath.Path, record: Mapping[str, Any]) -> None:
    """The index that was made, in place of an earlier one."""
    (out / INDEX).unlink(missing_ok=True)  # first: what is half replaced is no index
    for entry in (out / name for name in PARTS):
        if entry.exists():
            entry.rmtree() if entry.is_dir() else entry.unlink()
    for entry in (out / SCRATCH / MADE).iterdir():
        entry.rename(out / entry.name)
    write_whole(out / INDEX, json.dumps(record, indent=1, ensure_ascii=False))
    (out / SCRATCH).rmtree()


def _encode_block(numbered: tuple[str, Any], job: _Job) -> Counter[str]:
    """Runs in a worker: the documents of a block, with their vectors, into a shard of their own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number, block = numbered
    exported, reasons = saved_model.load_exported(job.directory), Counter[str]()
    with rejects_file(epath.Path(job.out) / MADE / REJECTS / f"{number}.jsonl") as reject:
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


def _gathered(scratch: epath.Path, where: str) -> tuple[list[str], list[str], Any]:
    """Ids, texts and vectors <float32>[documents, width] of all shards, in the order of the documents."""
    import numpy as np
    import pyarrow.parquet as pq

    tables = []
    for path in sorted(path for path in scratch.iterdir() if path.suffix == ".parquet"):
        with path.open("rb") as file:
            tables.append(pq.ParquetFile(file).read())
    if not tables:
        rejects = scratch / MADE / REJECTS
        raise DataError(f"--input {where}: no document with an id and a text; why not, row by row: {rejects}")
    ids = [name for table in tables for name in table.column(ID).to_pylist()]
    if len(set(ids)) < len(ids):
        twice = [name for name, count in Counter(ids).most_common(5) if count > 1]
        raise DataError(
            f"--input {where}: got ids more than once ({', '.join(twice)}); wanted an id of its own for each document"
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
        raise ConfigError(
            "--backend faiss: faiss is not installed; `pip install polisemia[search]`, or exact"
        ) from None
    return faiss


def _write_vectors(out: epath.Path, vectors: Any, backend: Backend) -> None:
    import numpy as np

    with (out / VECTORS).open("wb") as file:
        np.save(file, vectors)
    if faiss := _faiss(backend):
        graph = faiss.IndexHNSWFlat(vectors.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        graph.add(vectors)
        (out / FAISS).write_bytes(faiss.serialize_index(graph).tobytes())


def read_ids_and_texts(index: epath.Path) -> tuple[Sequence[str], Sequence[str]]:
    """Ids and texts of an index's documents."""
    import pyarrow.parquet as pq

    with (index / DOCUMENTS).open("rb") as file:
        table = pq.ParquetFile(file).read()
    return table.column(ID).to_pylist(), table.column(TEXT).to_pylist()
