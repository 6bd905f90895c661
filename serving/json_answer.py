"""REST's answers, laid out as TensorFlow Serving's RapidJSON does, to the byte; names in alphabetical order.

Strings go out as they are: what is not UTF-8 makes a text that is not JSON, as in TensorFlow Serving, unless the
output's name ends in `_bytes`, which makes it `{"b64": "..."}`.
"""

import base64
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from serving.json_text import decimals, invalid, string

INDENT = " " * 4
WRITTEN = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u4", "u8")  # dtypes that TensorFlow Serving writes as numbers


def predict_answer(outputs: Mapping[str, np.ndarray], row: bool) -> bytes:
    """`{"predictions": [...]}` of outputs <any>[B, ...], or `{"outputs": ...}`; one output goes without its name.

    Raises ServingError for outputs that do not share their first dimension (row) and dtypes that JSON has no form for.
    """
    arrays = {name: np.asarray(outputs[name]) for name in sorted(outputs)}
    if not arrays:
        raise invalid("Cannot convert empty tensor map to JSON")
    return _document(_rows(arrays) if row else _columns(arrays))


def classify_answer(classes: np.ndarray | None, scores: np.ndarray | None) -> bytes:
    """`{"results": [[["label", score], ...], ...]}`, a list for each example.

    classes <object (bytes)>, scores <float32>: [examples, classes], one of them at least; labels are "" and scores 0
    without. Raises ServingError for no examples.
    """
    array = scores if scores is not None else classes
    assert array is not None
    if not len(array):
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    labels = ['""'] * array.size if classes is None else [string(label) for label in classes.ravel()]
    numbers = ["0.0"] * array.size if scores is None else decimals(scores)
    pairs = [f"[{label}, {number}]" for label, number in zip(labels, numbers, strict=True)]
    return _document(f'"results": [{", ".join(_lists(pairs, array.shape, 1, None))}\n{INDENT}]')


def regress_answer(values: np.ndarray) -> bytes:
    """`{"results": [value, ...]}` of values <float32>[examples]. Raises ServingError for no examples."""
    if not values.size:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    return _document(f'"results": [{", ".join(decimals(values))}]')


def error_answer(message: str) -> bytes:
    return _document(f'"error": {string(message)}')


def _document(member: str) -> bytes:
    return f"{{\n{INDENT}{member}\n}}".encode("utf-8", "surrogateescape")


def _rows(arrays: dict[str, np.ndarray]) -> str:
    batch = None
    for name, array in arrays.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if batch not in (None, len(array)):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch}")
        batch = len(array)
    if not batch:
        return '"predictions": []'
    depth = 2 if len(arrays) == 1 else 3
    columns = [_lists(_leaves(name, a, depth + a.ndim - 1), a.shape, 1, None) for name, a in arrays.items()]
    if len(arrays) == 1:
        return f'"predictions": [{", ".join(columns[0])}\n{INDENT}]'
    rows = ",".join(f"\n{2 * INDENT}{_members(arrays, row, 2)}" for row in zip(*columns, strict=True))
    return f'"predictions": [{rows}\n{INDENT}]'


def _columns(arrays: dict[str, np.ndarray]) -> str:
    depth = 1 if len(arrays) == 1 else 2
    values = [_lists(_leaves(name, a, depth + a.ndim), a.shape, 0, depth)[0] for name, a in arrays.items()]
    return f'"outputs": {values[0] if len(arrays) == 1 else _members(arrays, values, 1)}'


def _members(names: Iterable[str], values: Iterable[str], depth: int) -> str:
    """An object that opens at a depth, a member a line."""
    inner = "\n" + INDENT * (depth + 1)
    members = [f"{inner}{string(name)}: {value}" for name, value in zip(names, values, strict=True)]
    return "{" + ",".join(members) + "\n" + INDENT * depth + "}"


def _lists(texts: list[str], shape: tuple[int, ...], first: int, depth: int | None) -> list[str]:
    """Joins the texts of an array into nested lists, down to axis `first`; an element a line from a depth on."""
    for axis in reversed(range(first, len(shape))):
        size, groups = shape[axis], math.prod(shape[:axis])
        start, middle, end = "[", ", ", "]"
        if depth is not None:
            line = "\n" + INDENT * (depth + axis + 1)
            start, middle, end = "[" + line, "," + line, line.removesuffix(INDENT) + "]"
        texts = [
            start + middle.join(texts[size * group : size * (group + 1)]) + end if size else "[]"
            for group in range(groups)
        ]
    return texts


def _leaves(name: str, array: np.ndarray, depth: int) -> list[str]:
    """The texts of an array's values, which stand inside of `depth` lists and objects."""
    flat, kind = array.ravel(), array.dtype.kind
    if kind in "OSU":
        if not name.endswith("_bytes"):
            return [string(value) for value in flat]
        inner, outer = "\n" + INDENT * (depth + 1), "\n" + INDENT * depth
        return [f'{{{inner}"b64": "{base64.b64encode(_bytes(value)).decode()}"{outer}}}' for value in flat]
    if kind == "b":
        return ["true" if value else "false" for value in flat.tolist()]
    if array.dtype.str[1:] not in WRITTEN:
        if not array.size:
            return []
        raise invalid(f"Failed to write JSON value for tensor type: {_tensorflow_name(array.dtype)}")
    return decimals(flat) if kind == "f" else list(map(str, flat.tolist()))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _tensorflow_name(dtype: np.dtype) -> str:
    return {"float16": "half"}.get(dtype.name, dtype.name)
