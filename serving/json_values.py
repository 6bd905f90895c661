"""One JSON value as TensorFlow Serving takes it for a dtype, or its error.

Source of every rule and text: tensorflow_serving/util/json_tensor.cc.
A dtype is TensorFlow's number for it, as in a signature's TensorInfo.
"""

import base64
import math
import re
from typing import Any

import numpy as np

from serving.errors import ServingError
from serving.json_text import invalid, is_64_bits, show

FLOAT, DOUBLE, STRING, BOOL = 1, 2, 7, 10
NUMPY: dict[int, Any] = {
    FLOAT: np.float32, DOUBLE: np.float64, 3: np.int32, 4: np.uint8, 5: np.int16, 6: np.int8, STRING: object,
    9: np.int64, BOOL: np.bool_, 22: np.uint32, 23: np.uint64,
}  # fmt: skip
# What a whole number is checked against: 32 bits for the small ones, which TensorFlow Serving then cuts.
WHOLE: dict[int, Any] = {3: np.int32, 4: np.int32, 5: np.int32, 6: np.int32, 9: np.int64, 22: np.uint32, 23: np.uint64}
LARGEST = {FLOAT: 2**24 - 1, DOUBLE: 2**53 - 1}  # whole number taken for a floating-point one
BASE64 = re.compile(r"([A-Za-z0-9+/]*)([=.]{0,2})")


def convert(value: Any, dtype: int) -> Any:
    """The value for an array of that dtype; strings as bytes. Raises ServingError."""
    kind = type(value)
    if dtype == STRING and kind is dict:
        return decode_base64(value)
    if dtype == STRING and kind in (str, bytes):
        return value.encode() if kind is str else value
    if dtype == BOOL and kind is bool:
        return value
    if dtype in LARGEST and kind in (int, float):
        return lossless(value, dtype)
    if dtype in WHOLE and kind is int:
        limits = np.iinfo(WHOLE[dtype])
        if limits.min <= value <= limits.max:
            return value
    if dtype not in NUMPY and kind is not dict:
        raise ServingError("UNIMPLEMENTED", f"Conversion of JSON Value: {show(value)} to type: {dtype_name(dtype)}")
    raise invalid(f"JSON Value: {show(value)} Type: {type_name(value)} is not of expected type: {dtype_name(dtype)}")


def lossless(value: int | float, dtype: int) -> float:
    """A number for a FLOAT or DOUBLE. Raises ServingError where it would not stay the same."""
    if type(value) is int and is_64_bits(value):
        fits = abs(value) <= LARGEST[dtype]
    else:
        fits = not math.isfinite(number := float(value)) or abs(number) <= float(np.finfo(NUMPY[dtype]).max)
    if not fits:
        raise invalid(f"Cannot convert JSON value: {show(value)} to {dtype_name(dtype)} without loss of precision.")
    return float(value)


def is_object(value: Any) -> bool:
    return type(value) is dict and not is_base64(value)


def is_base64(value: Any) -> bool:
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) in (str, bytes)


def decode_base64(value: dict[str, Any]) -> bytes:
    """The bytes in `{"b64": "..."}`; absl's rules: spaces are skipped, padding may be missing."""
    if not is_base64(value):
        raise invalid(f"JSON Value: {show(value)} not formatted correctly for base64 data")
    found = BASE64.fullmatch("".join(str(value["b64"]).split()))
    rest = len(found[1]) % 4 if found else 1
    if not found or rest == 1 or len(found[2]) not in (0, -rest % 4):
        raise invalid("Unable to base64 decode")
    return base64.b64decode(found[1] + "=" * (-rest % 4))


def type_name(value: Any) -> str:
    """RapidJSON's name of a value's type."""
    if value is True or value is False:
        return str(value)
    names = {dict: "Object", list: "Array", str: "String", bytes: "String", int: "Number", float: "Number"}
    return names.get(type(value), "Null")


def dtype_name(dtype: int) -> str:
    """TensorFlow's C++ name: float, double, int32, string, half."""
    from tensorflow.core.framework import types_pb2

    return types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()
