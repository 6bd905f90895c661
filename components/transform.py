"""Examples to the token store: text to ids, label to class. Once a span; old spans keep their stores."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from components.artifacts import Examples, Guard, TokenizerFiles, Tokens
from components.base import Input, Output, Runtime, Shared, component
from components.leaks import leaked, without
from data import schema

BATCH_ROWS = 4096
COLUMNS = (  # of examples, and what becomes of them in token records: ids, and the words' bytes
    (schema.TEXT, schema.IDS, schema.WORD_BYTES),
    (schema.TEXT_PAIR, schema.IDS_PAIR, schema.WORD_BYTES_PAIR),
    (schema.TARGET, schema.TARGET_IDS, ""),
)


@component(version=1, tensorflow=True)
def transform(
    examples: Input[Examples],
    tokenizer: Input[TokenizerFiles],
    guard: Input[Guard] | None,
    tokens: Output[Tokens],
    runtime: Runtime,
    *,
    task: Shared[str],
    max_tokens: Annotated[
        int, Field(gt=2, description="longest row a model reads, special tokens included; longer texts are cut")
    ] = 128,
    word_bytes: Annotated[
        int, Field(ge=0, description="set from trainer.family: bytes of each word that it reads, 0 for ids only")
    ] = 0,
) -> None:
    """Tokenises every split and records token lengths, cuts and unknown words."""
    from components.beam import over_blocks

    shards = [(split, shard) for split in schema.SPLITS for shard in examples.shards(split)]
    labels = tuple(examples.properties["labels"])
    args = (str(tokenizer.path), str(tokens.path), task, labels, max_tokens, word_bytes, leaked(guard))
    found = over_blocks(runtime, "transform", shards, _transform_shard, args, _merge, tokens.scratch)
    tokens.properties.update(
        labels=list(labels),
        max_tokens=max_tokens,
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


def _transform_shard(
    shard: tuple[str, str],
    tokenizer: str,
    out: str,
    task: str,
    labels: tuple,
    max_tokens: int,
    word_bytes: int,
    leaks: tuple,
) -> dict:
    """Writes the token shard of one shard of examples. Runs in a worker."""
    import numpy as np
    import pyarrow.parquet as pq
    from etils import epath

    from data.store import write_shard
    from data.tokenizers import load_tokenizer
    from models.tasks import TASKS

    split, path = shard
    target = epath.Path(out) / split / (epath.Path(path).stem + ".arrow")
    target.parent.mkdir(parents=True, exist_ok=True)
    lengths = _Lengths(np.zeros(max_tokens + 1, np.int64))
    encoder, spec = load_tokenizer(tokenizer), TASKS[task]()
    with epath.Path(path).open("rb") as file:
        batches = pq.ParquetFile(file).iter_batches(BATCH_ROWS, use_threads=False)
        if leaks and split != "test":
            batches = (without(batch, leaks) for batch in batches)
        write_shard(
            target, (_records(batch, encoder, spec, labels, max_tokens, word_bytes, lengths) for batch in batches)
        )
    return {split: lengths}


def _records(
    examples: Any, tokenizer: Any, task: Any, labels: tuple, max_tokens: int, word_bytes: int, lengths: _Lengths
) -> Any:
    """Token records of a batch of examples, as data/schema.py describes them."""
    import numpy as np
    import pyarrow as pa

    from data.store import ragged
    from models.tasks.base import Places

    columns = {schema.KEY: examples.column(schema.KEY)}
    places = {}
    for text, ids, words in COLUMNS:
        if text in examples.schema.names:
            texts = examples.column(text).to_pylist()
            if text in task.aligned:
                values, *offsets = tokenizer.encode_with_offsets(texts)
                places[text] = Places(*offsets)
                splits = places[text].splits
            else:
                values, splits = tokenizer.encode(texts)
            columns[ids] = ragged(values, splits, max_tokens)
            count = np.diff(splits)
            lengths.histogram += np.bincount(np.minimum(count, max_tokens), minlength=max_tokens + 1)
            lengths.cut += int(np.sum(count > max_tokens))
            if tokenizer.special.unknown is not None:
                lengths.unknown += int(np.count_nonzero(values == tokenizer.special.unknown))
            if word_bytes and words:
                data, rows = tokenizer.encode_words(texts, max_tokens, word_bytes)
                columns[words] = ragged(data, rows, max_tokens * (word_bytes + 1))
    for name, column in task.encode(examples, labels, places).items():
        columns[name] = ragged(column[0], column[1], max_tokens) if isinstance(column, tuple) else column
    if schema.WEIGHT in examples.schema.names:
        columns[schema.WEIGHT] = examples.column(schema.WEIGHT).cast(pa.float32())
    return pa.RecordBatch.from_pydict(columns)


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
