"""Tasks that no other test here runs, each from a file as it is published to a served model that answers a file."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
from etils import epath

from components.base import Runtime
from components.bulk_inferrer import predict_file
from components.saved_model import find_model
from models.evaluation import JUDGES
from pipeline.config import check_config
from pipeline.runner import Run
from tests.contracts import tiny

SUBJECTS, VERBS, PLACES = (
    ["Ana", "Leo", "Rex", "Eva"],
    ["saw", "left", "likes"],
    ["Rome", "Bonn", "Lima", "Oslo", "Cork"],
)


def sentence(n: int) -> list[str]:
    return [SUBJECTS[n % 4], VERBS[n % 3], PLACES[n % 5], f"w{n % 7}"]


def text(n: int) -> str:
    return " ".join(sentence(n))


def conll(n: int) -> str:
    tags = ("B-PER", "O", "B-LOC", "O")
    return "".join(f"{token} {tag}\n" for token, tag in zip(sentence(n), tags, strict=True)) + "\n"


def in_context(n: int) -> str:
    return f"{VERBS[n % 3]}\tV\t1-1\t{text(n)}\t{text(n + 3)}\n"


class Case(NamedTuple):
    """name: of the file. row: its n-th. shape: what an answer holds. slow: another is much like it."""

    name: str
    row: Callable[[int], str]
    shape: Callable[[dict], bool]
    header: str = ""
    format: str = ""
    config: Mapping[str, dict] = {}
    slow: bool = False


def is_tagged(found) -> bool:
    spans = [(each["type"], each["end"] - each["start"], len(each["text"])) for each in found["entities"]]
    return list(found) == ["entities"] and all(
        kind in ("PER", "LOC") and wide == long > 0 for kind, wide, long in spans
    )


def is_labelled(*names):
    return lambda found: found["label"] in names and list(found["scores"]) == list(names) and is_share(found["scores"])


def is_share(scores) -> bool:
    return sum(scores.values()) == pytest.approx(1, abs=1e-4)


def is_likely(tokens: int):
    """Of a text of four tokens, and of what ends it where that is told too."""
    return lambda found: found["tokens"] == tokens and found["log_likelihood"] < 0 and 1 < found["perplexity"] < 100


TASKS = {
    "tagging": Case("rows.conll", conll, is_tagged, config={"example_gen": {"fields": {"tokens": "1", "tags": "2"}}}),
    "multi_label": Case(
        "rows.jsonl",
        lambda n: json.dumps({"text": text(n), "labels": sentence(n)[: n % 3]}) + "\n",
        lambda found: (
            {name for name, score in found["scores"].items() if score >= 0.35} == set(found["labels"]) != set()
        ),
        config={"example_gen": {"fields": {"label": "labels"}}, "trainer": {"head": {"threshold": 0.35}}},
        slow=True,
    ),
    "ordinal": Case(
        "rows.csv", lambda n: f"{text(n)},{1 + n % 3}\n", is_labelled("1", "2", "3"), header="text,label\n", slow=True
    ),
    "word_in_context": Case("rows.data.txt", in_context, is_labelled("F", "T"), format="wic"),
    "text_to_text": Case(
        "rows.tsv",
        lambda n: f"{text(n)}\t{' '.join(reversed(sentence(n)))}\n",
        lambda found: len(found["text"].split()) <= 5 and found["score"] < 0,
        header="text\ttarget\n",
        config={"trainer": {"head": {"generation": {"max_tokens": 5}}}},
    ),
    "masked_language_modeling": Case("rows.txt", lambda n: text(n) + "\n", is_likely(4)),
    "bidirectional_language_modeling": Case("rows.txt", lambda n: text(n) + "\n", is_likely(5), slow=True),
}


def write(folder, case: Case, numbers: range) -> str:
    folder.mkdir()
    path = folder / case.name
    path.write_text(case.header + "".join(map(case.row, numbers)))
    if case.format == "wic":
        (folder / "rows.gold.txt").write_text("".join("FT"[n % 2] + "\n" for n in numbers))
    return str(path)


def configured(task: str, train: str, test: str) -> dict:
    """With the first family that fits, at its smallest."""
    case, family = TASKS[task], tiny.fitting(task)[0]
    return {
        "name": "tiny",
        "task": task,
        "example_gen": {
            "input": {"train": train, "test": test},
            "format": case.format,
            **case.config.get("example_gen", {}),
        },
        "transform": {"max_tokens": 16},
        "trainer": {
            "family": {"name": family, **tiny.SIZES[family]},
            "epochs": 1,
            **case.config.get("trainer", {}),
        },
        "evaluator": {"resamples": 20},
    }


def answered(path) -> list[dict]:
    if path.suffix == ".parquet":
        return pq.read_table(path).column("prediction").to_pylist()
    return [json.loads(line)["prediction"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "task", [pytest.param(name, marks=[pytest.mark.slow] * case.slow) for name, case in TASKS.items()]
)
def test_from_a_file_to_answers(task, tmp_path):
    case = TASKS[task]
    train, test = write(tmp_path / "train", case, range(40)), write(tmp_path / "test", case, range(40, 48))
    job = Run(check_config(configured(task, train, test)), epath.Path(tmp_path / "home"), Runtime())
    assert job.to("").record()["served"]["version"] == 1

    evaluation = epath.Path(job.artifacts("evaluator")[0].artifact.path)
    first = (*JUDGES[task].higher, *JUDGES[task].lower)[0]
    measured = json.loads((evaluation / "metrics.json").read_text())["metrics"][first]
    assert measured["low"] <= measured["value"] <= measured["high"]
    losses = [json.loads(line)["loss"] for line in (evaluation / "worst.jsonl").read_text().splitlines()]
    assert len(losses) == 8 and losses == sorted(losses, reverse=True)

    asked, format = test, case.format
    if task == "tagging":  # reads tokens and is asked with texts
        asked = str(tmp_path / "asked.txt")
        Path(asked).write_text("".join(text(n) + "\n" for n in range(40, 48)))
    place, properties = find_model(tmp_path / "home" / "tiny")
    for out in (tmp_path / "out.jsonl", tmp_path / "out.parquet"):
        assert predict_file(place, properties, asked, str(out), format) == (8, 0)
        found = answered(out)
        assert len(found) == 8 and all(map(case.shape, found)), found
