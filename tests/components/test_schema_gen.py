"""Tests `components/schema_gen.py`: what is inferred can be frozen; every mistake in it is told at once."""

import tomllib

import pytest

from components.schema_gen import schema_gen
from components.statistics_gen import statistics_gen
from data.errors import ConfigError
from tests.contracts.component import check_component, make_examples, run

TRAIN = [{"text": "good film", "label": "pos", "site a": "x"}, {"text": "bad", "label": "neg", "site a": None}]
FROZEN = """
labels = ["pos", "neg", "\\u0007 \\"odd\\""]
[fields.text]
type = "string"
words = [1, 40]
[fields.label]
type = "string"
"""


def statistics_of(path, rows_by_split, span=""):
    return run(
        statistics_gen, path / f"statistics{span}", {"examples": make_examples(path / span, rows_by_split, span)}
    )


@pytest.fixture(scope="module")
def spans(tmp_path_factory):
    path = tmp_path_factory.mktemp("spans")
    later = {"train": TRAIN, "test": [{"text": "an average film", "label": "meh", "site a": "x"}]}
    return [statistics_of(path, {"train": TRAIN}, "1"), statistics_of(path, later, "2")]


def frozen(path, text):
    (path / "frozen.toml").write_text(text, encoding="utf-8")
    return str(path / "frozen.toml")


def test_inferred_from_all_spans(tmp_path, spans):
    schema = run(schema_gen, tmp_path / "schema", {"statistics": spans})
    text = (schema.path / "schema.toml").read_text()
    assert schema.properties == {"labels": ["meh", "neg", "pos"], "frozen": False}
    assert text.startswith("# ") and "frozen = " in text, "the file says how to freeze it"
    assert tomllib.loads(text) == {
        "labels": ["meh", "neg", "pos"],
        "tolerated": {"missing": 0.0, "empty": 0.0, "duplicates": 0.1, "duplicates_across_splits": 0.01},
        "fields": {
            "label": {"type": "string", "required": True},
            "site a": {"type": "string", "required": False},
            "text": {"type": "string", "required": True, "characters": [1, 30], "words": [1, 6]},
        },
    }


def test_contract(tmp_path, spans):
    check_component(schema_gen, tmp_path, {"statistics": spans})


def test_without_labels(tmp_path):
    statistics = statistics_of(tmp_path, {"train": [{"text": "just a text"}]})
    assert run(schema_gen, tmp_path / "schema", {"statistics": [statistics]}).properties["labels"] == []


def test_what_was_inferred_can_be_frozen_as_it_is(tmp_path, spans):
    inferred = run(schema_gen, tmp_path / "one", {"statistics": spans})
    again = run(schema_gen, tmp_path / "two", {"statistics": []}, frozen=str(inferred.path / "schema.toml"))
    one, two = (tomllib.loads((artifact.path / "schema.toml").read_text()) for artifact in (inferred, again))
    assert one == two
    assert again.properties == {**inferred.properties, "frozen": True}


def test_frozen_keeps_the_order_of_labels_and_fills_in_defaults(tmp_path):
    schema = run(schema_gen, tmp_path / "schema", {"statistics": []}, frozen=frozen(tmp_path, FROZEN))
    written = tomllib.loads((schema.path / "schema.toml").read_text())
    assert written["labels"] == schema.properties["labels"] == ["pos", "neg", '\a "odd"']
    assert written["fields"]["text"] == {"type": "string", "required": True, "words": [1, 40]}
    assert written["tolerated"]["duplicates"] == 0.1


def test_every_problem_of_a_frozen_schema_is_told_at_once(tmp_path):
    text = """
    label = ["pos"]
    labels = ["pos", "pos"]
    [tolerated]
    mising = 0.1
    empty = 1.5
    [fields.text]
    requird = true
    required = "yes"
    words = [9, 3]
    """
    with pytest.raises(ConfigError) as error:
        run(schema_gen, tmp_path / "schema", {"statistics": []}, frozen=frozen(tmp_path, text))
    told = "\n".join(sorted(error.value.problems))
    assert len(error.value.problems) == 8 and all("frozen.toml: " in line for line in error.value.problems)
    for expected in (
        "label: unknown key; did you mean 'labels'?",
        "labels: got ['pos'] more than once; wanted each label once",
        "tolerated.mising: unknown key; did you mean 'missing'?",
        "tolerated.empty: input should be less than or equal to 1, got 1.5",
        "fields.text.requird: unknown key; did you mean 'required'?",
        "fields.text.required: input should be a valid boolean, got 'yes'",
        "fields.text.words: got [9, 3]; wanted [shortest, longest]",
        "fields.text.type: missing; it has no default",
    ):
        assert expected in told


@pytest.mark.parametrize(
    ("text", "told"), [("labels = [", "not valid TOML"), ("", "labels: missing"), (None, "No such file")]
)
def test_a_frozen_schema_that_cannot_be_read(tmp_path, text, told):
    path = frozen(tmp_path, text) if text is not None else str(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match=told):
        run(schema_gen, tmp_path / "schema", {"statistics": []}, frozen=path)
