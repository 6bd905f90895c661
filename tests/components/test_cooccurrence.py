"""Tests `components/cooccurrence.py` on Beam's runner, against a loop."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from components import cooccurrence
from components.base import Runtime
from data.store import ragged, write_shard

SIZE, WINDOW = 12, 3


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder, random, texts = tmp_path_factory.mktemp("shards"), np.random.default_rng(0), []
    for number in range(3):
        rows = [random.integers(0, SIZE, random.integers(0, 15)).astype(np.int32) for _ in range(40)]
        splits = np.cumsum([0] + [len(row) for row in rows])
        write_shard(folder / f"{number}", [pa.record_batch({"ids": ragged(np.concatenate(rows), splits, 100)})])
        texts += rows
    return [str(folder / str(number)) for number in range(3)], texts


def slow(texts: list[np.ndarray]) -> Counter:
    counts: Counter = Counter()
    for text in texts:
        words = [int(i) for i in text if i >= 2]
        for i, one in enumerate(words):
            for j in range(i + 1, min(len(words), i + WINDOW + 1)):
                counts[one, words[j]] += 1 / (j - i)
                counts[words[j], one] += 1 / (j - i)
    return counts


@pytest.mark.parametrize("most, workers", [(4_000_000, 2), (20, 1), (20, 3)])
def test_pairs_are_counted_spilled_and_merged(shards, most, workers, monkeypatch, tmp_path):
    paths, texts = shards
    monkeypatch.setattr(cooccurrence, "MOST", most)
    spilled = []
    monkeypatch.setattr(cooccurrence, "_open", lambda run, folder: spilled.append(run) or np.load(run))
    runtime = Runtime(beam={"direct_num_workers": workers})
    words = np.arange(SIZE) >= 2
    rows = cooccurrence.count_pairs(runtime, paths, WINDOW, words, tmp_path_path(tmp_path), tmp_path)
    assert (len(spilled) > 3) == (most == 20)
    found = rows.gather(np.arange(len(rows)), 1)
    expected = slow(texts)
    assert {
        tuple(ids): pytest.approx(count) for ids, count in zip(found["ids"].tolist(), found["count"], strict=True)
    } == expected
    assert list(map(tuple, found["ids"].tolist())) == sorted(expected)
    assert not list((tmp_path / "spills").glob("*.npy"))


def tmp_path_path(tmp_path):
    from etils import epath

    return epath.Path(tmp_path / "spills")


def test_what_is_counted_does_not_depend_on_workers_or_spills(shards, monkeypatch, tmp_path):
    made = []
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        folder.mkdir()
        monkeypatch.setattr(cooccurrence, "MOST", 30)
        runtime = Runtime(beam={"direct_num_workers": workers})
        cooccurrence.count_pairs(runtime, shards[0], WINDOW, np.arange(SIZE) >= 2, tmp_path_path(folder), folder)
        made.append([(folder / name).read_bytes() for name in ("keys.bin", "counts.bin")])
    assert made[0] == made[1]
