"""Tests `models/checkpoint.py`."""

import json
import os

import ml_dtypes
import numpy as np
import pytest

from models.checkpoint import Checkpoints

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array(7, np.int64),
    np.zeros((0, 4), np.float16),
    np.array([1.5, -2], ml_dtypes.bfloat16),
    np.array([True, False]),
]
STATE = {"epoch": 3, "loss": 0.1 + 0.2, "none": None}


def test_arrays_and_state_come_back_as_they_were(tmp_path):
    checkpoints = Checkpoints(tmp_path / "new")
    assert checkpoints.newest() is None
    checkpoints.save(iter(ARRAYS), STATE)
    found = Checkpoints(tmp_path / "new").newest()
    assert found.state == STATE
    assert [(each.dtype, each.shape, each.tolist()) for each in found.arrays] == [
        (each.dtype, each.shape, each.tolist()) for each in ARRAYS
    ]


def test_two_are_kept_and_numbers_go_on(tmp_path):
    for n in range(5):
        Checkpoints(tmp_path).save([np.array(n)], {"n": n})
    assert sorted(os.listdir(tmp_path)) == [f"checkpoint-{n}.{kind}" for n in (4, 5) for kind in ("bin", "json")]
    assert Checkpoints(tmp_path).newest().state == {"n": 4}


@pytest.mark.parametrize("damage", ["bytes", "cut", "json", "no json", "no bytes"])
def test_a_broken_checkpoint_falls_back_on_the_one_before(tmp_path, damage):
    checkpoints = Checkpoints(tmp_path)
    for n in (1, 2):
        checkpoints.save([np.full(100, n, np.int32)], {"n": n})
    data, index = tmp_path / "checkpoint-2.bin", tmp_path / "checkpoint-2.json"
    if damage == "bytes":
        data.write_bytes(b"\1" + data.read_bytes()[1:])
    elif damage == "cut":
        data.write_bytes(data.read_bytes()[:200])
    elif damage == "json":
        index.write_text(index.read_text()[:20])
    else:
        (index if damage == "no json" else data).unlink()
    assert checkpoints.newest().state == {"n": 1}
    checkpoints.save([np.array(3)], {"n": 3})
    assert checkpoints.newest().state == {"n": 3}
    assert not (tmp_path / "checkpoint-1.json").exists()


def test_the_json_is_written_after_the_bytes_and_nothing_is_renamed(tmp_path, monkeypatch):
    def refuse(*args):
        raise AssertionError("renamed")

    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, refuse)
    seen = []

    def arrays():
        seen.append(sorted(os.listdir(tmp_path)))
        yield np.array(1)

    Checkpoints(tmp_path).save(arrays(), {})
    assert seen == [["checkpoint-1.bin"]]
    assert json.loads((tmp_path / "checkpoint-1.json").read_text())["arrays"] == [["int64", []]]
