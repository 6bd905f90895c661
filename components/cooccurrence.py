"""How often words stand near each other, counted in Beam: what GloVe learns from.

A worker counts a shard of token records in an array of sorted keys. Where that grows too large it is spilled, a sorted
run a file; runs are then merged by ranges of keys. So memory is bounded in every place, whatever the corpus, and the
sums do not depend on how many workers there were.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from components.base import Runtime
from components.beam import over_blocks
from data.pairs import Pairs

MOST = 4_000_000  # pairs held at once: 64 MB, and as much again while they are sorted


def count_pairs(
    runtime: Runtime, shards: list[str], window: int, words: np.ndarray, scratch: epath.Path, local: Path
) -> Pairs:
    """The pairs of words up to `window` apart in a text, each way, a pair d apart counting 1 / d.

    shards: of token records. words <bool>[size]: ids that are words; others are left out before distances are taken, as
    GloVe's own program does. scratch: where workers spill. local: a folder for the outcome.
    """
    numbered = [(f"{number:06d}", shard) for number, shard in enumerate(shards)]
    args = window, words, str(scratch)
    runs = over_blocks(runtime, "cooccurrence", numbered, _count_shard, args, _merge, scratch)
    with tempfile.TemporaryDirectory(prefix="polisemia-") as folder:
        opened = [_open(run, Path(folder)) for run in runs]
        with (local / "keys.bin").open("wb") as keys, (local / "counts.bin").open("wb") as counts:
            for part_keys, part_counts in _merged(opened):
                keys.write(part_keys.tobytes())
                counts.write(part_counts.astype(np.float32).tobytes())
    for run in runs:
        epath.Path(run).unlink()
    return Pairs(local, len(words))


def _count_shard(shard: tuple[str, str], window: int, words: np.ndarray, scratch: str) -> list[str]:
    """Names of the runs of one shard. Runs in a worker."""
    from data.store import read_column

    name, path = shard
    runs: list[str] = []
    held = _empty()
    for column in ("ids", "ids_pair"):
        for values, splits in read_column(path, column):
            for found in _near(values, splits, window, words):
                held = _added([held, found])
                if len(held[0]) > MOST:
                    runs.append(_spill(held, f"{scratch}/{name}-{len(runs):04d}.npy"))
                    held = _empty()
    return [*runs, _spill(held, f"{scratch}/{name}-{len(runs):04d}.npy")] if len(held[0]) else runs


def _empty() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(0, np.int64), np.zeros(0)


def _near(values: np.ndarray, splits: np.ndarray, window: int, words: np.ndarray) -> Iterator[tuple]:
    """For each distance, keys <int64> (first id * size + second) and counts <float64> of the pairs so far apart."""
    rows = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
    kept = words[values]
    ids, rows = values[kept].astype(np.int64), rows[kept]
    for distance in range(1, window + 1):
        together = rows[:-distance] == rows[distance:]
        first, second = ids[:-distance][together], ids[distance:][together]
        keys = np.concatenate([first * len(words) + second, second * len(words) + first])
        keys, times = np.unique(keys, return_counts=True)
        yield keys, times / distance


def _added(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The sum of sorted counts, sorted."""
    keys, place = np.unique(np.concatenate([keys for keys, _ in parts]), return_inverse=True)
    return keys, np.bincount(place, np.concatenate([counts for _, counts in parts]), minlength=len(keys))


def _spill(held: tuple[np.ndarray, np.ndarray], path: str) -> str:
    run = np.zeros(len(held[0]), [("key", np.int64), ("count", np.float64)])
    run["key"], run["count"] = held
    with epath.Path(path).open("wb") as file:
        np.save(file, run)
    return path


def _open(run: str, folder: Path) -> np.ndarray:
    """A run, still in its file; a remote one in a copy."""
    if "://" in run:
        copy = folder / Path(run).name
        with epath.Path(run).open("rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, 16 << 20)
        run = str(copy)
    return np.load(run, mmap_mode="r")


def _merged(runs: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The sums of all runs, range of keys by range of keys."""
    if not runs:
        return
    parts = 1 + sum(map(len, runs)) // MOST
    sample = np.sort(np.concatenate([run["key"][:: max(1, len(run) // 1000)] for run in runs]))
    bounds = [*sample[:: max(1, len(sample) // parts)][1:].tolist(), np.iinfo(np.int64).max]
    starts = [0] * len(runs)
    for bound in bounds:
        ends = [int(np.searchsorted(run["key"], bound)) for run in runs]
        pieces = [run[start:end] for run, start, end in zip(runs, starts, ends, strict=True)]
        starts = ends
        keys, counts = _added([(piece["key"], piece["count"]) for piece in pieces])
        if len(keys):
            yield keys, counts


def _merge(found: Iterable[list[str]]) -> list[Any]:
    return sorted(run for runs in found for run in runs)
