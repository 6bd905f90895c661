"""Tests `polisemia predict` for models whose inputs have names of their own."""

import json

import pytest

from components.saved_model import write_properties
from models.build import build_model, inputs_of
from models.signatures import export
from pipeline.cli import main
from tests.contracts import tiny


def exported(task_name, place):
    task, family = tiny.task(task_name), tiny.family("lstm")
    labels, inputs = tiny.examples(task_name)[1], inputs_of(task, pairs=False)
    model = build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, labels, pairs=True)
    export(model, family, task, tiny.WORDS, labels, tiny.MAX_TOKENS, inputs, place)
    properties = {"task": task_name, "labels": labels, "inputs": inputs, "max_tokens": tiny.MAX_TOKENS}
    write_properties(place, properties)
    return place


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return exported("question_answering", tmp_path_factory.mktemp("answers"))


def predict(capsys, model, *arguments):
    code = 0
    try:
        main(["predict", str(model), *arguments])
    except SystemExit as stop:
        code = stop.code
    found = capsys.readouterr()
    return code or 0, [json.loads(line) for line in found.out.splitlines()], found.err


def test_a_question_is_asked_of_its_context(answers, capsys):
    given = "question=bad = good?", "context=very good film", "question=dull", "context=fun"
    code, rows, err = predict(capsys, answers, *(part for each in given for part in ("--given", each)))
    assert code == 0, err
    found = [row.pop("prediction") for row in rows]
    assert rows == [
        {"question": "bad = good?", "context": "very good film"},
        {"question": "dull", "context": "fun"},
    ]
    for row, answer in zip(rows, found, strict=True):
        assert answer["answer"] and row["context"][answer["start"] : answer["end"]] == answer["answer"]


def test_texts_stand_beside_inputs_of_other_names(tmp_path, capsys):
    model = exported("word_in_context", tmp_path)
    options = ["--text", "good film", "--text-pair", "good film", "--given", "place_pair=5:9"] * 2
    code, rows, err = predict(capsys, model, *options, "--given", "place=5:9", "--given", "place=0:4")
    assert code == 0, err
    assert [row["place"] for row in rows] == ["5:9", "0:4"]
    same, other = (row["prediction"]["cosine"] for row in rows)
    assert same != pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize(
    "options, error",
    [
        (["--text", "good"], "got 1 of text; wanted as many of each of: question, context (--given question=TEXT --g"),
        (["--given", "question=good"], "got 1 of question; wanted as many of each of: question, context"),
        (["--given", "question=a", "--given", "contxt=b"], "got 1 of question and 1 of contxt; wanted as many of each"),
        (["--given", "question"], "--given question: wanted INPUT=TEXT, such as question='Who came?'"),
        (["--given", "question=a", "--input", "x", "--output", "y"], "give --text or --given (once or more), or --in"),
    ],
)
def test_what_the_model_wants_is_named(answers, capsys, options, error):
    code, rows, err = predict(capsys, answers, *options)
    assert (code, rows) == (2, []) and error in err
