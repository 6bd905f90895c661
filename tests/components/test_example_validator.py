"""Tests `components/example_validator.py`: each kind of anomaly is found where it is planted, and nowhere else."""

import json

import pytest

from components.example_validator import example_validator
from components.schema_gen import schema_gen
from components.statistics_gen import statistics_gen
from data.errors import DataError
from tests.contracts.component import check_component, make_examples, run

FROZEN = """
labels = ["neg", "pos"]
tolerated = { duplicates = 0.5 }
[fields.text]
type = "string"
words = [2, 10]
[fields.label]
type = "string"
[fields.site]
type = "string"
required = false
"""


def rows(n=100, positive=0.5, text="this film is number {i} of many", **more):
    return [{"text": text.format(i=i), "label": "pos" if i < positive * n else "neg", **more} for i in range(n)]


def numbered(first, n=20, **more):
    """Rows that no other call repeats."""
    return [{**row, "text": f"{row['text']} {first + i}"} for i, row in enumerate(rows(n, **more))]


SOUND = {"train": rows(), "valid": numbered(1000), "test": numbered(2000)}


@pytest.fixture(scope="module")
def describe(tmp_path_factory):
    """Statistics of a span of rows, made once."""
    made = {}

    def go(rows_by_split, span):
        key = json.dumps([rows_by_split, span])
        if key not in made:
            path = tmp_path_factory.mktemp("span")
            examples = make_examples(path / "examples", rows_by_split, span)
            made[key] = run(statistics_gen, path / "statistics", {"examples": examples})
        return made[key]

    return go


@pytest.fixture
def inputs_of(describe, tmp_path):
    """What example_validator takes, for spans of rows."""

    def go(*spans, frozen=FROZEN):
        statistics = [describe(rows_by_split, str(n)) for n, rows_by_split in enumerate(spans, 1)]
        (tmp_path / "frozen.toml").write_text(frozen)
        path = str(tmp_path / "frozen.toml") if frozen else ""
        schema = run(schema_gen, tmp_path / "schema", {"statistics": statistics}, frozen=path)
        return {"statistics": statistics, "schema": schema}

    return go


@pytest.fixture
def validate(inputs_of, tmp_path):
    """The anomalies of spans of rows, by (span, split, what)."""

    def go(*spans, frozen=FROZEN, **params):
        anomalies = run(example_validator, tmp_path / "anomalies", inputs_of(*spans, frozen=frozen), **params)
        found = json.loads((anomalies.path / "anomalies.json").read_text())
        assert anomalies.properties == {"anomalies": len(found), "messages": [one["message"] for one in found]}
        return {(one["span"], one["split"], one["what"]): one for one in found}

    return go


def test_sound_data_has_no_anomaly(validate):
    assert validate(SOUND) == {}
    assert validate(SOUND, SOUND, frozen="") == {}


def test_contract(inputs_of, tmp_path):
    inputs = inputs_of(SOUND, {**SOUND, "train": rows(positive=1.0)})
    check_component(example_validator, tmp_path / "twice", inputs)


def test_unknown_and_absent_labels(validate):
    found = validate(
        {**SOUND, "train": rows(positive=1.0), "test": SOUND["test"] + [{"text": "a new one", "label": "meh"}]}
    )
    unknown = found["1", "test", "unknown label"]
    assert (unknown["got"], unknown["wanted"], unknown["severity"]) == ("'meh' in 1 rows", "one of neg, pos", "error")
    assert unknown["message"] == "span 1, test: unknown label: got 'meh' in 1 rows; wanted one of neg, pos"
    assert found["1", "train", "absent label"]["got"] == "no row of neg"
    assert {key[1:] for key in found} == {
        ("test", "unknown label"),
        ("train", "absent label"),
        ("valid", "share of label 'neg'"),
        ("test", "share of label 'pos'"),
    }


def test_missing_fields_and_wrong_types(validate):
    some = rows(site="x")
    some[0]["site"] = None
    schema = FROZEN.replace("required = false", "") + 'characters = [1, 9]\n[fields.text_pair]\ntype = "string"\n'
    found = validate(
        {**SOUND, "train": some},
        frozen=schema.replace('[fields.label]\ntype = "string"', "[fields.label]\ntype = 'double'"),
    )
    assert found["1", "train", "no 'site'"]["got"] == "1 of 100 rows (1%)"
    assert found["1", "train", "no 'text_pair'"]["got"] == "100 of 100 rows (100%)"
    assert found["1", "train", "type of 'label'"]["wanted"] == "double"
    assert {one["severity"] for one in found.values()} == {"error"}


@pytest.mark.parametrize(("odd", "got"), [("word " * 11, "7 to 11"), ("word", "1 to 7")])
def test_lengths_out_of_bounds(validate, odd, got):
    found = validate({**SOUND, "train": rows() + [{"text": odd, "label": "pos"}]})
    assert [(key, one["got"]) for key, one in found.items()] == [(("1", "train", "length of 'text' in words"), got)]
    assert found["1", "train", "length of 'text' in words"]["wanted"] == "2 to 10 (fields.text.words)"


def test_texts_without_words(validate):
    found = validate({**SOUND, "train": rows() + [{"text": "\u00a0", "label": "pos"}]})
    assert found["1", "train", "'text' without a word"]["got"] == "1 of 101 rows (0.99%)"


def test_empty_splits(validate):
    found = validate({"train": rows()})
    assert {key: one["severity"] for key, one in found.items()} == {
        ("1", "valid", "empty split"): "warning",
        ("1", "test", "empty split"): "warning",
    }
    assert validate({"test": rows()})["1", "train", "empty split"]["severity"] == "error"


def test_a_test_split_that_one_span_has_for_all(validate):
    found = validate({"train": rows(), "test": rows(40)}, {"train": rows()})
    assert {key for key in found if key[2] == "empty split"} == {(n, "valid", "empty split") for n in ("1", "2")}


def test_duplicates(validate):
    found = validate({**SOUND, "train": rows() * 3, "test": SOUND["test"] + rows(1)})
    assert found["1", "train", "duplicates inside the split"]["got"] == "200 of 300 rows (66.7%)"
    assert found["1", "test", "rows that train has too"]["got"] == "1 of 21 rows (4.76%)"
    assert len(found) == 2


def test_shifts_inside_a_span(validate):
    found = validate(
        {**SOUND, "test": numbered(0, positive=1.0, text="other words than those above stand in here {i}" * 2)}
    )
    assert found["1", "test", "share of label 'neg'"]["got"] == "0%"
    assert "50% as in span 1, train" in found["1", "test", "share of label 'neg'"]["wanted"]
    assert "7.0 as in span 1, train" in found["1", "test", "mean length of 'text' in words"]["wanted"]
    unknown = found["1", "test", "running words unknown to span 1, train"]
    assert float(unknown["got"].rstrip("%")) > 80
    assert all(split == "test" for _, split, _ in found)


def test_a_small_split_raises_no_false_alarm(validate):
    """Three rows of one label out of two are no sign of a shift."""
    assert validate({**SOUND, "test": numbered(0, 3, positive=1.0)}) == {}


def test_the_last_span_against_those_before_it(validate):
    drifted = {split: numbered(9000 + 100 * n, positive=0.9) for n, split in enumerate(("valid", "test"))}
    drifted["train"] = rows(positive=0.9, text="{i} cats sat")
    found = validate(SOUND, SOUND, drifted, frozen="")
    shift = found["3", "train", "share of label 'neg'"]
    assert (shift["got"], shift["severity"]) == ("10%", "warning")
    assert shift["wanted"].startswith("50% as in the spans before it")
    assert found["3", "train", "mean length of 'text' in words"]["wanted"].startswith("7.0 as in the spans before it")
    assert found["3", "train", "running words unknown to the spans before it"]["got"] == "66.7%"
    assert not any(span != "3" for span, _, _ in found)


def test_limits_are_params(validate):
    off = {"max_label_shift": 1.0, "max_length_shift": 9.0, "max_unknown_words": 1.0}
    drifted = {**SOUND, "test": numbered(0, positive=1.0, text="other words than those above stand in here {i}" * 2)}
    assert validate(drifted, frozen="", **off) == {}


def test_stop_lists_every_anomaly_and_what_to_do(validate, tmp_path):
    with pytest.raises(DataError) as error:
        validate(
            {**SOUND, "train": rows(positive=1.0) + [{"text": "a new one", "label": "meh"}], "test": []},
            on_anomaly="stop",
        )
    told = str(error.value)
    for expected in (
        "4 anomalies",
        "span 1, train: unknown label",
        "absent label",
        "span 1, test: empty split",
        "frozen",
    ):
        assert expected in told
    assert (tmp_path / "anomalies" / "anomalies.json").exists()
    assert not (tmp_path / "anomalies" / "manifest.json").exists()
    assert validate(SOUND, on_anomaly="stop") == {}
