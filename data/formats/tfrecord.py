"""TFRecord files of tf.train.Example, read without TensorFlow.

A record is framed as length <uint64>, checksum of the length <uint32>, data, checksum of the data
<uint32>, little-endian; a checksum is the CRC-32C rotated by 15 bits, plus a constant.
"""

import struct
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

import google_crc32c
import numpy as np

from data.formats import files
from data.formats.base import BATCH_ROWS, BLOCK_BYTES, Batch, Block, Format
from data.formats.rows import check_columns, from_values, rejected

HEADER, FOOTER = struct.Struct("<QI"), struct.Struct("<I")
LONGEST = (1 << 31) - 1  # of a protocol buffer
HEAD_ROWS = 100

LENGTH_LOST = "the checksum of the record's length is wrong: the rest of the file is lost"
CUT_SHORT = "the file ends inside the record"
DATA_WRONG = "the checksum of the record's data is wrong"
NO_EXAMPLE = "the record is no tf.train.Example"


class TfRecord(Format):
    """TFRecord of tf.train.Example, plain or gzipped. A feature of one value is a text, of several a list.

    A feature that is a list in one of the first 100 records is one in all. A column that none of
    these records has is a DataError.
    """

    extensions = (".tfrecord", ".tfrecords", "_tfrecord")

    def plan_file(self, path: str, block_bytes: int) -> list[Block]:
        rest = self._whole(path)
        if files.is_gzip(path):
            return [rest]
        blocks, size, end, row = [], rest.end, 0, 1
        with files.open_binary(path) as file:
            while end < size and (length := _length(file.read(HEADER.size))) is not None:
                if end - rest.start >= block_bytes:
                    blocks.append(rest._replace(end=end))
                    rest = rest._replace(start=end, line=row)
                end += HEADER.size + length + FOOTER.size
                row += 1
                file.seek(end)
        return [*blocks, rest] if size else blocks

    def columns(self, path: str) -> tuple[str, ...]:
        return self._whole(path).columns

    def read(self, block: Block, columns: tuple[str, ...]) -> Iterator[Batch]:
        check_columns(block.path, columns, block.columns)
        frames = _frames(block)
        while group := _group(frames):
            kept, rows, rejects = [], [], []
            for frame in group:
                features = None if frame.problem else _features(frame.data)
                if features is None:
                    rejects.append(rejected(block.path, frame.row, frame.problem or NO_EXAMPLE, frame.data))
                else:
                    kept.append(frame)
                    rows.append([_values(features, name, name in block.lists) for name in columns])
            values = list(zip(*rows, strict=True)) or [()] * len(columns)
            lines = np.array([frame.row for frame in kept], np.int64)
            raw = lambda i, kept=kept: kept[i].data  # noqa: E731
            yield from_values(block.path, columns, values, lines, rejects, raw, block.lists)

    def _whole(self, path: str) -> Block:
        """The file as one block, with the features its first records have."""
        block = Block(path, 0, files.size(path))
        names: dict[str, bool] = {}
        for frame in islice(_frames(block), HEAD_ROWS):
            features = None if frame.problem else _features(frame.data)
            for name in features or ():
                names[name] = names.get(name, False) or isinstance(_values(features, name, False), list)
        lists = tuple(name for name, is_list in names.items() if is_list)
        return block._replace(columns=tuple(sorted(names)), lists=lists)


class _Frame(NamedTuple):
    row: int
    data: bytes
    problem: str = ""


def _frames(block: Block) -> Iterator[_Frame]:
    """The records of a block. After a problem with the frame itself nothing more can be found."""
    at, row = block.start, block.line
    with files.open_stream(block.path) as file:
        file.seek(at)
        try:
            while header := file.read(HEADER.size) if at < block.end or files.is_gzip(block.path) else b"":
                length = _length(header)
                if length is None:
                    yield _Frame(row, header, LENGTH_LOST if len(header) == HEADER.size else CUT_SHORT)
                    return
                data = file.read(length + FOOTER.size)
                if len(data) < length + FOOTER.size:
                    yield _Frame(row, data, CUT_SHORT)
                    return
                sound = FOOTER.unpack(data[length:])[0] == _checksum(data[:length])
                yield _Frame(row, data[:length], "" if sound else DATA_WRONG)
                at, row = at + HEADER.size + len(data), row + 1
        except files.DAMAGE as error:
            yield _Frame(row, b"", files.damage_reason(error))


def _group(frames: Iterator[_Frame]) -> list[_Frame]:
    """The frames of the next batch: BATCH_ROWS, or fewer if they are long."""
    group, size = [], 0
    for frame in frames:
        group.append(frame)
        size += len(frame.data)
        if len(group) == BATCH_ROWS or size >= BLOCK_BYTES:
            break
    return group


def _length(header: bytes) -> int | None:
    """Length of the record behind a frame's header, None if the header is not sound."""
    if len(header) < HEADER.size:
        return None
    length, checksum = HEADER.unpack(header)
    return length if checksum == _checksum(header[:8]) and length <= LONGEST else None


def _checksum(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _features(data: bytes) -> Any:
    """Map of name to feature of a serialised tf.train.Example, None if it is none."""
    from google.protobuf.message import DecodeError

    try:
        return _example_class().FromString(data).features.feature
    except DecodeError:
        return None


def _values(features: Any, name: str, is_list: bool) -> Any:
    """A feature's list of values, or its only one; None where the example has none."""
    if name not in features:
        return None
    feature = features[name]
    kind = feature.WhichOneof("kind")
    values = getattr(feature, kind).value if kind else ()
    if kind == "float_list":
        values = [float(str(value)) for value in np.array(values, np.float32)]  # 0.1, not 0.10000000149011612
    if is_list or len(values) > 1:
        return list(values) or None
    return values[0] if values else None


@cache
def _example_class() -> Any:
    """The message class of tf.train.Example, from its published field numbers (tensorflow/core/example)."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="polisemia", syntax="proto3")

    def add(to: Any, name: str, number: int, of: int, repeated: bool = False, **more: Any) -> None:
        label = kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
        to.field.add(name=name, number=number, type=of, label=label, **more)

    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    lists = (("Bytes", kind.TYPE_BYTES), ("Float", kind.TYPE_FLOAT), ("Int64", kind.TYPE_INT64))
    for number, (name, of) in enumerate(lists, 1):
        add(file.message_type.add(name=f"{name}List"), "value", 1, of, repeated=True)
        held = f".polisemia.{name}List"
        add(feature, f"{name.lower()}_list", number, kind.TYPE_MESSAGE, type_name=held, oneof_index=0)
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry", options=descriptor_pb2.MessageOptions(map_entry=True))
    add(entry, "key", 1, kind.TYPE_STRING)
    add(entry, "value", 2, kind.TYPE_MESSAGE, type_name=".polisemia.Feature")
    add(features, "feature", 1, kind.TYPE_MESSAGE, repeated=True, type_name=".polisemia.Features.FeatureEntry")
    add(file.message_type.add(name="Example"), "features", 1, kind.TYPE_MESSAGE, type_name=".polisemia.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("polisemia.Example"))
