"""Tests serving/json_answer.py: answers to the byte, as RapidJSON's PrettyWriter lays them out."""

import json

import numpy as np

from serving.json_answer import classify_answer, error_answer, predict_answer, regress_answer


def objects(*values):
    return np.array(values, object)


FLOATS = np.array([[2.5, 3], [0.1, np.nan]], np.float32)
ROW = """{
    "predictions": [[2.5, 3.0], [0.1, NaN]
    ]
}"""
ROWS = """{
    "predictions": [
        {
            "s_bytes": {
                "b64": "YQ=="
            },
            "y": [2.5, 3.0]
        },
        {
            "s_bytes": {
                "b64": "/w=="
            },
            "y": [0.1, NaN]
        }
    ]
}"""
COLUMN = """{
    "outputs": [
        [
            2.5,
            3.0
        ],
        [
            0.1,
            NaN
        ]
    ]
}"""
COLUMNS = """{
    "outputs": {
        "b": [],
        "s_bytes": [
            {
                "b64": "YQ=="
            }
        ],
        "t": true
    }
}"""


def test_rows():
    assert predict_answer({"y": FLOATS}, row=True).decode() == ROW
    assert predict_answer({"y": FLOATS, "s_bytes": objects(b"a", b"\xff")}, row=True).decode() == ROWS


def test_columns():
    assert predict_answer({"y": FLOATS}, row=False).decode() == COLUMN
    outputs = {"t": np.array(True), "s_bytes": objects(b"a"), "b": np.zeros((0,), np.int64)}
    assert predict_answer(outputs, row=False).decode() == COLUMNS


def test_axes_of_size_zero():
    empty = np.zeros((2, 0, 3), np.int32)
    assert json.loads(predict_answer({"y": empty}, row=True)) == {"predictions": [[], []]}
    assert json.loads(predict_answer({"y": np.zeros((1, 2, 0))}, row=False)) == {"outputs": [[[], []]]}


def test_every_number_of_every_dtype():
    for dtype in ("i1", "i2", "i4", "i8", "u1", "u4", "u8", "f4", "f8"):
        limits = np.finfo(dtype) if dtype[0] == "f" else np.iinfo(dtype)
        values = np.array([limits.min, 0, limits.max], dtype)
        assert np.array(json.loads(predict_answer({"y": values}, row=True))["predictions"], dtype).tolist() == (
            values.tolist()
        )


def test_classify_and_regress():
    scores = np.array([[0.2, 0.8]], np.float32)
    assert classify_answer(None, scores).decode() == '{\n    "results": [[["", 0.2], ["", 0.8]]\n    ]\n}'
    assert json.loads(classify_answer(objects([b"a", b"b"]), scores)) == {"results": [[["a", 0.2], ["b", 0.8]]]}
    assert json.loads(classify_answer(objects([b"a", b"b"]), None)) == {"results": [[["a", 0], ["b", 0]]]}
    assert regress_answer(np.array([1, 2.5], np.float32)).decode() == '{\n    "results": [1.0, 2.5]\n}'


def test_errors_keep_their_bytes():
    assert json.loads(error_answer('no "such"\n')) == {"error": 'no "such"\n'}
