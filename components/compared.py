"""Sets of rows held against each other by what statistics_gen counted: labels, lengths, words."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from components.artifacts import Statistics
from data import schema

DRAWS = 20
SURE = 3  # standard errors that a difference must pass as well, so that few rows raise no false alarm


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


def words_distance(before: Rows, after: Rows, seed: int) -> tuple[float, float]:
    """Jensen-Shannon distance, 0 to 1, of the running words (Endres and Schindelin 2003; logarithms of base 2), and the
    largest of DRAWS distances that chance alone gives, both being drawn from all words together: few words are far from
    any others.
    """
    import numpy as np

    tables = [word_counts(rows).group_by("word").aggregate([("count", "sum")]) for rows in (before, after)]
    both = tables[0].join(tables[1], "word", join_type="full outer", right_suffix="_after")
    columns = (both.column(name).fill_null(0).to_numpy() for name in ("count_sum", "count_sum_after"))
    counts = np.stack([column.astype(np.int64) for column in columns])
    generator, totals = np.random.default_rng(seed), counts.sum(axis=1)
    shares = np.sort(counts.sum(axis=0)) / max(totals.sum(), 1)  # sorted: a join has no order
    drawn = [
        np.stack([generator.multinomial(total, shares) for total in totals]) for _ in range(DRAWS if all(totals) else 0)
    ]
    return _distance(counts), max(map(_distance, drawn), default=0.0)


def _distance(counts: Any) -> float:
    """Jensen-Shannon distance of two rows of counts <int64>[2, words]."""
    import numpy as np

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = shares / 2 * np.log2(shares / shares.mean(axis=0))
    return math.sqrt(max(float(np.sort(np.nansum(terms, axis=0)).sum()), 0.0))


def length_shift(before: Rows, after: Rows, text: str) -> tuple[float, float]:
    """How far the mean length of a text in words moved, as a share of the mean before, and its standard error."""
    old, new = (rows.stats["texts"][text]["words"] for rows in (before, after))
    error = math.hypot(old["deviation"] / math.sqrt(before.count), new["deviation"] / math.sqrt(after.count))
    mean = max(old["mean"], 1e-9)
    return abs(new["mean"] - old["mean"]) / mean, error / mean
