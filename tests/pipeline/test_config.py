"""Tests `pipeline/config.py`: every problem at once, each with its path and what to do."""

import pytest

from data.errors import ConfigError
from models.families import FAMILIES
from pipeline.config import check_config, load_config

GOOD = {"name": "t", "task": "classification", "example_gen": {"input": "a.csv"}, "trainer": {"family": "lstm"}}


def problems(raw: dict) -> list[str]:
    with pytest.raises(ConfigError) as error:
        check_config(raw)
    return error.value.problems


def test_a_small_config_is_enough_and_defaults_are_filled_in():
    config = check_config(GOOD)
    assert config.sections["transform"] == {
        "task": "classification",
        "max_tokens": 128,
        "stride": 0,
        "word_bytes": 0,
    }
    assert config.sections["trainer"]["family"] == {"name": "lstm"}
    assert config.sections["tokenizer_gen"]["kind"] == "words", "the family's own tokenizer"
    assert config.sections["bulk_inferrer"] == {}, "optional, and not asked for"


def test_a_familys_tokenizer_options_stay_beside_those_that_are_given():
    raw = {**GOOD, "trainer": {"family": "tfidf"}, "tokenizer_gen": {"options": {"lowercase": False}}}
    options = check_config(raw).sections["tokenizer_gen"]["options"]
    assert options == {"lowercase": False, "punctuation": False, "min_characters": 2}
    other = {**raw, "tokenizer_gen": {"kind": "wordpiece"}}
    assert check_config(other).sections["tokenizer_gen"]["options"] == {}, "another kind has other options"


def test_a_model_has_places_for_what_it_is_to_write():
    raw = {**GOOD, "task": "language_modeling", "transform": {"max_tokens": 16}}
    head = {"stride": 20, "generation": {"max_tokens": 40}}
    assert problems({**raw, "trainer": {"family": "gpt2", "head": head}}) == [
        "trainer.head.generation.max_tokens: got 40, wanted 15 at most: the model has no places for more; raise "
        "transform.max_tokens = 16",
        "trainer.head.stride: got 20, wanted 15 at most: a window of transform.max_tokens = 16 tells no more",
    ]
    assert check_config({**raw, "trainer": {"family": "gru", "head": {"generation": {"max_tokens": 40}}}})


def test_windows_are_for_tasks_that_merge_them():
    example_gen = {"input": "a.conll", "fields": {"tokens": "1", "tags": "2"}}
    raw = {**GOOD, "task": "tagging", "example_gen": example_gen, "transform": {"stride": 64}}
    (problem,) = problems(raw)
    assert problem.startswith(
        "transform.stride: 'tagging' reads no windows; tasks that do: classification, multi_label"
    )
    assert check_config({**GOOD, "transform": {"stride": 64}}).sections["transform"]["stride"] == 64
    merged = {"trainer": {"family": "lstm", "head": {"windows": "mean"}}}
    assert problems({**GOOD, **merged}) == [
        "trainer.head.windows: got 'mean' without windows to merge; set transform.stride, or drop it"
    ]
    assert check_config({**GOOD, **merged, "transform": {"stride": 64}})


LANGUAGE = {**GOOD, "task": "language_modeling"}
TRANSLATION = {**GOOD, "task": "text_to_text"}
HIDDEN = {**GOOD, "task": "masked_language_modeling"}
BOTH_WAYS = {**GOOD, "task": "bidirectional_language_modeling"}


@pytest.mark.parametrize(
    "raw, family, keys",
    [
        (LANGUAGE, {"name": "lstm", "characters": 4, "bidirectional": True}, ["characters", "bidirectional"]),
        (TRANSLATION, {"name": "gru", "characters": 4, "vectors": "a.txt"}, ["characters", "vectors"]),
        (TRANSLATION, {"name": "gru", "bidirectional": True}, []),
        (HIDDEN, {"name": "rnn", "characters": 4, "bidirectional": False}, ["characters", "bidirectional"]),
        (BOTH_WAYS, {"name": "lstm", "vectors": "a.txt"}, ["vectors"]),
        (BOTH_WAYS, {"name": "elmo", "hub": "https://tfhub.dev/google/elmo/3"}, ["hub"]),
        (GOOD, {"name": "lstm", "characters": 4, "bidirectional": False}, []),
    ],
)
def test_parameters_of_a_family_that_do_not_go_with_the_task_are_told(raw, family, keys):
    raw = {**raw, "trainer": {"family": family}, "evaluator": {"slices": ["author"]}}
    first, *found = sorted(problems(raw), key=lambda problem: problem.startswith("trainer.family."))
    assert first.startswith("evaluator.slices: ")
    assert [problem.split(": got ")[0] for problem in found] == [f"trainer.family.{key}" for key in keys]


def test_what_pretraining_leaves_goes_with_the_task():
    pretrainer = {"pretrainer": {"input": "a.txt", "format": "text"}}
    (problem,) = problems({**LANGUAGE, **pretrainer})
    assert problem.startswith("pretrainer: family 'lstm' cannot start from what this leaves: trainer.family.vectors: ")
    tied = {"name": "lstm", "width": 8, "embedding": 8, "tied_embeddings": True}
    (problem,) = problems({**GOOD, **pretrainer, "trainer": {"family": tied}})
    assert (
        problem.startswith("pretrainer: family 'lstm' cannot start from what this leaves: ")
        and "wanted equal" in problem
    )
    assert check_config({**GOOD, **pretrainer})


def test_a_metric_that_no_task_has_is_told_before_anything_runs():
    (problem,) = problems({**GOOD, "trainer": {"family": "lstm", "early_stopping": {"metric": "perplexty"}}})
    assert problem.startswith("trainer.early_stopping: metric: ") and "did you mean 'perplexity'?" in problem


def test_every_problem_is_told_at_once():
    raw = {
        "name": "a b",
        "task": "clasification",
        "example_gen": {"inptu": "a.csv", "max_rejected": 2},
        "trainr": {"family": "lstm"},
        "trainer": {"family": {"name": "lstm", "widht": 3}, "epochs": "many"},
    }
    found = "\n".join(problems(raw))
    assert "name: got 'a b'" in found
    assert "task: got 'clasification'; did you mean 'classification'?" in found
    assert "trainr: unknown section; did you mean 'trainer'?" in found
    assert "example_gen.inptu: unknown key; did you mean 'input'?" in found
    assert "example_gen.input: missing" in found
    assert "example_gen.max_rejected" in found and "got 2" in found
    keys = ", ".join(sorted(FAMILIES["lstm"].model_fields))
    assert f"trainer.family: unknown key 'widht'; did you mean 'width'? (known: {keys})" in found
    assert "trainer.epochs" in found and "got 'many'" in found


@pytest.mark.parametrize(
    ("section", "wanted"),
    [
        (
            {"trainer": {"family": "lsmt"}},
            f"trainer.family: unknown family 'lsmt'; did you mean 'lstm'? (known: {', '.join(sorted(FAMILIES))})",
        ),
        ({"trainer": {"family": "llama"}}, f"unknown family 'llama'; known: {', '.join(sorted(FAMILIES))}"),
        ({"trainer": {"family": {}}}, f"trainer.family: name: missing; wanted one of {', '.join(sorted(FAMILIES))}"),
        ({"trainer": {"family": {"width": 8}}}, "trainer.family: name: missing; wanted one of albert, "),
        ({"trainer": {"family": {"name": ["lstm"]}}}, "trainer.family: name: got ['lstm']; wanted one of albert, "),
        ({"pretrainer": {"objective": {"window": 2}}}, "pretrainer.objective: name: missing; wanted one of "),
        ({"pretrainer": {"objective": {"name": ["masked"]}}}, "pretrainer.objective: name: got ['masked']; wanted one"),
        ({"trainer": {"family": "lstm", "optimizer": {"name": "adan"}}}, "trainer.optimizer: name: "),
        (
            {"trainer": {"family": "lstm", "fine_tuning": {"frosen": 1}}},
            "fine_tuning: unknown key 'frosen'; did you mean",
        ),
        ({"trainer": {"family": "lstm", "ema": 1.0}}, "trainer.ema: "),
        ({"tokenizer_gen": {"kind": "wordpeice"}}, "tokenizer_gen.kind: unknown tokenizer 'wordpeice'; did you mean"),
        (
            {"tokenizer_gen": {"options": {"lowercas": True}}},
            "tokenizer_gen.options.lowercas: words has no such option",
        ),
        ({"evaluator": {"at_least": {"acuracy": 0.5}}}, "evaluator.at_least.acuracy: "),
        ({"evaluator": {"slices": ["author"]}}, "evaluator.slices: the examples have no 'author'"),
        (
            {"example_gen": {"input": "a.csv", "fields": {"txt": "a"}}},
            "example_gen.fields.txt: classification has no such field",
        ),
        (
            {"example_gen": {"input": {"test": "a.csv"}}},
            "example_gen.input: got ['test']; wanted train and some of valid, test, dev",
        ),
        (
            {"example_gen": {"input": "a.csv", "splits": {"train": 0.9, "tset": 0.1}}},
            "example_gen.splits.tset: unknown split; did you mean 'test'?",
        ),
        (
            {"trainer": {"family": {"name": "bert", "preset": "x"}}, "tokenizer_gen": {"kind": "bpe"}},
            "a preset brings its own tokenizer",
        ),
        (
            {"tokenizer_gen": {"files": "v.txt", "vocabulary_size": 9}},
            "tokenizer_gen.vocabulary_size: says how to learn",
        ),
    ],
)
def test_what_does_not_fit_is_one_line_with_its_path(section, wanted):
    (problem,) = problems({**GOOD, **section})
    assert wanted in problem


def test_overrides_are_toml_or_text_and_reach_into_tables(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('name = "t"\ntask = "classification"\n[example_gen]\ninput = "a.csv"\n[trainer]\nfamily = "lstm"\n')
    sets = [
        "trainer.family.width=32",
        "trainer.epochs=3",
        "example_gen.input=b c.csv",
        "example_gen.fields={ text = 'x' }",
    ]
    config = load_config(str(path), sets)
    assert config.sections["trainer"]["family"] == {"name": "lstm", "width": 32}
    assert config.sections["trainer"]["epochs"] == 3
    assert config.sections["example_gen"]["input"] == "b c.csv"
    assert config.sections["example_gen"]["fields"] == {"text": "x"}
    with pytest.raises(ConfigError, match="wanted section.key=value"):
        load_config(str(path), ["trainer.epochs"])
    with pytest.raises(ConfigError, match="not a table"):
        load_config(str(path), ["name.x=1"])


def test_files_that_are_no_config(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_config(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("name = \n")
    with pytest.raises(ConfigError, match=r"bad.toml: not valid TOML: .*line 1"):
        load_config(str(tmp_path / "bad.toml"))
