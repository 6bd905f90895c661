"""Tests `components/example_gen.py`: what goes in comes out once, in the right split, or is rejected with a reason."""

import gzip
import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.example_gen import example_gen
from data import schema
from data.errors import ConfigError, DataError
from data.formats import Format
from tests.contracts.component import check_component, run


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def made(**params):
    """The artifact and its rows by split, of a run in the working directory."""
    artifact = run(example_gen, Path("out").absolute(), {}, **{"task": "classification", **params})
    rows = {
        split: [row for s in artifact.shards(split) for row in pq.read_table(s).to_pylist()] for split in schema.SPLITS
    }
    return artifact, rows


def rejects(artifact) -> list[dict]:
    return [json.loads(line) for path in artifact.files("rejects/") for line in Path(path).read_text().splitlines()]


def write(path: str, text: str, encoding: str = "utf-8") -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding)
    return path


def test_keeps_the_contract_of_a_stage(tmp_path):
    write("a.csv", "text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(40)) + ",a\n")
    check_component(example_gen, tmp_path, {}, task="classification", input="a.csv", max_rejected=0.1)


def test_a_row_goes_to_the_same_split_whatever_stands_around_it():
    lines = [f"text number {n},{'ab'[n % 2]}\n" for n in range(300)]
    write("a.csv", "text,label\n" + "".join(lines))
    _, first = made(input="a.csv")
    write("a.csv", "text,label\n" + "".join(reversed(lines[:200])) + "".join(f"new {n},a\n" for n in range(50)))
    _, second = made(input="a.csv")
    where = {row["text"]: split for split, rows in first.items() for row in rows}
    assert {row["text"]: split for split, rows in second.items() for row in rows if row["text"] in where} == {
        text: split for text, split in where.items() if int(text.split()[-1]) < 200
    }
    assert [round(len(first[split]) / 300, 1) for split in schema.SPLITS] == [0.8, 0.1, 0.1]


def test_composed_and_decomposed_texts_share_a_key():
    write("a.csv", "text,label\ncaf\u00e9 bueno,a\n  cafe\u0301 bueno ,a\notro,b\n")
    _, rows = made(input="a.csv", splits={"train": 1.0})
    one, other, third = (row["key"] for row in rows["train"])
    assert one == other != third
    assert rows["train"][1]["text"] == "  cafe\u0301 bueno ", "the text itself stays as it was"


def test_a_text_stays_in_one_split_whatever_prefix_says_is_to_be_done_with_it():
    lines = [f"{prefix},text {n},target\n" for n in range(60) for prefix in ("summarize:", "translate:")]
    write("a.csv", "prefix,text,target\n" + "".join(lines))
    _, rows = made(task="text_to_text", input="a.csv", fields={"prefix": "prefix"})
    where = {split: {row["text"].split(": ")[1] for row in found} for split, found in rows.items()}
    assert all(where.values()) and sum(map(len, where.values())) == 60
    assert sum(map(len, rows.values())) == 120


def test_labels_from_folders_texts_from_files():
    for label in ("pos", "neg"):
        for n in range(6):
            write(f"imdb/train/{label}/{n}.txt", f"{label} review {n}\nsecond line")
    artifact, rows = made(
        input="imdb/train/{label}/*.txt", format={"name": "text", "unit": "file"}, splits={"train": 1.0}
    )
    assert artifact.properties["labels"] == ["neg", "pos"]
    assert (
        sorted((row["label"], row["text"][:3]) for row in rows["train"]) == [("neg", "neg")] * 6 + [("pos", "pos")] * 6
    )


def test_a_file_a_label_a_line_a_text_in_latin_1():
    write("mr.pos", "canción\nbuena\n", "latin-1")
    write("mr.neg", "mala\n", "latin-1")
    _, rows = made(input="mr.{label}", format={"name": "text", "encoding": "latin-1"}, splits={"train": 1.0})
    assert [(row["label"], row["text"]) for row in rows["train"]] == [
        ("neg", "mala"),
        ("pos", "canción"),
        ("pos", "buena"),
    ]


def test_given_splits_and_dev():
    write("train.tsv", "".join(f"text {n}\t{n % 2}\n" for n in range(200)))
    write("dev.tsv", "dev text\t1\n")
    columns = {"name": "tsv", "columns": ["text", "label"], "quoting": False}
    _, rows = made(input={"train": "train.tsv", "dev": "dev.tsv"}, format=columns)
    assert [row["text"] for row in rows["test"]] == ["dev text"]
    assert 8 <= len(rows["valid"]) <= 35 and len(rows["train"]) + len(rows["valid"]) == 200
    _, rows = made(input={"train": "train.tsv", "dev": "dev.tsv", "test": "dev.tsv"}, format=columns)
    assert [len(rows[split]) for split in schema.SPLITS] == [200, 1, 1]


def test_pairs_weights_kept_columns_and_nested_keys():
    rows = [{"a": {"q": f"question {n}"}, "b": f"answer {n}", "y": n % 2, "w": 0.5 + n, "shop": "x"} for n in range(3)]
    rows.append({**rows[0], "a": {"q": "bad weight"}, "w": "heavy"})
    rows.append({**rows[0], "a": {"q": "negative weight"}, "w": -1})
    write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    fields = {"text": "a.q", "text_pair": "b", "label": "y", "weight": "w"}
    artifact, found = made(input="a.jsonl", fields=fields, keep=["shop"], splits={"train": 1.0}, max_rejected=0.5)
    one = {k: v for k, v in found["train"][1].items() if k != "key"}
    assert one == {"text": "question 1", "text_pair": "answer 1", "label": "1", "weight": 1.5, "shop": "x"}
    assert [(r["line"], r["reason"]) for r in rejects(artifact)] == [
        (n, "weight: not a number of 0 or more") for n in (4, 5)
    ]


def test_bad_rows_are_rejected_with_file_line_and_text():
    with gzip.open("a.csv.gz", "wb") as file:
        file.write(b"text,label\nfine,a\n,a\nno label,\n\xff\xfe,a\n" + b"x" * 60 + b",b\none,two,three\nfine too,b\n")
    artifact, rows = made(input="a.csv.gz", splits={"train": 1.0}, max_rejected=0.9, max_characters=50)
    assert [row["text"] for row in rows["train"]] == ["fine", "fine too"]
    found = {r["line"]: r["reason"] for r in rejects(artifact)}
    assert found[3] == "text: empty" and found[4] == "label: empty" and found[6] == "text: over 50 characters"
    assert "no text in this encoding" in found[5] and "3 columns" in found[7]
    assert all(r["file"] == "a.csv.gz" and r["raw"] for r in rejects(artifact))
    assert artifact.properties["rejected"] == len(found) == 5


def test_too_many_rejects_stop_the_run_and_say_where_they_are():
    write("a.csv", "text,label\ngood,a\n,a\n,b\n")
    with pytest.raises(
        DataError, match=r"2 of 3 rows were rejected, more than max_rejected = 0.1: 2 x text: empty.*rejects"
    ):
        made(input="a.csv", max_rejected=0.1)


def test_wrong_names_are_told_before_anything_runs():
    write("a.csv", "text,label\ngood,a\n")
    with pytest.raises(ConfigError) as error:
        made(input="a.csv", fields={"label": "labl"}, keep=["shopp"])
    assert [p.split(":")[0] for p in error.value.problems] == ["example_gen.fields.label", "example_gen.keep[0]"]
    assert "did you mean 'label'" in error.value.problems[0]
    with pytest.raises(ConfigError, match="wanted train and some of"):
        made(input={"test": "a.csv"})
    with pytest.raises(ConfigError, match="wanted a share above 0 for train"):
        made(input="a.csv", splits={"test": 1.0})
    assert not Path("out/train").exists()


def test_several_files_and_blocks_keep_every_row_once(monkeypatch):
    pick = random.Random(0)
    for n in range(3):
        rows = [f'"a, ""quoted"" text {n} {i}\nwith a second line",{pick.choice("ab")}\n' for i in range(100)]
        write(f"part-{n}.csv", "text,label\n" + "".join(rows))
    monkeypatch.setitem(Format.plan.__kwdefaults__, "block_bytes", 2000)
    artifact, rows = made(input="part-*.csv")
    assert len(artifact.shards("train")) > 6
    texts = [row["text"] for split in rows.values() for row in split]
    assert len(texts) == len(set(texts)) == 300


def test_broken_files_of_every_kind_never_show_a_traceback():
    """A truncated copy, a copy with random bytes, one of another encoding: counts in = counts kept + rejected."""
    pick = random.Random(1)
    good = ("text,label\n" + "".join(f'"text, number {n}",{"ab"[n % 2]}\n' for n in range(60))).encode()
    for n in range(12):
        broken = bytearray(good)
        for _ in range(pick.randrange(1, 12)):
            broken[pick.randrange(12, len(broken))] = pick.randrange(256)
        Path(f"b-{n:02d}.csv").write_bytes(bytes(broken[: pick.randrange(200, len(broken))]))
    artifact, rows = made(input="b-*.csv", max_rejected=1.0)
    kept = sum(len(split) for split in rows.values())
    assert kept == sum(artifact.properties["rows"].values()) > 100
    assert len(rejects(artifact)) == artifact.properties["rejected"] == sum(artifact.properties["reasons"].values()) > 5
