"""Examples to the token store: text to ids, label to class. Once a span; old spans keep their stores."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from components.artifacts import Examples, Guard, TokenizerFiles, Tokens
from components.base import Input, Output, Runtime, Shared, component
from components.leaks import LEAKS, TRAINED_ON, leaked, without
from components.mixture import parts_of
from data import schema

BATCH_ROWS = 4096
WHOLE = 1 << 30  # of a text from which rows are cut later
COLUMNS = (  # of examples, and what becomes of them in token records: ids, and the words' bytes
    (schema.TEXT, schema.IDS, schema.WORD_BYTES),
    (schema.TEXT_PAIR, schema.IDS_PAIR, schema.WORD_BYTES_PAIR),
    (schema.NEGATIVE, schema.IDS_NEGATIVE, schema.WORD_BYTES_NEGATIVE),
    (schema.TARGET, schema.TARGET_IDS, ""),
)
EVERY_WORD = 2**31 - 1


@component(version=2, tensorflow=True)
def transform(
    examples: Input[Examples],
    tokenizer: Input[TokenizerFiles],
    guard: Input[Guard] | None,
    tokens: Output[Tokens],
    runtime: Runtime,
    *,
    task: Shared[str],
    max_tokens: Annotated[
        int,
        Field(
            gt=2,
            description="longest row a model reads, special tokens included; longer texts are cut. If silent, 2048 for "
            "bag_of_words and tfidf",
        ),
    ] = 128,
    stride: Annotated[
        int,
        Field(
            ge=0,
            description="above 0, long texts (of a pair, the second) are read in windows, each this many tokens after "
            "the one before, instead of being cut",
        ),
    ] = 0,
    word_bytes: Annotated[
        int, Field(ge=0, description="set from trainer.family: bytes of each word that it reads, 0 for ids only")
    ] = 0,
) -> None:
    """Tokenises every split and records token lengths, cuts and unknown words."""
    from components.beam import over_blocks

    shards = [(split, shard) for split in schema.SPLITS for shard in examples.shards(split)]
    labels = tuple(examples.properties["labels"])
    leaks = str(guard.path / LEAKS) if guard else ""
    mixture = examples.properties.get("mixture")
    job = _Job(str(tokenizer.path), str(tokens.path), task, labels, max_tokens, stride, word_bytes, leaks, mixture)
    found = over_blocks(runtime, "transform", shards, _transform_shard, (job,), _merge, tokens.scratch)
    tokens.properties.update(
        labels=list(labels),
        max_tokens=max_tokens,
        stride=stride,
        span=examples.properties["span"],
        fields=examples.properties["fields"],
        splits={split: _describe(lengths) for split, lengths in sorted(found.items())},
    )


@dataclass
class _Lengths:
    """Of one split: how many texts have 0, 1, ... tokens before the cut, and how many tokens are unknown."""

    histogram: Any  # <int64>[max_tokens + 1], the last counts all that are cut or just fit
    cut: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class _Job:
    """What a worker needs besides its shard."""

    tokenizer: str
    out: str
    task: str
    labels: tuple[str, ...]
    max_tokens: int
    stride: int
    word_bytes: int
    leaks: str = ""  # path of what split_guard found
    mixture: dict[str, Any] | None = None  # example_gen's: the column of the parts, the weight of a row of each


def _transform_shard(shard: tuple[str, str], job: _Job) -> dict[str, _Lengths]:
    """Writes the token shard of one shard of examples. Runs in a worker."""
    import numpy as np
    import pyarrow.parquet as pq
    from etils import epath

    from data.store import write_shard
    from data.tokenizers import load_tokenizer
    from models.tasks import TASKS

    split, path = shard
    target = epath.Path(job.out) / split / (epath.Path(path).stem + ".arrow")
    target.parent.mkdir(parents=True, exist_ok=True)
    lengths = _Lengths(np.zeros(job.max_tokens + 1, np.int64))
    encoder, spec = load_tokenizer(job.tokenizer), TASKS[job.task]()
    with epath.Path(path).open("rb") as file:
        batches = pq.ParquetFile(file).iter_batches(BATCH_ROWS, use_threads=False)
        if job.leaks and split in TRAINED_ON:
            batches = without(batches, leaked(job.leaks, path))
        write_shard(target, (_records(batch, encoder, spec, split, job, lengths) for batch in batches))
    return {split: lengths}


def _records(examples: Any, tokenizer: Any, task: Any, split: str, job: _Job, lengths: _Lengths) -> Any:
    """Token records of a batch of examples, as data/schema.py describes them."""
    import pyarrow as pa

    from data.store import ragged
    from models.tasks.base import Places

    columns: dict[str, Any] = {}  # of values, or (values, splits) of lists
    places = {}
    for text, ids, words in COLUMNS:
        if text in examples.schema.names:
            texts = examples.column(text).to_pylist()
            if text in task.aligned:
                values, *offsets = tokenizer.encode_with_offsets(texts)
                places[text] = Places(*offsets)
                columns[ids] = values, places[text].splits
            else:
                columns[ids] = tokenizer.encode(texts)
            windowed = job.stride and text == _windowed(examples)
            _count(lengths, columns[ids], tokenizer.special.unknown, cuts=not (windowed or task.rows != "examples"))
            if job.word_bytes and words:
                most = EVERY_WORD if windowed or task.rows != "examples" else job.max_tokens
                columns[words] = tokenizer.encode_words(texts, most, job.word_bytes)
    columns |= task.encode(examples, job.labels, places)
    if job.mixture or schema.WEIGHT in examples.schema.names:
        columns[schema.WEIGHT] = _weights(examples, job.mixture if split == "train" else None)
    columns = {schema.KEY: examples.column(schema.KEY), **columns}
    if job.stride:
        columns = _in_windows(columns, _windowed(examples), job)
    limits = dict.fromkeys((schema.WORD_BYTES, schema.WORD_BYTES_PAIR), job.max_tokens * (job.word_bytes + 1))
    limits |= dict.fromkeys((schema.IDS, schema.WORD_BYTES), WHOLE) if task.rows != "examples" else {}
    found = {
        name: ragged(column[0], column[1], limits.get(name, job.max_tokens)) if isinstance(column, tuple) else column
        for name, column in columns.items()
    }
    return pa.RecordBatch.from_pydict(found)


def _weights(examples: Any, mixture: dict[str, Any] | None) -> Any:
    """What each row counts <float32>[rows]: its own weight, times that of its part of a mixture."""
    import numpy as np
    import pyarrow as pa

    weights = np.ones(len(examples), np.float32)
    if schema.WEIGHT in examples.schema.names:
        weights *= examples.column(schema.WEIGHT).to_numpy().astype(np.float32)
    if mixture:
        parts = parts_of(examples.column(mixture["by"]))
        weights *= np.array([mixture["weights"][part] for part in parts], np.float32)
    return pa.array(weights)


def _windowed(examples: Any) -> str:
    """The text that is cut into windows."""
    return schema.TEXT_PAIR if schema.TEXT_PAIR in examples.schema.names else schema.TEXT


def _count(lengths: _Lengths, ids: tuple[Any, Any], unknown: int | None, cuts: bool) -> None:
    import numpy as np

    values, splits = ids
    count, most = np.diff(splits), len(lengths.histogram) - 1
    lengths.histogram += np.bincount(np.minimum(count, most), minlength=most + 1)
    lengths.cut += int(np.sum(count > most)) if cuts else 0
    if unknown is not None:
        lengths.unknown += int(np.count_nonzero(values == unknown))


def _in_windows(columns: dict[str, Any], text: str, job: _Job) -> dict[str, Any]:
    """The records' columns with a row a window, of which those of an example share its weight."""
    import numpy as np
    import pyarrow as pa

    from data.store import BESIDE
    from data.windows import cut, of_words, sliced, whole

    pair = text == schema.TEXT_PAIR
    ids, words = (schema.IDS_PAIR, schema.WORD_BYTES_PAIR) if pair else (schema.IDS, schema.WORD_BYTES)
    beside = np.diff(columns[schema.IDS][1]) if pair else None
    windows = cut(np.diff(columns[ids][1]), beside, job.max_tokens, job.stride)
    made = {}
    for name, column in columns.items():
        if not isinstance(column, tuple):
            made[name] = column.take(pa.array(windows.owner))
        elif name == words:
            made[name] = sliced(column[0], column[1], of_words(column[0], column[1], windows))
        else:
            part = windows if name in (ids, *BESIDE[ids]) else whole(column[1], windows)
            made[name] = sliced(column[0], column[1], part)
    share = (1.0 / np.bincount(windows.owner))[windows.owner]
    weight = made[schema.WEIGHT].to_numpy() if schema.WEIGHT in made else 1.0
    return {**made, schema.WEIGHT: pa.array((weight * share).astype(np.float32))}


def _merge(found: Iterable[dict[str, _Lengths]]) -> dict[str, _Lengths]:
    total: dict[str, _Lengths] = {}
    for splits in found:
        for split, lengths in splits.items():
            if split not in total:
                total[split] = lengths
            else:
                known = total[split]
                histogram = known.histogram + lengths.histogram
                total[split] = _Lengths(histogram, known.cut + lengths.cut, known.unknown + lengths.unknown)
    return total


def _describe(lengths: _Lengths) -> dict[str, Any]:
    import numpy as np

    texts = int(lengths.histogram.sum())
    total = int(np.sum(lengths.histogram * np.arange(len(lengths.histogram))))
    below = np.cumsum(lengths.histogram)
    percentiles = {str(p): int(np.searchsorted(below, p / 100 * texts)) for p in (5, 25, 50, 75, 95, 99)}
    unknown = lengths.unknown / total if total else 0.0
    return {"texts": texts, "tokens": total, "percentiles": percentiles, "cut": lengths.cut, "unknown": unknown}
