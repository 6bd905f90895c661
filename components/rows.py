"""The rows that a trainer reads: token records of all spans, or what is cut from their texts."""

import tempfile
from pathlib import Path
from typing import Any

from components.artifacts import Tokens
from data.errors import DataError


def rows_of(
    tokens: list[Tokens],
    split: str,
    labels: list[str],
    family: Any,
    half_life: float,
    task: Any,
    max_tokens: int,
    end: int | None,
) -> Any:
    """The rows of a split over all spans, or None where there is none.

    half_life: spans in which the weight of a row to train on halves; 0: it does not. max_tokens: of a row, what
    packing adds included; end: the token behind each text in a block.
    """
    from data.store import Shards, TokenStore
    from models.packing import added_tokens

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
    room = max(max_tokens - added_tokens(task.special_tokens or family.special_tokens, pairs=False), 1)
    # Each worker cuts rows of its own; what is mapped stays readable when the folder is gone.
    with tempfile.TemporaryDirectory(prefix="polisemia-") as folder:
        if task.rows != "examples":
            spans = [artifact.properties["span"] for artifact in tokens]
            whole = [(f"the {split} split of span '{s}'", g) for s, g in zip(spans, groups, strict=True) if g.paths]
            groups = [
                group._replace(paths=[_cut(group.paths, Path(folder) / f"{n}.arrow", task.rows, room, end, where)])
                for n, (where, group) in enumerate(whole)
            ]
        store = TokenStore(groups, labels, family.word_bytes)
    store.weights = task.weights(store)
    return store


def _cut(shards: Any, path: Path, rows: str, length: int, end: int | None, where: str) -> Path:
    """The shard of a span's texts as blocks, one after another, each token once told; or as pieces."""
    from data.blocks import write_blocks, write_pieces

    least = 2 if rows == "blocks" else 1
    if not (write_blocks(shards, path, length, end) if rows == "blocks" else write_pieces(shards, path, length)):
        raise DataError(
            f"trainer: {where} has less than {least} token{'s' * (least > 1)}, of which no row can be cut; wanted a "
            "longer text; look at [example_gen] splits"
        )
    return path
