"""Pretraining on the user's text, through the whole path: vocabulary, vectors, report, and the trainer after it."""

import json
from pathlib import Path

import numpy as np
import pytest

from components.pretrainer import _records, pretrainer
from data.errors import ConfigError
from data.store import Shards, TokenStore, write_shard
from data.tokenizers.words import Words
from data.vectors import read_vectors
from pipeline.cli import main
from pipeline.config import check_config
from tests.contracts.component import check_import_is_light


def run(project, home, capsys, *sets: str) -> dict:
    sets = ("trainer.epochs=1", "evaluator.at_least={}", "evaluator.resamples=5", *sets)
    options = [part for each in sets for part in ("--set", each)]
    with pytest.raises(SystemExit) as stop:
        main(["run", str(project / "tiny.toml"), "--home", str(home), "--until", "trainer", *options])
    out = capsys.readouterr()
    assert not stop.value.code, out.err
    return json.loads((home / "tiny" / "latest.json").read_text())["stages"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """400 lines of which some are long, with words that no example has."""
    random, path = np.random.default_rng(0), tmp_path_factory.mktemp("text") / "corpus.txt"
    words = ["fine", "great", "unheard", "of", "thing", "Añil"]
    path.write_text("\n".join(" ".join(random.choice(words, random.integers(1, 40))) for _ in range(400)))
    return path


@pytest.mark.parametrize(
    "family, objective, start",
    [
        pytest.param(
            '{ name = "fasttext", width = 6, characters = [2, 3], buckets = 90 }',
            "skip_gram",
            "vectors.bin",
            marks=pytest.mark.slow,
        ),
        ('{ name = "gru", embedding = 6, width = 4 }', "cbow", "vectors.txt"),
        ('{ name = "glove", width = 6 }', "", "vectors.txt"),
    ],
)
def test_the_trainer_starts_from_what_was_pretrained(project, text, tmp_path, capsys, family, objective, start):
    stages = run(
        project,
        tmp_path,
        capsys,
        f"trainer.family={family}",
        f"pretrainer.input={text}",
        "pretrainer.max_tokens=16",
        "pretrainer.epochs=5",
        "trainer.optimizer={ name = 'adam', learning_rate = 1e-7 }",
        *([f"pretrainer.objective={objective}"] if objective else []),
    )  # so small a rate that the vectors stay as they were
    artifact = Path(stages["pretrainer"][0]["artifact"])
    properties = json.loads((artifact / "manifest.json").read_text())["properties"]
    assert properties["start"] == start and properties["report"]["width"] == 6
    assert len(json.loads((artifact / "report.json").read_text())["neighbours"]) == 20
    learned = read_vectors(artifact / start)
    assert {"unheard", "añil", "awful"} <= set(learned.words)
    vocabulary = (Path(stages["tokenizer_gen"][0]["artifact"]) / "vocab.txt").read_text().split()
    with np.load(stages["trainer"][0]["artifact"] + "/weights.npz") as weights:
        table = next(weights[name] for name in weights.files if weights[name].shape == (len(vocabulary), 6))
    places = [vocabulary.index(word) for word in learned.words]
    np.testing.assert_allclose(table[places], learned.table, rtol=1e-4, atol=1e-4)
    assert np.abs(learned.table).max() > 0.1  # more than what it started with


def test_without_input_the_examples_own_texts_are_learned_from(project, tmp_path, capsys):
    stages = run(project, tmp_path, capsys, "trainer.family=word2vec", "pretrainer.seed=1", "pretrainer.epochs=1")
    again = run(
        project,
        tmp_path,
        capsys,
        "trainer.family={ name = 'word2vec', dropout = 0.4 }",
        "pretrainer.seed=1",
        "pretrainer.epochs=1",
    )
    assert stages["pretrainer"][0]["fingerprint"] == again["pretrainer"][0]["fingerprint"]  # dropout comes later
    assert again["pretrainer"][0]["cached"] and not again["trainer"][0]["cached"]


def test_long_texts_are_cut_into_pieces_with_the_bytes_of_their_words(tmp_path):
    texts = ["one two three four five six seven", "ñandú", "", "a b c d", "  x  y "]
    words = Words.learn(Words.count(texts), vocabulary_size=30)
    for word_bytes in (0, 4):
        assert write_shard(tmp_path / "a", [_records(words, texts, 3, word_bytes)]) == 8
        store = TokenStore([Shards([tmp_path / "a"])], None, word_bytes)
        batch = store.gather(np.arange(8), 3)
        pieces = [words.decode(ids[:n]) for ids, n in zip(batch["ids"], batch["length"], strict=True)]
        assert pieces == ["one two three", "four five six", "seven", "ñandú", "", "a b c", "d", "x y"]
        if word_bytes:
            spelt = [b" ".join(bytes(word).rstrip(b"\0") for word in row).strip() for row in batch["word_bytes"]]
            cut = [b" ".join(word.encode()[:4] for word in piece.split()) for piece in pieces]
            assert spelt == cut


def test_an_elmo_is_pretrained_and_started_from(project, text, tmp_path, capsys):
    family = (
        'trainer.family={ name = "elmo", embedding = 4, filters = [[1, 4], [2, 4]], layers = 1, units = 6, width = 4 }'
    )
    sets = family, f"pretrainer.input={text}", "pretrainer.max_tokens=16", "pretrainer.epochs=1"
    stages = run(project, tmp_path, capsys, *sets)
    artifact = Path(stages["pretrainer"][0]["artifact"])
    assert json.loads((artifact / "manifest.json").read_text())["properties"]["start"] == "elmo"
    assert (artifact / "elmo" / "options.json").exists()
    with np.load(stages["trainer"][0]["artifact"] + "/weights.npz") as weights:
        assert any("mix" in name for name in weights.files)


def test_what_does_not_go_together_is_said():
    raw = {"name": "x", "task": "classification", "example_gen": {"input": "x"}, "pretrainer": {}}
    with pytest.raises(ConfigError, match="pretrainer: no objective is for family 'tfidf'"):
        check_config({**raw, "trainer": {"family": "tfidf"}})
    with pytest.raises(ConfigError, match="pretrainer.objective: .*family 'bert' starts from none"):
        check_config({**raw, "trainer": {"family": "bert"}, "pretrainer": {"objective": "glove"}})
    with pytest.raises(ConfigError, match="trainer.family.vectors: got a file, and .pretrainer."):
        check_config({**raw, "trainer": {"family": {"name": "glove", "vectors": "x.txt"}}})
    with pytest.raises(ConfigError, match="objective: unknown objective 'skipgram'; did you mean 'skip_gram'"):
        check_config({**raw, "trainer": {"family": "lstm"}, "pretrainer": {"objective": "skipgram"}})


def test_the_stage_is_light_and_described():
    check_import_is_light("components.pretrainer")
    assert pretrainer.function.__doc__
    assert all(info.description for info in pretrainer.params.model_fields.values())
