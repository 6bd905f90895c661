"""SQuAD's JSON through the whole pipeline, in windows, to answers at the caller's places."""

import json

import pytest
from etils import epath

from components.base import Runtime
from components.bulk_inferrer import predict_file
from components.saved_model import find_model
from pipeline.config import check_config
from pipeline.runner import Run

NAMES = ["Rex", "Tom", "Ana", "Leo", "Eva", "Max"]


def write_squad(path, paragraphs: int) -> None:
    """Long contexts with one name at the end; the question asks who barked."""
    made = []
    for n in range(paragraphs):
        name = NAMES[n % len(NAMES)]
        context = f"{'it rained all day and '} " * (n % 7) + f"then ¡{name}! barked at number {n}"
        answer = {"text": name, "answer_start": context.index(name)}
        made.append({"context": context, "qas": [{"id": str(n), "question": "who barked ?", "answers": [answer]}]})
    made.append({"context": "nobody", "qas": [{"id": "x", "question": "who ?", "answers": [{**answer, "text": "no"}]}]})
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": made}]}))


@pytest.mark.slow
def test_questions_are_answered_in_windows(tmp_path):
    write_squad(tmp_path / "squad.json", 140)
    raw = {
        "name": "qa",
        "task": "question_answering",
        "example_gen": {"input": str(tmp_path / "squad.json")},
        "transform": {"max_tokens": 16, "stride": 4},
        "trainer": {"family": {"name": "word2vec", "width": 16}, "epochs": 30},
        "evaluator": {"resamples": 20, "at_least": {"f1": 0.9}},
    }
    job = Run(check_config(raw), epath.Path(tmp_path / "home"), Runtime())
    job.to("")
    record = job.record()
    assert record["evaluation"]["blessed"], record["evaluation"]["metrics"]
    assert record["evaluation"]["baseline"].keys() >= {"exact_match", "f1"}
    place, properties = find_model(tmp_path / "home" / "qa")
    assert properties["inputs"] == ["question", "context"] and properties["stride"] == 4
    predict_file(place, properties, str(tmp_path / "squad.json"), str(tmp_path / "out.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(rows) == 141
    for row in rows[:140]:
        found = row["prediction"]
        assert row["context"][found["start"] : found["end"]] == found["answer"]
    assert sum(row["prediction"]["answer"] == f"{row['answers'][0]}" for row in rows) > 100
