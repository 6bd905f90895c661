"""Protocol buffers to NumPy and back: tensors, model specs, Examples.

TensorFlow's own `make_ndarray` trusts what it reads; here a tensor that cannot be, or that says it is larger than a
request may be, is an error and never memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.internal.decoder import _DecodeVarint
from tensorflow.core.framework import types_pb2

from serving.errors import ServingError
from serving.spec import ModelSpec

MAX_RANK = 32  # an array of strings with more axes crashes TensorFlow: NumPy has no iterator for it
STRING_BYTES = 24  # of one tstring in a tensor

# dtype: (type of its values in the message, their field).
_INTS, _HALVES = (np.int32, "int_val"), (np.uint16, "half_val")
FIELDS: dict[int, tuple[Any, str]] = {
    types_pb2.DT_FLOAT: (np.float32, "float_val"),
    types_pb2.DT_DOUBLE: (np.float64, "double_val"),
    types_pb2.DT_INT32: _INTS,
    types_pb2.DT_INT16: _INTS,
    types_pb2.DT_INT8: _INTS,
    types_pb2.DT_UINT8: _INTS,
    types_pb2.DT_UINT16: _INTS,
    types_pb2.DT_INT64: (np.int64, "int64_val"),
    types_pb2.DT_UINT32: (np.uint32, "uint32_val"),
    types_pb2.DT_UINT64: (np.uint64, "uint64_val"),
    types_pb2.DT_BOOL: (np.bool_, "bool_val"),
    types_pb2.DT_HALF: _HALVES,
    types_pb2.DT_BFLOAT16: _HALVES,
    types_pb2.DT_COMPLEX64: (np.float32, "scomplex_val"),
    types_pb2.DT_COMPLEX128: (np.float64, "dcomplex_val"),
    types_pb2.DT_STRING: (object, "string_val"),
}


class Tensors(Mapping[str, np.ndarray]):
    """Inputs of a request, each decoded when it is asked for: an error in one comes after those of the signature."""

    def __init__(self, protos: Mapping[str, Any], max_bytes: int):
        self._protos, self._max_bytes = protos, max_bytes

    def __getitem__(self, alias: str) -> np.ndarray:
        try:
            return decode(self._protos[alias], self._max_bytes)
        except (ValueError, OverflowError, IndexError) as error:
            raise ServingError("INVALID_ARGUMENT", f"tensor parsing error: {alias}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._protos)

    def __len__(self) -> int:
        return len(self._protos)


def decode(proto: Any, max_bytes: int) -> np.ndarray:
    """A TensorProto as an array; strings as <object (bytes)>.

    As in TensorFlow, the last value stands for all that are missing. Raises ValueError when it is no tensor, and
    ServingError (RESOURCE_EXHAUSTED) when it would need more than `max_bytes`.
    """
    if proto.dtype not in FIELDS:
        raise ValueError(f"no tensors of dtype {proto.dtype}")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise ValueError(f"no shape: {shape}")
    dtype = np.dtype(tf.as_dtype(proto.dtype).as_numpy_dtype)
    count = int(np.prod(shape, dtype=object))
    size = count * (STRING_BYTES if dtype.hasobject else dtype.itemsize)
    if size > max_bytes:
        text = f"A tensor of {size} bytes is larger than the limit of {max_bytes} bytes"
        raise ServingError("RESOURCE_EXHAUSTED", text)
    flat = _contents(proto.tensor_content, dtype, count) if proto.tensor_content else _values(proto, dtype, count)
    return flat.reshape(shape)


def _contents(content: bytes, dtype: np.dtype, count: int) -> np.ndarray:
    if not dtype.hasobject:
        if len(content) != count * dtype.itemsize:
            raise ValueError(f"{len(content)} bytes for {count} values of {dtype}")
        return np.frombuffer(content, dtype)
    sizes, place = [], 0  # all lengths, then all strings
    for _ in range(count):
        size, place = _DecodeVarint(content, place)
        sizes.append(size)
    if len(content) - place != sum(sizes):
        raise ValueError(f"{len(content) - place} bytes for strings of {sum(sizes)}")
    flat = np.empty(count, object)
    for index, size in enumerate(sizes):
        flat[index] = content[place : place + size]
        place += size
    return flat


def _values(proto: Any, dtype: np.dtype, count: int) -> np.ndarray:
    stored, name = FIELDS[proto.dtype]
    given = getattr(proto, name)
    if dtype.hasobject:
        values = np.empty(len(given), object)
        values[:] = given
    else:
        values = np.array(given, stored)
        if dtype.kind == "c":
            values = values[: len(values) // 2 * 2]
        values = values.view(dtype) if stored is np.uint16 or dtype.kind == "c" else values.astype(dtype)
    if len(values) >= count:
        return values[:count]
    flat = np.full(count, values[-1] if len(values) else b"" if dtype.hasobject else 0, dtype)
    flat[: len(values)] = values
    return flat


def encode(array: np.ndarray, proto: Any, as_content: bool = False) -> None:
    """Fills a TensorProto: typed values as TensorFlow Serving writes them, or bytes."""
    array = np.asarray(array)
    proto.dtype = tf.as_dtype(array.dtype).as_datatype_enum
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if proto.dtype not in FIELDS:
        raise ServingError("INTERNAL", f"an output of dtype {array.dtype} cannot be sent")
    stored, name = FIELDS[proto.dtype]
    flat = np.ascontiguousarray(array).reshape(-1)
    if as_content and stored is not object:
        proto.tensor_content = flat.tobytes()
    else:
        values = flat.view(stored) if stored is np.uint16 or flat.dtype.kind == "c" else flat
        getattr(proto, name).extend(values.tolist())


def examples_of(proto: Any) -> Sequence[bytes]:
    """Serialised tf.train.Examples of an Input, the common context joined to each."""
    if proto.WhichOneof("kind") == "example_list_with_context":
        listed = proto.example_list_with_context
        context = listed.context.SerializeToString()
        return [context + example.SerializeToString() for example in listed.examples]
    return [example.SerializeToString() for example in proto.example_list.examples]


def read_spec(proto: Any) -> ModelSpec:
    choice = proto.WhichOneof("version_choice")
    version = proto.version.value if choice == "version" else None
    return ModelSpec(
        proto.name, version, proto.version_label if choice == "version_label" else "", proto.signature_name
    )


def write_spec(spec: ModelSpec, proto: Any) -> None:
    proto.name, proto.signature_name = spec.name, spec.signature_name
    proto.version.value = spec.version
