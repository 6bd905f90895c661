"""Writes the binary samples, TFRecords by TensorFlow itself: `python -m tests.data.formats.make_samples`.

Their golden answers, like the text samples, are edited by hand.
"""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SAMPLES = Path(__file__).parents[3] / "data" / "formats" / "samples"


def parquet() -> dict[str, bytes]:
    table = pa.table(
        {
            "data": pa.array([{"text": "Cómodo"}, {"text": "Dos\nlíneas 🦙"}, None]),
            "label": pa.array(["bueno", "malo", "bueno"]).dictionary_encode(),
            "n": pa.array([1, None, -3], pa.int16()),
            "score": pa.array([0.1, 2.5, None], pa.float32()),
            "tags": pa.array([["a", "b"], [], None], pa.list_(pa.large_string())),
        }
    )
    broken = pa.table({"data": pa.array([{"text": b"bien"}, {"text": b"caf\xe9"}, {"text": b"sigue"}])})
    for name in ("label", "n", "score"):
        broken = broken.append_column(name, pa.nulls(3, pa.string()))
    broken = broken.append_column("tags", pa.array([["x"], ["y"], ["z"]]))
    sample = parquet_bytes(table, row_group_size=2)
    return {"sample.parquet": sample, "broken.parquet": parquet_bytes(broken), "broken.cut.parquet": sample[:-20]}


def parquet_bytes(table: pa.Table, **options) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none", write_statistics=False, **options)
    return sink.getvalue().to_pybytes()


def tfrecord() -> dict[str, bytes]:
    sample = tfrecord_bytes(
        example(text=["Cómodo".encode()], label=[1], score=[0.1], tags=[b"a", b"b"]),
        example(text=["Dos\nlíneas 🦙".encode()], label=[-3], tags=[b"solo"]),
        example(score=[2.5]),
    )
    wrong_data = bytearray(tfrecord_bytes(example(text=[b"suma mala"])))
    wrong_data[20] ^= 1
    sound = example(text=[b"bien"], label=[1], score=[1.0], tags=[b"x", b"y"])
    broken = tfrecord_bytes(sound, example(text=[b"caf\xe9"])) + bytes(wrong_data) + tfrecord_bytes(b"\xff")
    broken += tfrecord_bytes(example(text=[b"sigue"])) + tfrecord_bytes(example(text=[b"cortado"]))[:-7]
    return {"sample.tfrecord": sample, "broken.tfrecord": broken}


def example(**features) -> bytes:
    """A serialised tf.train.Example."""
    import tensorflow as tf

    kinds = {bytes: ("bytes_list", tf.train.BytesList), float: ("float_list", tf.train.FloatList)}
    made = {}
    for name, values in features.items():
        kind, message = kinds.get(type(values[0]), ("int64_list", tf.train.Int64List))
        made[name] = tf.train.Feature(**{kind: message(value=values)})
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString(deterministic=True)


def tfrecord_bytes(*records: bytes) -> bytes:
    import tensorflow as tf

    with tempfile.NamedTemporaryFile() as file:
        with tf.io.TFRecordWriter(file.name) as writer:
            for record in records:
                writer.write(record)
        return Path(file.name).read_bytes()


if __name__ == "__main__":
    for format_name, made in {"parquet": parquet(), "tfrecord": tfrecord()}.items():
        for file_name, content in made.items():
            (SAMPLES / format_name / file_name).write_bytes(content)
