"""A language model from a file of text to `polisemia generate`, in one run."""

import json

import pytest
from typer.testing import CliRunner

from data.errors import ConfigError
from pipeline.cli import app
from pipeline.config import check_config
from pipeline.report import print_record, summary
from pipeline.runner import Run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A gru that has read "one two three four five", over and over, and never the last word of its test split."""
    from etils import epath

    from components.base import Runtime

    folder = tmp_path_factory.mktemp("lm")
    text = "one two three four five\n" * 200 + "six seven eight\n" * 100
    for split, more in {"train": "", "valid": "", "test": "nine\n"}.items():
        (folder / f"{split}.txt").write_text(text + more)
    config = {
        "name": "counting",
        "task": "language_modeling",
        "example_gen": {"input": {split: str(folder / f"{split}.txt") for split in ("train", "valid", "test")}},
        "transform": {"max_tokens": 12},
        "trainer": {
            "family": {"name": "gru", "width": 16, "embedding": 16, "dropout": 0.0},
            "epochs": 8,
            "batch_tokens": 96,
            "optimizer": {"learning_rate": 0.02},
            "head": {"generation": {"max_tokens": 6}},
        },
        "evaluator": {"at_most": {"perplexity": 3.0}, "resamples": 20},
    }
    job = Run(check_config(config), epath.Path(folder / "runs"), Runtime())
    job.to("evaluator")
    return folder / "runs" / "counting", job.record()


def generate(model, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["generate", str(model), *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_it_is_measured_beside_unigrams(model):
    found = model[1]["evaluation"]
    assert found["blessed"] and found["metrics"]["bits_per_byte"]["value"] < found["baseline"]["bits_per_byte"]


def test_the_runs_last_lines_tell_of_words_that_the_vocabulary_lacks(model):
    (line,) = (line for line in summary(model[1]) if "the vocabulary lacks" in line)
    assert line.startswith("1 of ") and line in model[1]["evaluation"]["remarks"]


def test_a_remark_is_printed_as_it_is_whatever_a_label_looks_like(model, capsys):
    remark = "1 test rows have the label '[/b] [red] :smile:', which the model does not know"
    print_record({**model[1], "evaluation": {**model[1]["evaluation"], "remarks": [remark]}})
    assert remark in capsys.readouterr().out


def test_it_goes_on_as_the_config_says_and_as_options_say(model):
    from components.saved_model import find_model

    root = find_model(model[0])[0]
    assert generate(root, "one two") == "three four five\n"
    assert generate(root, "one two", "six", "--max-tokens", "1") == "three\nseven\n"
    assert generate(root, "one", "--stop", "four") == "two three\n"
    assert generate(root, "one two", "--stream") == "three four five\n"
    assert generate(root, "one", "--stop", "four five", "--stream") == "two three\n"
    (row,) = map(json.loads, generate(root, "one", "--method", "beam", "--n-best", "2", "--json").splitlines())
    assert row["prompt"] == "one" and row["answers"][0]["text"] == "two three four five" and len(row["answers"]) == 2


def test_what_does_not_fit_is_said(model):
    with pytest.raises(ConfigError, match="beams: method 'greedy' does not read it"):
        generate(model[0], "one", "--beams", "3")
    with pytest.raises(ConfigError, match="coverage_penalty: the model reads no source"):
        generate(model[0], "one", "--method", "beam", "--coverage-penalty", "0.2")
    with pytest.raises(ConfigError, match="wanted another method than 'beam'"):
        generate(model[0], "one", "--method", "beam", "--stream")
