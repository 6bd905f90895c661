"""Tests `components/rows.py`: blocks of the texts of all spans."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from components.rows import rows_of
from data.errors import DataError
from data.store import ragged, write_shard
from models.tasks import TASKS
from tests.contracts import tiny

END = 3


def tokens(path, *texts: list[int]) -> SimpleNamespace:
    ids, splits = np.array(sum(texts, []), np.int32), np.cumsum([0, *map(len, texts)])
    write_shard(path, [pa.RecordBatch.from_pydict({"ids": ragged(ids, splits, 1 << 20)})])
    return SimpleNamespace(shards=lambda split: [path], properties={"labels": [], "span": path.stem})


def blocks_of(spans):
    store = rows_of(spans, "train", [], tiny.family("gru"), 0.0, TASKS["language_modeling"](), 4, END)
    return store, store.gather(np.arange(len(store)), 4)


def test_texts_of_a_span_become_blocks_and_nothing_stays_beside_the_shards(tmp_path):
    spans = [tokens(tmp_path / "1.arrow", [5, 6], [7], [8]), tokens(tmp_path / "2.arrow", [9, 9])]
    before = sorted(tmp_path.iterdir())
    store, batch = blocks_of(spans)
    assert batch["ids"].tolist() == [[5, 6, END, 7], [7, END, 8, END], [9, 9, END, 0]]
    assert store.weights.tolist() == [3, 3, 2]
    assert sorted(tmp_path.iterdir()) == before, "other workers read the same folder"


def test_a_span_too_short_for_a_block_is_named(tmp_path):
    with pytest.raises(DataError, match="the train split of span '2' has less than 2 tokens"):
        blocks_of([tokens(tmp_path / "1.arrow", [5]), tokens(tmp_path / "2.arrow", [])])
