"""The rows that a trainer reads: token records of all spans, or blocks cut from their texts."""

import tempfile
from pathlib import Path
from typing import Any

from components.artifacts import Tokens
from data.errors import DataError


def rows_of(
    tokens: list[Tokens],
    split: str,
    labels: list[str],
    word_bytes: int,
    half_life: float,
    task: Any,
    max_tokens: int,
    end: int | None,
) -> Any:
    """The rows of a split over all spans, or None where there is none.

    half_life: spans in which the weight of a row to train on halves; 0: it does not. max_tokens, end: of blocks, and
    the token behind each text in them.
    """
    from data.store import Shards, TokenStore

    ages = reversed(range(len(tokens)))
    weights = [0.5 ** (age / half_life) if half_life and split == "train" else 1.0 for age in ages]
    groups = [
        Shards(artifact.shards(split), artifact.properties["labels"], weight)
        for artifact, weight in zip(tokens, weights, strict=True)
    ]
    if not any(group.paths for group in groups):
        if split == "train":
            raise DataError("trainer: the train split has no rows; look at [example_gen] input and splits")
        return None
    # Each worker cuts blocks of its own; what is mapped stays readable when the folder is gone.
    with tempfile.TemporaryDirectory(prefix="polisemia-") as folder:
        if task.blocks:
            spans = [artifact.properties["span"] for artifact in tokens]
            whole = [(span, group) for span, group in zip(spans, groups, strict=True) if group.paths]
            groups = [
                group._replace(paths=[_cut(group.paths, Path(folder) / f"{n}.arrow", max_tokens, end, split, span)])
                for n, (span, group) in enumerate(whole)
            ]
        store = TokenStore(groups, labels, word_bytes)
    store.weights = task.weights(store)
    return store


def _cut(shards: Any, path: Path, length: int, end: int | None, split: str, span: str) -> Path:
    """The shard of blocks of a span's texts, one after another, each token once told."""
    from data.blocks import write_blocks

    if not write_blocks(shards, path, length, end):
        raise DataError(
            f"trainer: the {split} split of span '{span}' has less than two tokens, of which no block can be cut; "
            "wanted a longer text; look at [example_gen] splits"
        )
    return path
