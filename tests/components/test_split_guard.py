"""Tests `components/split_guard.py`: rows that nearly are an earlier span's test rows train no model."""

import numpy as np

from components.artifacts import TokenizerFiles
from components.split_guard import split_guard
from components.transform import transform
from data.store import Shards, TokenStore
from data.tokenizers.words import Words
from tests.contracts import component as contract

LONG = "the committee met on tuesday to discuss the proposed changes to the schedule of the autumn conference {}"
BEFORE = {
    "train": [{"text": f"old row {n}", "label": "a"} for n in range(5)],
    "test": [{"text": LONG.format("hall"), "label": "a"}],
}
AFTER = {
    "train": [
        {"text": "something new about quite other things, and long enough", "label": "b"},
        {"text": LONG.upper().format("HALL"), "label": "a"},
        {"text": LONG.format("room"), "label": "a"},
        {"text": "old row 1", "label": "a"},
    ],
    "valid": [{"text": LONG.format("hall"), "label": "a"}],
    "test": [{"text": LONG.format("hall"), "label": "a"}],
}  # fmt: skip


def spans(tmp_path):
    examples = [
        contract.make_examples(tmp_path / f"examples-{span}", rows, span)
        for span, rows in (("1", BEFORE), ("2", AFTER))
    ]
    first = contract.run(split_guard, tmp_path / "guard-1", {"examples": examples[0], "earlier": []})
    return examples, first


def test_it_keeps_the_contract(tmp_path):
    examples, first = spans(tmp_path)
    contract.check_component(split_guard, tmp_path, {"examples": examples[1], "earlier": [first]})


def test_exact_and_near_rows_are_counted_and_left_out_of_training(tmp_path):
    examples, first = spans(tmp_path)
    assert (first.properties["test_rows"], first.properties["exact"], first.properties["near"]) == (1, 0, 0)
    second = contract.run(split_guard, tmp_path / "guard-2", {"examples": examples[1], "earlier": [first]})
    assert (second.properties["exact"], second.properties["near"]) == (2, 1)
    exact = contract.run(split_guard, tmp_path / "exact", {"examples": examples[1], "earlier": [first]}, near=1.0)
    assert (exact.properties["exact"], exact.properties["near"]) == (2, 0)
    rows = {split: rows_of(tmp_path / split, examples[1], guard=second, split=split) for split in ("train", "test")}
    assert rows == {"train": 2, "test": 1}
    assert rows_of(tmp_path / "all", examples[1], guard=None, split="train") == 4


def test_a_row_that_leaks_takes_no_other_of_its_key_along(tmp_path):
    """With `split_by` a key is an author's, say, not a row's."""
    examples, first = spans(tmp_path)
    kept = [{"text": f"quite another text by the same hand, number {n}", "label": "b"} for n in range(3)]
    rows = {"train": [*kept, {"text": LONG.format("room"), "label": "a"}], "test": BEFORE["test"]}
    by_hand = contract.make_examples(tmp_path / "by-hand", rows, "2", key=lambda row: "the same hand")
    guard = contract.run(split_guard, tmp_path / "guard-2", {"examples": by_hand, "earlier": [first]})
    assert guard.properties["near"] == 1
    assert rows_of(tmp_path / "train", by_hand, guard=guard, split="train") == 3


def test_what_is_nearly_the_same_is_not_counted_as_the_same(tmp_path):
    text = " ".join(f"{n} words of a very long text" for n in range(400))
    before = contract.make_examples(tmp_path / "1", {"test": [{"text": text, "label": "a"}]}, "1")
    after = {"train": [{"text": text.upper(), "label": "a"}, {"text": text + " .", "label": "a"}]}
    after = contract.make_examples(tmp_path / "2", after, "2")
    first = contract.run(split_guard, tmp_path / "guard-1", {"examples": before, "earlier": []})
    second = contract.run(split_guard, tmp_path / "guard-2", {"examples": after, "earlier": [first]})
    assert (second.properties["exact"], second.properties["near"]) == (1, 1)


def rows_of(path, examples, guard, split) -> int:
    words, files = Words.learn({"old": 5, "row": 5}, vocabulary_size=20), TokenizerFiles(path / "tokenizer")
    files.clear()
    words.save(files.path)
    files.commit()
    examples.properties["fields"] = {}
    inputs = {"examples": examples, "tokenizer": files, "guard": guard}
    tokens = contract.run(transform, path / "tokens", inputs, task="classification")
    store = TokenStore([Shards(tokens.shards(split), ["a", "b"])])
    assert np.all(store.lengths > 0)
    return len(store)
