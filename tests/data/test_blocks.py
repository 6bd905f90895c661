"""Tests `data/blocks.py`."""

import numpy as np
import pyarrow as pa
import pytest

from data.blocks import write_blocks
from data.schema import IDS
from data.store import ragged, read_column, write_shard


@pytest.mark.parametrize("end", [None, 3])
@pytest.mark.parametrize("length", [2, 5, 7, 100])
def test_blocks_hold_the_text_in_order_and_tell_each_token_once(tmp_path, length, end):
    random, paths, text = np.random.default_rng(0), [], []
    for shard in range(3):
        rows = [random.integers(5, 50, n).astype(np.int32) for n in random.integers(0, 9, 4)]
        splits = np.cumsum([0, *map(len, rows)])
        paths.append(tmp_path / f"{shard}.arrow")
        write_shard(paths[-1], [pa.record_batch({IDS: ragged(np.concatenate(rows), splits, 100)})])
        text += [i for row in rows for i in [*row.tolist(), *([] if end is None else [end])]]
    count = write_blocks(paths, tmp_path / "blocks.arrow", length, end)
    ((values, splits),) = read_column(tmp_path / "blocks.arrow", IDS)
    blocks = [values[a:b].tolist() for a, b in zip(splits[:-1], splits[1:], strict=True)]
    assert len(blocks) == count == -(-(len(text) - 1) // (length - 1))
    assert all(len(block) == length for block in blocks[:-1]) and len(blocks[-1]) > 1
    assert text[:1] + [i for block in blocks for i in block[1:]] == text
    assert all(one[-1] == other[0] for one, other in zip(blocks[:-1], blocks[1:], strict=True))


def test_too_little_text_gives_no_block(tmp_path):
    write_shard(tmp_path / "a", [pa.record_batch({IDS: ragged(np.array([7], np.int32), np.array([0, 1]), 9)})])
    assert write_blocks([tmp_path / "a"], tmp_path / "b", 4, None) == 0
