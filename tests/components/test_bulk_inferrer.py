"""Tests `components/bulk_inferrer.py`: a row comes back as it was, with its answer, or is rejected with a reason."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
    return exported.model_artifact(tmp_path_factory.mktemp("models") / "abcd")


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
    assert not list(tmp_path.glob("clash*"))


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
