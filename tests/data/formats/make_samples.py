"""Writes the samples and their golden answers: `python -m tests.data.formats.make_samples`. TFRecords by TensorFlow itself."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SAMPLES = Path(__file__).parents[3] / "data" / "formats" / "samples"
NEVER_CLOSED = "a quote opened on this line is never closed"
GOES_ON = "text follows a closing quote"
BYTE = "text: byte 0xe9 is no text"


def golden(name: str, columns: list[str], files: dict[str, dict]) -> None:
    """files: name -> content (bytes), rows [[line, *values]], rejects [[line, start of the reason]], options."""
    folder = SAMPLES / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, wanted in files.items():
        folder.joinpath(file).write_bytes(wanted.pop("content"))
    lines = [f"    {json.dumps(file)}: {_answers(wanted)}" for file, wanted in files.items()]
    text = f'{{\n  "columns": {json.dumps(columns)},\n  "files": {{\n' + ",\n".join(lines) + "\n  }\n}\n"
    folder.joinpath("golden.json").write_text(text, encoding="utf-8")


def _answers(wanted: dict) -> str:
    def block(rows: list) -> str:
        return "[" + ",".join(f"\n        {json.dumps(row, ensure_ascii=False)}" for row in rows) + ("\n      ]" if rows else "]")

    parts = [f'"options": {json.dumps(wanted["options"])}'] if "options" in wanted else []
    parts += [f'"{key}": {block(wanted.get(key, []))}' for key in ("rows", "rejects")]
    return "{\n      " + ",\n      ".join(parts) + "\n    }"


def separated(name: str, delimiter: str) -> None:
    sample = (
        'id,text,label\n1,"Cómodo, y muy bonito",bueno\n2,"Dijo ""nunca más"" y se fue",malo\n'
        '3,"Dos\n\nlíneas",bueno\n4,Una pantalla de 5" y poco más 🦙,malo\n5,,bueno\n'
    )
    broken = (
        "id,text,label\n1,bien,bueno\n2,falta una columna\n3,sobra,una,columna\n\n"
        '4,"sin cerrar,malo\n5,"cerrada" de más,malo\n6,caf\udce9,bueno\n7,"sigue\nen pie",malo\n\n\n'
    )
    latin = "1,El niño comió piña,bueno\n2,¿Qué más?,malo\n"
    sample, broken, latin = (text.replace(",", delimiter) for text in (sample, broken, latin))
    extension = name
    golden(
        name,
        ["text", "label"],
        {
            f"sample.{extension}": {
                "content": sample.encode(),
                "rows": [
                    [2, f"Cómodo{delimiter} y muy bonito", "bueno"],
                    [3, 'Dijo "nunca más" y se fue', "malo"],
                    [4, "Dos\n\nlíneas", "bueno"],
                    [7, 'Una pantalla de 5" y poco más 🦙', "malo"],
                    [8, "", "bueno"],
                ],
            },
            f"sample.latin-1.{extension}": {
                "content": latin.encode("latin-1"),
                "options": {"encoding": "latin-1", "columns": ["id", "text", "label"]},
                "rows": [[1, "El niño comió piña", "bueno"], [2, "¿Qué más?", "malo"]],
            },
            f"broken.{extension}": {
                "content": broken.encode("utf-8", "surrogateescape"),
                "rows": [[2, "bien", "bueno"], [9, "sigue\nen pie", "malo"]],
                "rejects": [
                    [3, "2 columns where 3 were wanted"],
                    [4, "4 columns where 3 were wanted"],
                    [5, "empty line"],
                    [6, NEVER_CLOSED],
                    [7, GOES_ON],
                    [8, BYTE],
                ],
            },
            f"broken.plain.{extension}": {
                "content": b'text,label\n"uno,a\ndos,"b"\n"tres,3",c\n'.replace(b",", delimiter.encode()),
                "options": {"quoting": False},
                "rows": [[2, '"uno', "a"], [3, "dos", '"b"']],
                "rejects": [[4, "3 columns where 2 were wanted"]],
            },
        },
    )


def jsonl() -> None:
    sample = (
        '{"id": 1, "data": {"text": "Cómodo"}, "label": "bueno", "tags": ["a", "b"], "score": 1.50}\n'
        '{"id": 2, "data": {"text": "Dos\\nlíneas 🦙"}, "label": null, "tags": [], "score": 2e3}\n'
        '{"id": 3, "data": {"text": true}, "label": "malo", "tags": "solo", "label": "el último gana"}\n'
    )
    broken = (
        '{"data": {"text": "bien"}, "label": "bueno"}\n{"data": {"text": "sin cerrar}, "label": "malo"}\n'
        '["una", "lista"]\n\n{"data": {"text": {"es": "un objeto"}}, "label": "malo"}\n'
        '{"data": {"text": "caf\udce9"}}\n{"data": {"text": "\\ud83d"}}\n{"data": {"text": "a"}} {}\n'
        '  {"data": {"text": "sigue"}, "label": 7}\n'
    )
    golden(
        "jsonl",
        ["data.text", "label", "tags", "tags.1", "score"],
        {
            "sample.jsonl": {
                "content": sample.encode(),
                "rows": [
                    [1, "Cómodo", "bueno", ["a", "b"], "b", "1.50"],
                    [2, "Dos\nlíneas 🦙", None, [], None, "2e3"],
                    [3, "true", "el último gana", ["solo"], None, None],
                ],
            },
            "broken.jsonl": {
                "content": broken.replace("}\n", ', "tags": [], "score": 0}\n', 1).encode("utf-8", "surrogateescape"),
                "rows": [[1, "bien", "bueno", [], None, "0"], [9, "sigue", "7", None, None, None]],
                "rejects": [
                    [2, "broken JSON: Expecting ',' delimiter at column 38"],
                    [3, "not one JSON object"],
                    [4, "empty line"],
                    [5, "data.text: an object where a text was wanted"],
                    [6, "data.text: byte 0xe9 is no text"],
                    [7, "data.text: half of a surrogate pair"],
                    [8, "not one JSON object"],
                ],
            },
        },
    )


def text() -> None:
    golden(
        "text",
        ["text"],
        {
            "sample.txt": {
                "content": "\ufeffPrimera línea\r\n\r\n  sangrada 🦙 \r\nla última, sin fin de línea".encode(),
                "rows": [[1, "Primera línea"], [3, "  sangrada 🦙 "], [4, "la última, sin fin de línea"]],
            },
            "sample.file.txt": {
                "content": "Un archivo\n\nes un ejemplo.\n".encode(),
                "options": {"unit": "file"},
                "rows": [[1, "Un archivo\n\nes un ejemplo."]],
            },
            "broken.txt": {
                "content": "bien\ncaf\udce9\n\nsigue\n".encode("utf-8", "surrogateescape"),
                "rows": [[1, "bien"], [4, "sigue"]],
                "rejects": [[2, BYTE]],
            },
        },
    )


def parquet() -> None:
    def write(table: pa.Table, **options) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="none", write_statistics=False, store_schema=True, **options)
        return sink.getvalue().to_pybytes()

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
    golden(
        "parquet",
        ["data.text", "label", "n", "score", "tags"],
        {
            "sample.parquet": {
                "content": write(table, row_group_size=2),
                "rows": [
                    [1, "Cómodo", "bueno", "1", "0.1", ["a", "b"]],
                    [2, "Dos\nlíneas 🦙", "malo", None, "2.5", []],
                    [3, None, "bueno", "-3", None, None],
                ],
            },
            "broken.parquet": {
                "content": write(broken),
                "rows": [[1, "bien", None, None, None, ["x"]], [3, "sigue", None, None, None, ["z"]]],
                "rejects": [[2, "data.text: byte 0xe9 is no text"]],
            },
            "broken.cut.parquet": {
                "content": write(table)[:-20],
                "rejects": [[0, "not a Parquet file that can be read"]],
            },
        },
    )


def tfrecord() -> None:
    import tempfile

    import tensorflow as tf

    def example(**features) -> bytes:
        kinds = {bytes: "bytes_list", float: "float_list", int: "int64_list"}
        lists = {"bytes_list": tf.train.BytesList, "float_list": tf.train.FloatList, "int64_list": tf.train.Int64List}
        made = {}
        for name, values in features.items():
            kind = kinds[type(values[0])]
            made[name] = tf.train.Feature(**{kind: lists[kind](value=values)})
        return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString(deterministic=True)

    def write(*records: bytes) -> bytes:
        with tempfile.NamedTemporaryFile() as file:
            with tf.io.TFRecordWriter(file.name) as writer:
                for record in records:
                    writer.write(record)
            return Path(file.name).read_bytes()

    sample = write(
        example(text=["Cómodo".encode()], label=[1], score=[0.1], tags=[b"a", b"b"]),
        example(text=["Dos\nlíneas 🦙".encode()], label=[-3], tags=[b"solo"]),
        example(score=[2.5]),
    )
    rest = {"label": [1], "score": [1.0], "tags": [b"x", b"y"]}
    wrong_data = bytearray(write(example(text=[b"suma mala"])))
    wrong_data[20] ^= 1
    broken = write(example(text=[b"bien"], **rest), example(text=[b"caf\xe9"])) + bytes(wrong_data) + write(b"\xff")
    broken += write(example(text=[b"sigue"])) + write(example(text=[b"cortado"]))[:-7]
    golden(
        "tfrecord",
        ["text", "label", "score", "tags"],
        {
            "sample.tfrecord": {
                "content": sample,
                "rows": [
                    [1, "Cómodo", "1", "0.1", ["a", "b"]],
                    [2, "Dos\nlíneas 🦙", "-3", None, ["solo"]],
                    [3, None, None, "2.5", None],
                ],
            },
            "broken.tfrecord": {
                "content": broken,
                "rows": [[1, "bien", "1", "1.0", ["x", "y"]], [5, "sigue", None, None, None]],
                "rejects": [
                    [2, "text: byte 0xe9 is no text"],
                    [3, "the checksum of the record's data is wrong"],
                    [4, "the record is no tf.train.Example"],
                    [6, "the file ends inside the record"],
                ],
            },
        },
    )


if __name__ == "__main__":
    separated("csv", ",")
    separated("tsv", "\t")
    jsonl()
    text()
    parquet()
    tfrecord()
