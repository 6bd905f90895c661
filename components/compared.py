"""Sets of rows held against each other by what statistics_gen counted: labels, lengths, words."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from components.artifacts import Statistics
from data import schema


@dataclass(frozen=True)
class Rows:
    """What is compared: a split of a span, or several together.

    stats: the split's part of statistics.json; of several, only what is compared.
    words: the paths of their word counts.
    """

    span: str
    split: str
    stats: dict[str, Any]
    words: list[Any]

    @property
    def count(self) -> int:
        return self.stats["rows"]


def place_of(span: str, split: str) -> str:
    return f"span {span}, {split}" if span else split


def read_span(statistics: Statistics) -> dict[str, Rows]:
    report = json.loads((statistics.path / "statistics.json").read_text())
    return {
        split: Rows(report["span"], split, report["splits"][split], [statistics.path / "words" / f"{split}.parquet"])
        for split in schema.SPLITS
    }


def label_shift(before: Rows, after: Rows) -> tuple[str, float, float]:
    """The label whose share of all labels moved most, by how much, and the standard error of that move.

    max_i |p_i - q_i|, the Chebyshev (L-infinity) distance of two distributions: unlike a divergence, it is a share of
    rows that a person can check. The error is that of the z-test of two proportions, pooled.
    """
    moved, counts = ("", 0.0, 0.0), (labels_of(before), labels_of(after))
    for label in sorted(set(before.stats["labels"]) | set(after.stats["labels"])):
        old, new = (rows.stats["labels"].get(label, 0) for rows in (before, after))
        distance = abs(old / counts[0] - new / counts[1])
        if distance > moved[1]:
            both = (old + new) / sum(counts)
            moved = label, distance, math.sqrt(both * (1 - both) * (1 / counts[0] + 1 / counts[1]))
    return moved


def labels_of(rows: Rows) -> int:
    """How many labels the rows have: as many as they are, or several a row."""
    return sum(rows.stats["labels"].values()) or 1


def unknown_words(before: Rows, after: Rows) -> float:
    """Share of the running words of `after` that `before` does not have, over the words that statistics_gen kept."""
    import pyarrow.compute as pc

    known, words = word_counts(before).column("word"), word_counts(after)
    running = pc.sum(words.column("count")).as_py()
    unknown = words.filter(pc.invert(pc.is_in(words.column("word"), value_set=known.combine_chunks())))
    return (pc.sum(unknown.column("count")).as_py() or 0) / running if running else 0.0


def word_counts(rows: Rows) -> Any:
    """A table of `word` and `count`; a word may be there once a span."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for path in rows.words:
        with path.open("rb") as file:
            parts.append(pq.read_table(file, use_threads=False))
    return pa.concat_tables(parts)


def pool(parts: list[Rows]) -> Rows:
    """Several sets of rows as one, for comparing with it."""
    count = sum(part.count for part in parts)
    labels: Counter[str] = Counter()
    for part in parts:
        labels.update(part.stats["labels"])
    texts = {}
    for text in sorted({text for part in parts for text in part.stats["texts"]}):
        lengths = [(part.count, part.stats["texts"][text]["words"]) for part in parts if text in part.stats["texts"]]
        n = sum(rows for rows, _ in lengths)
        mean = sum(words["total"] for _, words in lengths) / n
        square = sum(rows * (words["deviation"] ** 2 + words["mean"] ** 2) for rows, words in lengths) / n
        texts[text] = {"words": {"mean": mean, "deviation": math.sqrt(max(square - mean**2, 0))}}
    stats = {"rows": count, "labels": labels, "texts": texts}
    return Rows("", "the spans before it", stats, [path for part in parts for path in part.words])


def words_distance(before: Rows, after: Rows) -> float:
    """Jensen-Shannon distance, 0 to 1, of the running words (Endres and Schindelin 2003; logarithms of base 2)."""
    counts = [_summed(word_counts(rows)) for rows in (before, after)]
    sums = [sum(each.values()) or 1 for each in counts]
    divergence = 0.0
    for word in counts[0].keys() | counts[1].keys():
        shares = [each.get(word, 0) / total for each, total in zip(counts, sums, strict=True)]
        middle = sum(shares) / 2
        divergence += sum(share / 2 * math.log2(share / middle) for share in shares if share)
    return math.sqrt(max(divergence, 0.0))


def _summed(table: Any) -> dict[str, int]:
    grouped = table.group_by("word").aggregate([("count", "sum")])
    return dict(zip(grouped.column("word").to_pylist(), grouped.column("count_sum").to_pylist(), strict=True))
