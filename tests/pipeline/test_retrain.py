"""Tests `polisemia retrain`: a first model, nothing new, new data, and a challenger that is not good enough."""

import json

import pytest

from pipeline.cli import main
from tests.pipeline.conftest import CONFIG, write_rows

WARM = """
[decider]
keep_steady = false

[warm_start]
epochs = 2
optimizer = { learning_rate = 0.02 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pipeline that has run on one span."""
    folder = tmp_path_factory.mktemp("retrain")
    write_rows(folder / "span-1.csv", 300, 1)
    (folder / "tiny.toml").write_text(CONFIG.format(folder=folder) + WARM)
    assert retrain(folder) == 0
    return folder


def retrain(folder, *sets: str) -> int:
    options = [part for each in sets for part in ("--set", each)]
    with pytest.raises(SystemExit) as stop:
        main(["retrain", str(folder / "tiny.toml"), "--home", str(folder / "runs"), *options])
    return stop.value.code or 0


def latest(folder) -> dict:
    return json.loads((folder / "runs/tiny/latest.json").read_text())


def made(record: dict) -> set[tuple[str, str]]:
    return {(name, run["span"]) for name, runs in record["stages"].items() for run in runs if not run["cached"]}


def test_retraining_goes_on_from_what_is_served(folder, capsys):
    first = latest(folder)
    assert first["retrain"]["decision"] == "first" and first["served"]["version"] == 1

    assert retrain(folder) == 0
    record = latest(folder)
    assert record["retrain"]["decision"] == "keep" and "there is nothing new" in record["retrain"]["verdict"]
    assert made(record) == {("decider", "")} and record["served"]["version"] == 1

    write_rows(folder / "span-2.csv", 60, 2)
    assert retrain(folder) == 0
    record = latest(folder)
    assert record["retrain"]["decision"] == "fine_tune" and record["retrain"]["pushed"]
    by_span = {span for name, span in made(record) if span}
    assert by_span == {"2"} and not made(record) & {("tokenizer_gen", ""), ("transform", "1")}
    (trained,) = (folder / "runs/tiny/trainer").glob(f"{record['stages']['trainer'][0]['fingerprint']}/manifest.json")
    properties = json.loads(trained.read_text())["properties"]
    assert properties["training"]["epochs"] == 2
    assert properties["warm_start"]["champion"] == first["stages"]["trainer"][0]["fingerprint"]
    assert record["served"]["version"] == 2
    assert "takes over" in capsys.readouterr().out

    assert retrain(folder, "example_gen.spans=last:1", "trainer.epochs=3") == 0
    assert latest(folder)["retrain"]["decision"] == "keep", "what is trained on is all known"


def test_a_challenger_that_is_not_surely_better_is_refused_with_the_interval(folder):
    write_rows(folder / "span-3.csv", 80, 3)
    before = latest(folder)["served"]
    code = retrain(folder, "comparator.rule=better", "comparator.margin=0.05", "comparator.slices=['shop']")
    record = latest(folder)
    assert code == 3 and not record["retrain"]["pushed"]
    assert "the champion stays: accuracy goes from" in record["retrain"]["verdict"]
    assert "the rule 'better' wants more than +0.05 at the lower end: missed" in record["retrain"]["verdict"]
    assert record["served"]["version"] == before["version"]
    compared = record["stages"]["comparator"][0]["artifact"]
    found = json.loads((folder / compared / "comparison.json").read_text())
    assert set(found["slices"]) <= {"shop = north", "shop = south"} and 0 <= found["mcnemar_p"] <= 1


def test_a_grown_vocabulary_under_counted_ngrams_is_an_error_that_says_what_to_do(folder, capsys):
    (folder / "span-3.csv").unlink()
    with (folder / "span-4.csv").open("w") as file:
        file.write("opinion,verdict,shop\n")
        file.writelines(f"unheard{n % 7} of{n % 5} words{n % 3} fine,good,north\n" for n in range(100))
    assert retrain(folder, "decider.full_rows=1", "decider.full_words=1") == 1
    assert "counts n-grams of the vocabulary, which cannot grow under it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line, message",
    [
        ("warm_start.epoch=3", "warm_start.epoch: unknown key; did you mean 'epochs'?"),
        ("warm_start.family=lstm", "warm_start.family: a model that goes on from another is of its family"),
        ("example_gen.spans=newest", "example_gen.spans: "),
        ("example_gen.spans=7-9", "example_gen.spans: got '7-9', and the input has spans 1, 2"),
        ("comparator.rule=best", "comparator.rule: input should be 'not_worse' or 'better'"),
    ],
)
def test_mistakes_are_named(folder, capsys, line, message):
    assert retrain(folder, line) == 2
    assert message in capsys.readouterr().err


def test_older_spans_may_weigh_less(folder):
    from components.artifacts import Tokens
    from components.rows import rows_of
    from models.tasks import TASKS

    record = latest(folder)
    tokens = [Tokens.load(folder / run["artifact"]) for run in record["stages"]["transform"]][:2]
    rows = [each.properties["splits"]["train"]["texts"] for each in tokens]
    task = TASKS["classification"]()
    store = rows_of(tokens, "train", ["bad", "good"], 0, 0.5, task, 16, None)
    assert store.weights.tolist() == [0.25] * rows[0] + [1.0] * rows[1]
    assert set(rows_of(tokens, "train", ["bad", "good"], 0, 0.0, task, 16, None).weights.tolist()) == {1.0}
