"""Slices: groups of a split's rows that are measured apart, by a column or by what their texts are like."""

from collections.abc import Iterator
from typing import Any

from components.artifacts import Examples
from components.splits import SPAN

LENGTH, UNKNOWN, NEGATION = "length", "unknown_words", "negation"
MADE = (SPAN, LENGTH, UNKNOWN, NEGATION)  # slices that are no columns of the examples
MAX_VALUES = 50  # of a slice; rarer ones are measured together
OTHERS = "(others)"
MANY = 0.1  # share of a row's words
# Words that deny, English and Spanish, in small letters and as `words_of` cuts them: "don't" is "don" and "t".
DENIALS = frozenset(
    """no not nor none nobody nothing never neither nowhere without cannot t nt
    ni nada nadie nunca jamás ningún ninguno ninguna ningunos ningunas tampoco sin""".split()  # noqa: SIM905
)


def groups_of(name: str, judged: Any, test: Any, examples: list[Examples]) -> list[tuple[str, Any]]:
    """(value, row indexes) of a slice of `test`: the task's own, or of a column, or made here from the texts.

    examples: whose training split says which words a model can have met.
    """
    texts = [test.column(text) for text in judged.texts if text in test.column_names]
    if name == LENGTH:
        return _thirds(texts)
    if name == UNKNOWN:
        return _unknown(texts, _words_of_training(examples, judged.texts))
    if name == NEGATION:
        return _negation(texts)
    return judged.groups(name) or _by_value(test.column(name))


def _by_value(column: Any) -> list[tuple[str, Any]]:
    """The largest first; beyond MAX_VALUES the rest together."""
    import numpy as np

    values = np.array(["(none)" if v is None else str(v) for v in column.to_pylist()], object)
    found, which, counts = np.unique(values.astype(str), return_inverse=True, return_counts=True)
    ranked = np.argsort(-counts, kind="stable")
    groups = [(str(found[i]), np.flatnonzero(which == i)) for i in ranked[:MAX_VALUES]]
    rest = np.flatnonzero(np.isin(which, ranked[MAX_VALUES:]))
    return groups + ([(OTHERS, rest)] if len(rest) else [])


def _thirds(columns: list[Any]) -> list[tuple[str, Any]]:
    """Short, middle and long texts, cut so that each has a third of the rows."""
    import numpy as np
    import pyarrow.compute as pc

    sizes = sum(pc.fill_null(pc.utf8_length(column), 0).to_numpy() for column in columns)
    which = np.searchsorted(np.quantile(sizes, [1 / 3, 2 / 3]), sizes)
    groups = [(name, np.flatnonzero(which == i)) for i, name in enumerate(("short", "middle", "long"))]
    return [(f"{name} ({sizes[g].min()}-{sizes[g].max()} characters)", g) for name, g in groups if len(g)]


def _unknown(columns: list[Any], known: set[str]) -> list[tuple[str, Any]]:
    """Rows by the share of their words that no training text has: none, some, and more than MANY."""
    import numpy as np

    shares = np.array([_share_outside(words, known) for words in _words(columns)])
    parts = ("none", shares == 0), (f"up to {MANY:.0%}", (shares > 0) & (shares <= MANY)), ("more", shares > MANY)
    return [(value, np.flatnonzero(here)) for value, here in parts if here.any()]


def _share_outside(words: list[str], known: set[str]) -> float:
    return sum(word not in known for word in words) / max(len(words), 1)


def _negation(columns: list[Any]) -> list[tuple[str, Any]]:
    """Rows with a word that denies, and those without."""
    import numpy as np

    denied = np.array([not DENIALS.isdisjoint(words) for words in _words(columns)], bool)
    parts = ("yes", denied), ("no", ~denied)
    return [(value, np.flatnonzero(here)) for value, here in parts if here.any()]


def _words(columns: list[Any]) -> Iterator[list[str]]:
    """Of each row, all its texts together."""
    from data.words import words_of

    for row in zip(*(column.to_pylist() for column in columns), strict=True):
        yield [word for text in row for word in words_of(text or "")]


def _words_of_training(examples: list[Examples], texts: tuple[str, ...]) -> set[str]:
    import pyarrow.parquet as pq
    from etils import epath

    known: set[str] = set()
    for part in examples:
        present = [name for name in texts if name in part.properties["columns"]]
        for shard in part.shards("train"):
            with epath.Path(shard).open("rb") as file:
                for batch in pq.ParquetFile(file).iter_batches(columns=present):
                    known.update(word for words in _words(batch.columns) for word in words)
    return known
