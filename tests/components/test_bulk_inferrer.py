"""Tests `components/bulk_inferrer.py`: a row comes back as it was, with its answer, or is rejected with a reason."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components import answer_files, answering, saved_model
from components import bulk_inferrer as module
from components.answers import Raw
from components.artifacts import Predictions
from components.base import Runtime
from components.bulk_inferrer import bulk_inferrer, predict_file, predict_texts
from components.saved_model import find_model
from data.errors import ConfigError, DataError
from tests.components import exported

ROWS = [
    {"id": 7, "text": "good good", "extra": {"stars": [4, 4.50]}},
    {"id": 8, "text": "bad", "note": "not in the first row"},
    {"id": 9, "text": ""},
    {"id": 10, "text": "día\u2028 bad", "extra": None},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return exported.model_artifact(tmp_path_factory.mktemp("models") / "abcd", more=True)


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def predict(model, tmp_path, input, output="out.jsonl", **options):
    directory, properties = find_model(model.path)
    counts = predict_file(directory, properties, str(input), str(tmp_path / output), **options)
    return counts, tmp_path / output


def test_rows_keep_their_keys_types_and_order(model, tmp_path):
    counts, out = predict(model, tmp_path, write_jsonl(tmp_path / "in.jsonl", ROWS))
    answered = read_jsonl(out)
    assert counts == (4, 0)
    assert [row.pop("prediction")["label"] for row in answered] == ["good", "bad", "bad", "bad"]
    assert answered == ROWS
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["in.jsonl", "out.jsonl"]


def test_lines_are_matched_with_their_answers_in_a_compressed_file_with_a_bom(model, tmp_path):
    lines = b'{"text": "good"}', b"broken", b'{"n": 1.50, "text": "bad"}', b"", b'{"text": "good good"}'
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + b"\n".join(lines)))
    counts, out = predict(model, tmp_path, tmp_path / "in.jsonl.gz")
    assert counts == (3, 2)
    found = [(row["text"], row.get("n"), row["prediction"]["label"]) for row in read_jsonl(out)]
    assert found == [("good", None, "good"), ("bad", 1.5, "bad"), ("good good", None, "good")]


def test_a_row_that_is_json_is_copied_letter_by_letter(model, tmp_path):
    row = '{ "n" : 1.50, "big": 123456789012345678901234567890, "text": "bad", "t\\u00e9": {"x": [1e5]}  }'
    (tmp_path / "in.jsonl").write_text(f"  {row} \n")
    line = predict(model, tmp_path, tmp_path / "in.jsonl")[1].read_text()
    assert line.startswith(row[:-1].rstrip() + ', "prediction": {"label": "bad", "scores": {"bad": 0.')
    assert json.loads(line).keys() == {"n", "big", "text", "té", "prediction"}


@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet"])
def test_the_text_is_found_wherever_its_column_is(model, tmp_path, output):
    """The text was once taken from the first column, whatever its name."""
    (tmp_path / "in.csv").write_text('id,100 %,text,"a ""b"""\n1,good,bad,x\n2,"good, good",good,\n')
    _, out = predict(model, tmp_path, tmp_path / "in.csv", output)
    rows = read_jsonl(out) if output.endswith("jsonl") else pq.read_table(out).to_pylist()
    assert [row.pop("prediction")["label"] for row in rows] == ["bad", "good"]
    assert rows == [
        {"id": "1", "100 %": "good", "text": "bad", 'a "b"': "x"},
        {"id": "2", "100 %": "good, good", "text": "good", 'a "b"': ""},
    ]


def test_records_and_files_of_text_are_answered(model, tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "in.tfrecord.gz"), "GZIP") as file:
        for text in (b"good", b"bad"):
            bytes_of = {
                n: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for n, v in [("a", b"x"), ("text", text)]
            }
            file.write(tf.train.Example(features=tf.train.Features(feature=bytes_of)).SerializeToString())
    rows = read_jsonl(predict(model, tmp_path, tmp_path / "in.tfrecord.gz")[1])
    assert [(row["a"], row["text"], row["prediction"]["label"]) for row in rows] == [
        ("x", "good", "good"),
        ("x", "bad", "bad"),
    ]
    for name, text in (("1.txt", "good\ngood"), ("2.txt", "bad")):
        (tmp_path / name).write_text(text)
    files = {"name": "text", "unit": "file"}
    rows = read_jsonl(predict(model, tmp_path, tmp_path / "*.txt", format=files)[1])
    assert [(row["file"], row["prediction"]["label"]) for row in rows] == [
        (str(tmp_path / "1.txt"), "good"),
        (str(tmp_path / "2.txt"), "bad"),
    ]


def test_strings_that_are_no_text_beside_the_text_stop_nothing(model, tmp_path):
    broken = pa.array([b"\xff", None], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"broken": broken, "text": ["good", "bad"]}), tmp_path / "in.parquet")
    counts, out = predict(model, tmp_path, tmp_path / "in.parquet")
    assert counts == (2, 0) and [row["broken"] for row in read_jsonl(out)] == ["\ufffd", None]


def test_many_small_batches_keep_their_order(model, tmp_path, monkeypatch):
    monkeypatch.setattr(answering, "MOST_ROWS", 7)
    monkeypatch.setattr(module, "BLOCK_BYTES", 500)
    monkeypatch.setattr(module, "AT_ONCE", 3)
    texts = ["good " * (i % 5) + "bad " * (i % 7) for i in range(300)]
    path = write_jsonl(tmp_path / "in.jsonl", [{"n": n, "text": text} for n, text in enumerate(texts)] + [{"n": -1}])
    told = []
    counts, out = predict(model, tmp_path, path, progress=lambda done, total: told.append((done, total)))
    rows = read_jsonl(out)
    assert counts == (300, 1) and [row["n"] for row in rows] == list(range(300))
    assert all(row["prediction"]["label"] == ("good" if row["n"] % 5 > row["n"] % 7 else "bad") for row in rows)
    assert told == sorted(told) and told[-1][0] == told[-1][1] > 10
    alone = module.predict_texts(*find_model(model.path), {"text": texts})
    assert [row["prediction"] for row in rows] == alone


def test_no_more_batches_are_read_than_are_worked_on():
    read = 0

    def batches():
        nonlocal read
        while read < 100:
            read += 1
            yield read

    for written, made in enumerate(module._ahead(lambda batch: batch * 2, batches(), 2), 1):
        assert made == written * 2 and read - written <= 2
    assert written == 100


def test_prediction_holds_label_and_scores(model, tmp_path):
    prediction = read_jsonl(predict(model, tmp_path, write_jsonl(tmp_path / "in.jsonl", ROWS[:1]))[1])[0]["prediction"]
    assert prediction == {
        "label": "good",
        "scores": {"bad": pytest.approx(0.1192, abs=1e-4), "good": pytest.approx(0.8808, abs=1e-4)},
    }


def test_flat_puts_the_answer_beside_and_refuses_a_clash(model, tmp_path):
    _, out = predict(model, tmp_path, write_jsonl(tmp_path / "in.jsonl", ROWS), flat=True)
    assert read_jsonl(out)[0].items() >= {"id": 7, "label": "good"}.items()
    with pytest.raises(DataError, match=r"in.jsonl:2: the row has a key 'label' of its own"):
        rows = [ROWS[0], {"text": "bad", "label": "?"}]
        predict(model, tmp_path, write_jsonl(tmp_path / "in.jsonl", rows), "clash.jsonl", flat=True)
    (tmp_path / "in.jsonl").write_text('{"text": "bad"}\n{"text": "bad", "predicti\\u006fn": "good \\"label\\""}\n')
    with pytest.raises(DataError, match=r"in.jsonl:2: the row has a key 'prediction' of its own"):
        predict(model, tmp_path, tmp_path / "in.jsonl", "clash.jsonl")
    assert not list(tmp_path.glob("clash*"))
    assert len(read_jsonl(predict(model, tmp_path, tmp_path / "in.jsonl", flat=True)[1])) == 2


def test_rows_that_cannot_be_read_are_rejected_with_line_and_reason(model, tmp_path):
    path = tmp_path / "in.jsonl"
    lines = (
        b'{"text": "good"}',
        b'{"text": ',
        b'{"id": 3}',
        b'{"text": ["a", "b"]}',
        b'{"text": "bad \xff"}',
        b'{"text": ["bad"]}',
    )
    path.write_bytes(b"\n".join(lines) + b"\n")
    counts, out = predict(model, tmp_path, path)
    rejects = {reject["line"]: reject for reject in read_jsonl(tmp_path / "out.jsonl.rejects.jsonl")}
    assert counts == (2, 4) and [row["prediction"]["label"] for row in read_jsonl(out)] == ["good", "bad"]
    assert sorted(rejects) == [2, 3, 4, 5]
    assert rejects[3]["reason"] == "text: no text" and rejects[4]["reason"] == "text: 2 texts where one was wanted"
    assert all(r["file"] == str(path) and r["raw"] for r in rejects.values())


def test_nothing_readable_is_an_error(model, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": null}\n' * 3)
    with pytest.raises(DataError, match="none of 3 rows could be answered: 3 x text: no text"):
        predict(model, tmp_path, path)
    assert not (tmp_path / "out.jsonl").exists()


def test_parquet_in_and_out_keeps_types(model, tmp_path):
    table = pa.table({"n": pa.array([1, None], pa.int64()), "tags": [["a"], []], "opinion": ["good", "bad"]})
    pq.write_table(table, tmp_path / "in.parquet")
    _, out = predict(model, tmp_path, tmp_path / "in.parquet", "out.parquet", fields={"text": "opinion"})
    answered = pq.read_table(out)
    assert answered.drop_columns("prediction").to_pylist() == table.to_pylist()
    assert answered.schema.field("n").type == pa.int64()
    assert answered.column("prediction").combine_chunks().field("label").to_pylist() == ["good", "bad"]


def test_parquet_takes_keys_and_wider_types_as_they_come(model, tmp_path, monkeypatch):
    monkeypatch.setattr(answer_files, "GROUP_BYTES", 1)
    monkeypatch.setattr(answering, "MOST_ROWS", 2)
    rows = [{"text": "good", "n": n} for n in range(4)] + [{"text": "bad", "n": 1.5, "at": {"x": 1}}, {"text": "bad"}]
    rows += [{"text": "good", "at": {"x": None, "y": "z"}}]
    path = write_jsonl(tmp_path / "in.jsonl", rows)
    _, out = predict(model, tmp_path, path, "out.parquet")
    answered = pq.read_table(out)
    assert answered.column("n").to_pylist() == [0.0, 1.0, 2.0, 3.0, 1.5, None, None]
    assert answered.column("at").to_pylist() == [None] * 4 + [{"x": 1, "y": None}, None, {"x": None, "y": "z"}]
    assert [p["label"] for p in answered.column("prediction").to_pylist()] == [row["text"] for row in rows]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl", "out.parquet"]


@pytest.mark.parametrize("most", [2, 100])
def test_values_that_are_no_column_together_are_refused(model, tmp_path, monkeypatch, most):
    monkeypatch.setattr(answer_files, "GROUP_BYTES", 1)
    monkeypatch.setattr(answering, "MOST_ROWS", most)
    for last in ("four", 1.5):  # a whole number of that size is no float
        rows = [{"text": "good", "n": n} for n in (2**53 + 1, 2, 3, last)]
        path = write_jsonl(tmp_path / "in.jsonl", rows)
        with pytest.raises(DataError, match="do not fit one Parquet table .*; JSONL holds any row"):
            predict(model, tmp_path, path, "out.parquet")
        assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


def test_another_signature_is_answered_as_it_is(model, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "MAX_ROWS", 2)  # several calls, each padded to a length of its own
    path = write_jsonl(tmp_path / "in.jsonl", [{"text": text} for text in ("a", "", "good is good", "ab c")])
    _, out = predict(model, tmp_path, path, signature="embed")
    assert [row["prediction"] for row in read_jsonl(out)] == [
        {"length": 1, "pooled": [0.1, 1.0], "sequence": [[0.1, -0.1]]},
        {"length": 0, "pooled": [0.0, 0.0], "sequence": []},
        {"length": 3, "pooled": [1.2, 12.0], "sequence": [[0.4, -0.4], [0.2, -0.2], [0.4, -0.4]]},
        {"length": 2, "pooled": [0.4, 4.0], "sequence": [[0.2, -0.2], [0.1, -0.1]]},
    ]
    _, out = predict(model, tmp_path, path, "out.parquet", signature="embed", flat=True)
    table = pq.read_table(out)
    assert table.schema.field("pooled").type == pa.list_(pa.float32(), 2)
    wanted = [row["prediction"]["sequence"] for row in read_jsonl(tmp_path / "out.jsonl")]
    assert np.float32(table.column("sequence").to_pylist()[2]).tolist() == np.float32(wanted[2]).tolist()
    assert [len(row) for row in table.column("sequence").to_pylist()] == [1, 0, 3, 2]


def test_a_signature_of_examples_is_asked_with_texts(model, tmp_path):
    directory, properties = find_model(model.path)
    (found,) = predict_texts(directory, properties, {"text": ["good"]}, "classify")
    assert found == {"scores": [pytest.approx(0.2689, abs=1e-4), pytest.approx(0.7311, abs=1e-4)]}
    with pytest.raises(ConfigError, match="has no 'embd'; did you mean 'embed'"):
        predict_texts(directory, properties, {"text": ["good"]}, "embd")


def test_floats_are_spelt_as_short_as_they_can_be():
    values = np.float32([0.1, -2.5, 1 / 3, 1e-30, 3.4e38, 16777217, 0, np.inf])
    assert Raw({"x": values}).json()[:2] == ['{"x": 0.1}', '{"x": -2.5}']
    many = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    for array in (values, many, many * np.float32(1e9)):
        spelt = [json.loads(row)["x"] for row in Raw({"x": array}).json()]
        assert np.float32(spelt).tolist() == array.tolist()


def test_a_column_of_another_name_is_found_as_it_was_in_training_or_asked_for(model, tmp_path):
    (tmp_path / "in.csv").write_text("opinion,id\ngood,1\n")
    directory, properties = find_model(model.path)
    with pytest.raises(ConfigError, match="no column 'text' for.*known: id, opinion; say .*: --field text=COLUMN"):
        predict_file(directory, properties, str(tmp_path / "in.csv"), str(tmp_path / "out.jsonl"))
    trained = {**properties, "fields": {"text": "opinion", "label": "x"}}
    predict_file(directory, trained, str(tmp_path / "in.csv"), str(tmp_path / "out.jsonl"))
    assert read_jsonl(tmp_path / "out.jsonl")[0].items() >= {"opinion": "good", "id": "1"}.items()


def test_texts_on_the_command_line(model):
    directory, properties = find_model(model.path)
    assert [p["label"] for p in predict_texts(directory, properties, {"text": ["good", "bad \udcff"]})] == [
        "good",
        "bad",
    ]
    with pytest.raises(ConfigError, match="got 1 of text and 1 of text_pair; wanted as many of each of: text"):
        predict_texts(directory, properties, {"text": ["a"], "text_pair": ["b"]})


def test_pairs_are_answered_together(tmp_path):
    model = exported.model_artifact(tmp_path / "pairs", inputs=("text", "text_pair"))
    (tmp_path / "in.tsv").write_text("text\ttext_pair\ngood\tbad bad\nbad\tgood good\n")
    assert [r["prediction"]["label"] for r in read_jsonl(predict(model, tmp_path, tmp_path / "in.tsv")[1])] == [
        "bad",
        "good",
    ]


def test_the_stage_answers_many_blocks_on_beam(model, tmp_path):
    texts = ["good " * (i % 5) + "bad " * (i % 7) + "x" * 600 for i in range(4000)]
    path = tmp_path / "in.jsonl"
    write_jsonl(path, [{"n": n, "text": text} for n, text in enumerate(texts)] + [{"n": -1}])
    predictions = Predictions(tmp_path / "predictions")
    predictions.clear()
    runtime = Runtime({"direct_num_workers": 2})
    bulk_inferrer(model, predictions, runtime, input=str(path), output="parquet")
    predictions.commit(stage="bulk_inferrer")
    shards = predictions.files("predictions/", ".parquet")
    answered = pa.concat_tables([pq.read_table(shard) for shard in shards]).to_pylist()
    assert len(shards) == 3 and predictions.properties == {"rows": 4000, "rejected": 1, "reasons": {"text: no text": 1}}
    assert [row["n"] for row in answered] == list(range(4000)) and [row["text"] for row in answered] == texts
    assert all(r["prediction"]["label"] == ("good" if r["n"] % 5 > r["n"] % 7 else "bad") for r in answered)
    (rejects,) = predictions.files("rejects/")
    assert read_jsonl(tmp_path / "predictions" / "rejects" / rejects.split("/")[-1])[0]["line"] == 4001
