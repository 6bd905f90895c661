"""Tests `components/transform.py`: records of long texts in windows."""

import numpy as np
import pyarrow as pa
import pytest

from components.transform import _Job, _Lengths, _records
from data.store import Shards, TokenStore, write_shard
from tests.contracts import tiny


def store_of(task, columns, tmp_path, **params):
    job = _Job("", "", task, params.pop("labels", ()), params.pop("max_tokens"), params.pop("stride"), 4)
    examples = pa.record_batch({"key": pa.array(range(len(next(iter(columns.values())))), pa.int64()), **columns})
    lengths = _Lengths(np.zeros(job.max_tokens + 1, np.int64))
    write_shard(tmp_path / "a.arrow", [_records(examples, Words(), tiny.task(task), "train", job, lengths)])
    return TokenStore([Shards([tmp_path / "a.arrow"], job.labels)], job.labels, 4), lengths


class Words(tiny.Words):
    def __init__(self):
        super().__init__("good bad film plot not very dull fun")


def letters(words):
    return [bytes(word[word > 0]).decode() for word in words]


def test_a_window_is_a_row_with_its_marks_and_a_share_of_the_weight(tmp_path):
    lists = pa.list_(pa.string())
    columns = {
        "text": ["who", "very good"],
        "text_pair": ["good bad film plot not very dull fun", "plot"],
        "answers": pa.array([["plot not"], []], lists),
        "answer_starts": pa.array([["14"], []], lists),
        "weight": [2.0, 1.0],
    }
    store, lengths = store_of("question_answering", columns, tmp_path, max_tokens=9, stride=2)
    batch = store.gather(np.arange(len(store)), 9)
    assert batch["length_pair"].tolist() == [4, 4, 4, 1] and batch["length"].tolist() == [1, 1, 1, 2]
    assert batch["ids_pair"][:, :4].tolist() == [[5, 6, 7, 8], [7, 8, 9, 10], [9, 10, 11, 12], [8, 0, 0, 0]]
    assert batch["marks_pair"][:, :4].tolist() == [[0, 0, 0, 1], [0, 1, 2, 0], [2, 0, 0, 0], [0] * 4]
    assert store.weights.tolist() == pytest.approx([2 / 3] * 3 + [1]) and not lengths.cut
    assert letters(batch["word_bytes_pair"][1][:4]) == ["film", "plot", "not", "very"]
    assert letters(batch["word_bytes"][3][:2]) == ["very", "good"]


def test_windows_of_a_text_have_its_labels(tmp_path):
    columns = {"text": ["good bad film plot not", "fun"], "label": pa.array([["x", "y"], []], pa.list_(pa.string()))}
    labels = ("x", "y")
    store, _ = store_of("multi_label", columns, tmp_path, max_tokens=5, stride=1, labels=labels)
    batch = store.gather(np.arange(len(store)), 5)
    assert batch["length"].tolist() == [3, 3, 3, 1]
    assert batch["classes"].tolist() == [[1, 1]] * 3 + [[0, 0]]
    assert letters(batch["word_bytes"][2][:3]) == ["film", "plot", "not"]
