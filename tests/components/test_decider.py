"""Tests `components/decider.py`: what the numbers of new spans ask for, and which numbers chance alone gives."""

import numpy as np
import pytest

from components.compared import length_shift, pool, read_span, words_distance
from components.decider import decide
from components.statistics_gen import statistics_gen
from tests.contracts import component as contract

STEADY = {"words": 0.25, "label_shift": 0.05, "length": 0.1, "score": 0.01}
STILL = {
    "old_rows": 900,
    "new_rows": 100,
    "words": 0.2,
    "words_by_chance": 0.1,
    "length": 0.05,
    "length_by_chance": 0.01,
    "label": "yes",
    "label_shift": 0.01,
    "label_shift_by_chance": 0.02,
    "new_labels": [],
    "metric": "accuracy",
    "metric_is_better_lower": False,
    "old_score": {"accuracy": {"value": 0.9, "low": 0.88, "high": 0.92}},
    "new_score": {"accuracy": {"value": 0.89, "low": 0.8, "high": 0.95}},
}


@pytest.mark.parametrize(
    ("numbers", "decision", "reason"),
    [
        ({}, "keep", "are where they were"),
        ({"words": 0.3}, "fine_tune", "the words' distance is 0.300, over steady_words = 0.25"),
        ({"words": 0.3, "words_by_chance": 0.31}, "keep", ""),
        ({"words": 0.7}, "full", "over full_words = 0.6"),
        ({"words": 0.7, "words_by_chance": 0.71}, "keep", ""),
        ({"length": 0.2}, "fine_tune", "the change of the mean length is 0.200, over steady_length = 0.1"),
        ({"length": 0.2, "length_by_chance": 0.3}, "keep", ""),
        ({"label_shift": 0.1}, "fine_tune", "the share of 'yes' moved by 0.100, over steady_labels = 0.05"),
        ({"label_shift": 0.1, "label_shift_by_chance": 0.2}, "keep", ""),
        ({"new_labels": ["maybe"]}, "fine_tune", "labels that the champion does not know: maybe"),
        ({"new_score": {"accuracy": {"value": 0.8, "low": 0.7, "high": 0.87}}}, "fine_tune", "0.8000 on the new rows"),
        ({"new_rows": 1000}, "full", "52.6% of the rows are new, over full_rows = 0.5"),
        ({"old_rows": 0}, "full", "none of the spans is one that the champion has learnt"),
    ],
)
def test_what_moved_decides(numbers, decision, reason):
    what, reasons = decide(STILL | numbers, STEADY, True, 0.6, 0.5)
    assert what == decision and reason in "; ".join(reasons)
    assert decide(STILL, STEADY, False, 0.6, 0.5)[0] == "fine_tune"


@pytest.fixture
def spans(tmp_path):
    """Training rows of spans, counted: 400 rows of some words, 40 more of the same, and 40 of others."""
    random = np.random.default_rng(0)
    words = [[f"{kind}{n}" for n in range(300)] for kind in ("word", "other")]
    found = []
    for name, count, kind in (("old", 400, 0), ("same", 40, 0), ("other", 40, 1)):
        rows = [{"text": " ".join(random.choice(words[kind], 8)), "label": "a"} for _ in range(count)]
        examples = contract.make_examples(tmp_path / name, {"train": rows}, name)
        counted = contract.run(statistics_gen, tmp_path / f"counted-{name}", {"examples": examples})
        found.append(read_span(counted)["train"])
    return found


def test_few_words_are_far_from_any_others_by_chance(spans):
    old, same, other = spans
    distance, chance = words_distance(old, same, 0)
    assert 0.25 < distance < chance
    distance, chance = words_distance(old, other, 0)
    assert distance == pytest.approx(1.0) and chance < 0.7
    assert words_distance(old, old, 0)[0] == 0 and words_distance(old, other, 0) == words_distance(old, other, 0)
    assert words_distance(pool([old]), pool([same]), 0) == words_distance(old, same, 0)
    assert length_shift(old, same, "text") == (0.0, 0.0)
