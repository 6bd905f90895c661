"""What one pass over the examples of a span counts: rows, labels, lengths, duplicates, words, characters.

`statistics.json` holds it for people and later stages; `words/<split>.parquet` (word, count) holds the commonest words
of each split, highest count first, for comparing one span's words with another's. Neither depends on the order of the
blocks or the number of workers. Every figure is exact, but for those of the vocabulary where its `dropped` is not 0:
then it had more than `max_words` distinct words, the rarest were dropped, and the figures are lower bounds.
"""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from components.artifacts import Examples, Statistics
from components.base import Input, Output, Runtime, component
from components.text_counts import CLASSES, Vocabulary, character_class, commonest, count_texts, normalised, script
from data import schema

PERCENTILES = (5, 25, 50, 75, 95, 99)
_BATCH_ROWS = 4096  # what is counted at once fits the cache: 2,048 to 8,192 cost the same, 32,768 a fifth more


@component(version=1)
def statistics_gen(
    examples: Input[Examples],
    statistics: Output[Statistics],
    runtime: Runtime,
    *,
    top_words: Annotated[int, Field(ge=0, description="commonest words listed in statistics.json")] = 50,
    vocabulary_words: Annotated[
        int, Field(gt=0, description="commonest words of a split kept for comparing spans, in words/<split>.parquet")
    ] = 50_000,
    max_words: Annotated[
        int, Field(gt=0, description="distinct words counted at once; the rarest past it are dropped, and said to be")
    ] = 2_000_000,
) -> None:
    """Counts every split of the examples."""
    from components.beam import over_blocks

    scratch = statistics.scratch / "counts"
    blocks = [(split, path) for split in schema.SPLITS for path in examples.shards(split)]
    args = (str(scratch), max_words)
    found = over_blocks(runtime, "statistics_gen", blocks, count_shard, args, merge, statistics.scratch)
    span, splits, keys = examples.properties.get("span", ""), {}, {}
    for split in schema.SPLITS:
        counts, vocabulary = found.get(split, SplitCounts()), Vocabulary(max_words)
        shards = examples.shards(split)
        for shard in shards:
            vocabulary.add(_read(_beside(scratch, shard, "words")))
        words = vocabulary.merged()
        _write(commonest(words, vocabulary_words), statistics.path / "words" / f"{split}.parquet")
        keys[split] = _all_keys([_beside(scratch, shard, "keys") for shard in shards])
        splits[split] = {
            "rows": counts.rows,
            "weight": math.fsum(counts.weights),
            "duplicates": _duplicates(split, keys),
            **_describe(counts),
            "vocabulary": {
                "running": vocabulary.running,
                "distinct": len(words),
                "once": int((words.column("count").to_numpy() == 1).sum()),
                "dropped": counts.dropped_words + vocabulary.dropped,
                "top": {row["word"]: row["count"] for row in commonest(words, top_words).to_pylist()},
            },
        }
    text = json.dumps({"span": span, "splits": splits}, indent=1, ensure_ascii=False)
    (statistics.path / "statistics.json").write_text(text + "\n")
    statistics.properties.update(span=span, rows={split: splits[split]["rows"] for split in splits})


@dataclass
class SplitCounts:
    """What blocks of one split add up to, small whatever the rows; words and keys go through files (count_shard).

    weights: one number a block, added up exactly at the end, so that their order does not show.
    histograms: (values <int64>[n], counts <int64>[n]) by (text, what) and, for code points, by ("", "codes").
    """

    rows: int = 0
    present: Counter = field(default_factory=Counter)  # rows that have the field
    types: set[tuple[str, str]] = field(default_factory=set)  # (field, type)
    labels: Counter = field(default_factory=Counter)
    weights: list[float] = field(default_factory=list)
    histograms: dict[tuple[str, str], tuple[Any, Any]] = field(default_factory=dict)
    dropped_words: int = 0

    def add_histogram(self, name: tuple[str, str], values: Any, counts: Any) -> None:
        import numpy as np

        if name in self.histograms:
            known = self.histograms[name]
            values, place = np.unique(np.concatenate([known[0], values]), return_inverse=True)
            counts = np.bincount(place, np.concatenate([known[1], counts])).astype(np.int64)  # exact below 2**53
        self.histograms[name] = values, counts

    def add(self, other: "SplitCounts") -> None:
        self.rows += other.rows
        self.present.update(other.present)
        self.types |= other.types
        self.labels.update(other.labels)
        self.weights += other.weights
        self.dropped_words += other.dropped_words
        for name, (values, counts) in other.histograms.items():
            self.add_histogram(name, values, counts)


def count_shard(block: tuple[str, str], scratch: str, max_words: int) -> dict[str, SplitCounts]:
    """Counts one Parquet shard of a split. Runs in a worker.

    Words and keys go to files below `scratch`. The words are merged in the order of the shards' names, so they are
    pruned in the same way whatever the workers; and what goes through Beam is held about ten times over.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from etils import epath

    split, path = block
    total, keys = SplitCounts(), [np.empty(0, np.int64)]
    slices, codes = Vocabulary(max_words), np.zeros(0, np.int64)
    with epath.Path(path).open("rb") as file:
        for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS, use_threads=False):
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            _count_fields(columns, total)
            keys.append(_identities(columns))
            for name in (name for name in schema.TEXTS if name in columns):
                texts = count_texts(columns[name])
                total.add_histogram((name, "characters"), *np.unique(texts.characters, return_counts=True))
                total.add_histogram((name, "words"), *np.unique(texts.words, return_counts=True))
                shorter, codes = sorted((codes, texts.codes), key=len)
                codes[: len(shorter)] += shorter
                slices.add(texts.slices)
    used = np.flatnonzero(codes)
    total.add_histogram(("", "codes"), used, codes[used])
    total.weights = [math.fsum(total.weights)]
    _hold(normalised(slices.merged()), _beside(epath.Path(scratch), path, "words"))
    _hold(pa.table({"key": np.concatenate(keys)}), _beside(epath.Path(scratch), path, "keys"))
    total.dropped_words = slices.dropped
    return {split: total}


def _count_fields(columns: Mapping[str, Any], total: SplitCounts) -> None:
    """Rows, fields, labels and weights of a batch."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = len(columns[schema.KEY])
    total.rows += rows
    for name, column in columns.items():
        total.present[name] += len(column) - column.null_count
        total.types.add((name, "list<string>" if pa.types.is_list(column.type) else str(column.type)))
    total.weights.append(pc.sum(columns[schema.WEIGHT]).as_py() or 0 if schema.WEIGHT in columns else rows)
    if (labels := columns.get(schema.LABEL)) is not None:
        labels = pc.list_flatten(labels) if pa.types.is_list(labels.type) else labels
        for entry in pc.value_counts(labels.drop_null()).to_pylist():
            total.labels[entry["values"]] += entry["counts"]


def _identities(columns: Mapping[str, Any]) -> Any:
    """<int64>[rows], equal for equal examples: the key, with the second text of a pair mixed in."""
    import numpy as np
    import pyarrow as pa
    import xxhash

    keys = columns[schema.KEY].to_numpy()
    if (pairs := columns.get(schema.TEXT_PAIR)) is None:
        return keys
    digests = [xxhash.xxh3_64_intdigest(text or b"") for text in pairs.cast(pa.binary()).to_pylist()]
    return keys ^ np.array(digests, np.uint64).view(np.int64)


def merge(found: Iterable[Mapping[str, SplitCounts]]) -> dict[str, SplitCounts]:
    """Adds up the counts of blocks, split by split."""
    total: dict[str, SplitCounts] = {}
    for split, counts in itertools.chain.from_iterable(one.items() for one in found):
        total.setdefault(split, SplitCounts()).add(counts)
    return total


def _describe(counts: SplitCounts) -> dict[str, Any]:
    """Labels, fields, lengths and characters of a split, each sorted by name."""
    types = {name: " or ".join(sorted(t for n, t in counts.types if n == name)) for name, _ in sorted(counts.types)}
    lengths = {name: values for name, values in counts.histograms.items() if name[0]}
    return {
        "labels": dict(sorted(counts.labels.items())),
        "fields": {name: {"type": types[name], "missing": counts.rows - counts.present[name]} for name in types},
        "texts": {
            text: {
                "empty": int(lengths[text, "words"][1][lengths[text, "words"][0] == 0].sum()),
                "characters": describe_lengths(*lengths[text, "characters"]),
                "words": describe_lengths(*lengths[text, "words"]),
            }
            for text in sorted({text for text, _ in lengths})
        },
        **_describe_characters(*counts.histograms.get(("", "codes"), ((), ()))),
    }


def describe_lengths(values: Any, counts: Any) -> dict[str, float]:
    """Exact figures of a histogram (values ascending); a percentile is the smallest value with that share at or below
    it (nearest rank), `deviation` that of the whole population."""
    n, total = int(counts.sum()), int(values @ counts)
    reached = counts.cumsum()
    percentiles = {f"p{p}": int(values[reached.searchsorted(-(-p * n // 100))]) for p in PERCENTILES}
    deviation = math.sqrt(max(n * int(values**2 @ counts) - total**2, 0)) / n
    mean = {"total": total, "mean": _round(total / n), "deviation": _round(deviation)}
    return {**mean, "min": int(values[0]), **percentiles, "max": int(values[-1])}


def _describe_characters(codes: Iterable[int], counts: Iterable[int]) -> dict[str, Any]:
    """Shares of the character classes in all characters, and of the scripts in all letters."""
    classes, scripts = Counter(dict.fromkeys(CLASSES, 0)), Counter[str]()
    for code, count in zip(codes, counts, strict=True):
        kind = character_class(chr(code))
        classes[kind] += int(count)
        if kind == "letters":
            scripts[script(chr(code))] += int(count)
    return {"character_classes": _shares(classes), "scripts": _shares(scripts)}


def _duplicates(split: str, keys: Mapping[str, Any]) -> dict[str, int]:
    """Rows beyond the first of each example inside the split, and rows that an earlier split has too.

    The keys of each split are sorted: searching them costs a hundredth of np.unique and np.isin.
    """
    mine, counts = keys[split], {}
    counts["inside"] = int((mine[1:] == mine[:-1]).sum())
    for name in schema.SPLITS[: schema.SPLITS.index(split)]:
        found = keys[name].searchsorted(mine, "right") > keys[name].searchsorted(mine, "left")
        counts[f"in_{name}"] = int(found.sum())
    return counts


def _shares(counts: Counter) -> dict[str, float]:
    total = sum(counts.values()) or 1
    return {name: _round(count / total) for name, count in sorted(counts.items())}


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def _beside(scratch: Any, shard: str, what: str) -> Any:
    """Where the words or the keys of a shard lie until the end of the stage."""
    return scratch / what / "-".join(shard.split("/")[-2:])


def _all_keys(paths: list[Any]) -> Any:
    """<int64>[rows of a split], sorted: 8 bytes a row, held to the end of the stage."""
    import numpy as np

    return np.sort(np.concatenate([np.empty(0, np.int64), *(_read(path).column("key").to_numpy() for path in paths)]))


def _read(path: Any) -> Any:
    import pyarrow as pa

    with path.open("rb") as file:
        return pa.ipc.open_file(file).read_all()


def _hold(table: Any, path: Any) -> None:
    """Writes what `_read` reads, as it lies in memory: Parquet's encoding would cost ten times as much."""
    import pyarrow as pa

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _write(table: Any, path: Any) -> None:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pq.write_table(table, file, compression="lz4")
