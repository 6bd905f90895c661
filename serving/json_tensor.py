"""Bodies of REST's predict: JSON to arrays and back, with TensorFlow Serving's rules, errors and layout.

Source of every rule and text: tensorflow_serving/util/json_tensor.cc. Whole lists are checked and converted at once;
when anything is out of the ordinary, a walk over the values in TensorFlow Serving's order says what is wrong.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.errors import ServingError
from serving.json_text import invalid, read, read_exactly, show
from serving.json_values import BOOL, LARGEST, NUMPY, STRING, WHOLE, convert, dtype_name, is_base64, is_object

MAX_RANK = 32  # an array of strings with more axes crashes TensorFlow: NumPy has no iterator for it


@dataclass(frozen=True)
class PredictBody:
    """signature_name: "" if not given. inputs: arrays, strings as bytes in <object>. row: `instances`, not `inputs`."""

    signature_name: str
    inputs: dict[str, np.ndarray]
    row: bool


def parse_predict(body: bytes, inputs_of: Callable[[str], Mapping[str, Any]]) -> PredictBody:
    """Reads a predict body; inputs_of gives the TensorInfo of each input of a signature, by the signature's name.

    Raises ServingError with TensorFlow Serving's text, or what inputs_of raises.
    """
    try:
        parsed = _predict(read(body), inputs_of)
    except OverflowError:  # a whole number of 400 digits, which Python's parser lets through
        return _predict(read_exactly(body), inputs_of)
    if any(array.dtype.kind == "f" and np.isinf(array).any() for array in parsed.inputs.values()):
        read_exactly(body)  # refuses 1e999, which Python's parser reads as infinity
    return parsed


def signature_name(document: Any) -> str:
    """The name in a parsed request, "" if it gives none."""
    if type(document) is not dict:
        raise invalid(f"JSON Value: {show(document)} Is not object")
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise invalid(
            f"JSON Value: {show(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def _predict(document: Any, inputs_of: Callable[[str], Mapping[str, Any]]) -> PredictBody:
    name = signature_name(document)
    dtypes = {key: info.dtype for key, info in sorted(inputs_of(name).items())}
    if not dtypes:
        raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    if "instances" not in document and "inputs" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    if "instances" not in document:
        return PredictBody(name, _columns(document["inputs"], dtypes), row=False)
    rows = document["instances"]
    for wrong, message in (
        ("inputs" in document, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "),
        (type(rows) is not list, "Excepting 'instances' to be an list/array"),
        (rows == [], "No values in 'instances' array"),
    ):
        if wrong:
            raise invalid(f"JSON Value: {show(document)} {message}")
    return PredictBody(name, _rows(rows, dtypes), row=True)


def _columns(value: Any, dtypes: dict[str, int]) -> dict[str, np.ndarray]:
    if type(value) is not dict or is_base64(value):
        if len(dtypes) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        return {name: _dense(value, dtype) for name, dtype in dtypes.items()}
    arrays = {}
    for name, dtype in dtypes.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        arrays[name] = _dense(value[name], dtype)
    return arrays


def _dense(value: Any, dtype: int) -> np.ndarray:
    shape = _shape(value)
    array = _at_once([value], shape, dtype)
    array = array if array is not None else _array(_walk(value, 0, shape, dtype), dtype)
    return array.reshape(shape)


def _rows(rows: list[Any], dtypes: dict[str, int]) -> dict[str, np.ndarray]:
    first = rows[0]
    if type(first) is not dict and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    if not is_object(first):
        name, dtype = next(iter(dtypes.items()))
        array = _at_once(rows, shape := _shape(first), dtype)
        return {name: array.reshape(len(rows), *shape)} if array is not None else _rows_by_one(rows, dtypes)
    arrays = {}
    for name, dtype in dtypes.items():
        if not all(type(row) is dict and len(row) == len(dtypes) and name in row for row in rows):
            return _rows_by_one(rows, dtypes)
        shape = _shape(first[name])
        array = _at_once([row[name] for row in rows], shape, dtype)
        if array is None:
            return _rows_by_one(rows, dtypes)
        arrays[name] = array.reshape(len(rows), *shape)
    return arrays


def _rows_by_one(rows: list[Any], dtypes: dict[str, int]) -> dict[str, np.ndarray]:
    """`instances` element by element: the first that TensorFlow Serving refuses is the error."""
    leaves: dict[str, list[Any]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    objects = is_object(rows[0])
    for place, row in enumerate(rows):
        if objects != is_object(row):
            wanted, got = ("object", "list") if objects else ("value/list", "object")
            raise invalid(f"Expecting {wanted} but got {got} at item {place} of input list")
        for name, value in row.items() if objects else [(next(iter(dtypes)), row)]:
            try:
                if name not in dtypes:
                    raise invalid(f"JSON object: does not have named input: {name}")
                shape = _shape(value)
                found = _walk(value, 0, shape, dtypes[name])
                _same_shape(shapes.setdefault(name, shape), shape)
            except ServingError as error:
                key = f" key: {name}" if objects else ""
                raise invalid(
                    f"Failed to process element: {place}{key} of 'instances' list. "
                    f"Error: {error.code.name}: {error.message}"
                ) from None
            leaves.setdefault(name, []).extend(found)
        if objects and row.keys() != dtypes.keys():
            raise invalid(
                f"Failed to process element: {place} of 'instances' list. JSON object: {show(row)} keys must be equal "
                f"to: {','.join(dtypes)}"
            )
    return {name: _array(found, dtypes[name]).reshape(len(rows), *shapes[name]) for name, found in leaves.items()}


def _same_shape(wanted: tuple[int, ...], got: tuple[int, ...]) -> None:
    if math.prod(wanted) != math.prod(got):
        raise invalid(f"Expecting tensor size: {math.prod(wanted)} but got: {math.prod(got)}")
    if wanted != got:
        texts = ["[" + ",".join(map(str, shape)) + "]" for shape in (wanted, got)]
        raise invalid(f"Expecting shape {texts[0]} but got: {texts[1]}")


def _shape(value: Any) -> tuple[int, ...]:
    """The shape that the first elements have: `[[1, 2], [3]]` is `(2, 2)`."""
    shape = []
    while type(value) is list:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    if len(shape) >= MAX_RANK:
        raise invalid(f"JSON lists nested {len(shape)} deep: tensors here have at most {MAX_RANK} dimensions")
    return tuple(shape)


def _at_once(values: list[Any], shape: tuple[int, ...], dtype: int) -> np.ndarray | None:
    """Values of one shape as one flat array; None where only the walk can tell what is wrong, or that it is right."""
    for size in shape:
        if any(type(value) is not list or len(value) != size for value in values):
            return None
        values = list(itertools.chain.from_iterable(values))
    kinds = set(map(type, values))
    if dtype == STRING and kinds <= {str}:
        return _array([value.encode() for value in values], dtype)
    try:
        if (dtype in WHOLE and kinds <= {int}) or (dtype == BOOL and kinds <= {bool}):
            return _array(values, dtype)
        if dtype in LARGEST and kinds <= {int, float}:
            array = np.array(values, np.float64)
            if not array.size or np.abs(array).max() <= LARGEST[dtype]:
                return array.astype(NUMPY[dtype])
    except OverflowError:
        pass
    return None


def _array(leaves: list[Any], dtype: int) -> np.ndarray:
    if dtype == STRING:
        array = np.empty(len(leaves), object)
        array[:] = leaves
        return array
    if dtype not in NUMPY:  # an empty list; of a value, `convert` says this
        raise ServingError("UNIMPLEMENTED", f"Conversion of JSON Value: [] to type: {dtype_name(dtype)}")
    return np.array(leaves, WHOLE.get(dtype, np.float64 if dtype in LARGEST else np.bool_)).astype(NUMPY[dtype])


def _walk(value: Any, level: int, shape: tuple[int, ...], dtype: int) -> list[Any]:
    """The values of a nested list in order, checked one by one."""
    if type(value) is not list:
        if level != len(shape):
            raise invalid(
                f"JSON Value: {show(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        return [convert(value, dtype)]
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    return [leaf for element in value for leaf in _walk(element, level + 1, shape, dtype)]
