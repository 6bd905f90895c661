"""The rows that a trainer reads: token records of all spans, or blocks cut from their texts."""

from typing import Any

from components.artifacts import Tokens
from data.errors import DataError


def rows_of(
    tokens: list[Tokens], split: str, labels: list[str], word_bytes: int, half_life: float, task: Any, cut: Any
) -> Any:
    """The rows of a split over all spans, or None where there is none.

    half_life: spans in which the weight of a row to train on halves; 0: it does not. cut: `cut_blocks`, or None.
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
    if cut:
        whole = [(f"{split}-{n}", group) for n, group in enumerate(groups) if group.paths]
        groups = [group._replace(paths=[cut(name, group.paths)]) for name, group in whole]
    store = TokenStore(groups, labels, word_bytes)
    store.weights = task.weights(store)
    return store


def cut_blocks(scratch: Any, length: int, end: int | None, name: str, shards: Any) -> Any:
    """The shard of blocks of a span's texts, one after another, each token once told."""
    from data.blocks import write_blocks

    path = scratch / "blocks" / f"{name}.arrow"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not write_blocks(shards, path, length, end):
        raise DataError(f"trainer: {name} has less than two tokens; wanted a longer text")
    return path
