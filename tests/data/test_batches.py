"""Tests `data/batches.py`."""

import itertools

import numpy as np
import pytest

from data.batches import Plan, bucket_boundaries


def log_normal(rows: int, seed: int = 0) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).lognormal(3.6, 0.6, rows), 10, 200).astype(np.int32)


def plan_of(lengths, **options) -> Plan:
    return Plan(lengths, np.ones(len(lengths), np.float32), **({"batch_tokens": 2048, "max_tokens": 200} | options))


def rows_of(calls) -> list[int]:
    return [row for call in calls for row in call.rows.reshape(-1).tolist() if row >= 0]


def same(calls, others) -> bool:
    return [(call.length, call.rows.tolist()) for call in calls] == [
        (call.length, call.rows.tolist()) for call in others
    ]


def test_an_epoch_is_a_pure_function_of_seed_and_epoch():
    lengths = log_normal(500)
    plan = plan_of(lengths, seed=3)
    third = plan.epoch(2)
    plan.epoch(0)
    assert same(plan.epoch(2), third)
    assert same(plan_of(lengths, seed=3).epoch(2), third)
    assert not same(plan.epoch(1), third)
    assert not same(plan_of(lengths, seed=4).epoch(2), third)


@pytest.mark.parametrize(
    "options", [{}, {"steps_per_call": 3}, {"replicas": 3}, {"buckets": 1}, {"batch_tokens": 10**6}]
)
@pytest.mark.parametrize("rows", [1, 7, 500])
def test_every_row_comes_once_and_fits(rows, options):
    lengths = log_normal(rows)
    plan = plan_of(lengths, **options)
    for calls in (plan.epoch(0), plan.epoch(1), plan.in_order()):
        assert sorted(rows_of(calls)) == list(range(rows))
        assert all(lengths[row] <= call.length for call in calls for row in rows_of([call]))
        assert sum(call.steps for call in calls) == plan.steps


def test_batches_are_constant_in_tokens_and_fixed_in_shape():
    plan = plan_of(log_normal(2000), replicas=4, steps_per_call=2)
    shapes = {(call.length, call.rows.shape) for call in plan.epoch(0)}
    assert len(shapes) == len({length for length, _ in shapes}) == len(plan.boundaries)
    for length, (k, rows) in shapes:
        assert k == 2
        assert rows % 8 == 0
        assert 2048 - 8 * length < rows * length <= 2048
    assert {call.rows.shape[1] for call in plan_of(np.full(9, 200), batch_tokens=1, replicas=4).epoch(0)} == {4}


def test_left_over_rows_join_the_next_bucket_where_that_is_cheaper():
    options = {"batch_tokens": 400, "buckets": 2}  # 40 rows of 10 tokens, 8 of 40
    (call,) = plan_of(np.array([10] * 3 + [40] * 5), **options).epoch(0)
    assert call.rows.shape == (1, 8)
    calls = plan_of(np.array([10] * 9 + [40] * 5), **options).in_order()
    assert [(call.length, len(rows_of([call]))) for call in calls] == [(10, 9), (40, 5)]


def test_one_device_and_four_see_the_same_batches():
    lengths = log_normal(500)
    assert same(plan_of(lengths).epoch(0), plan_of(lengths, replicas=4).epoch(0))


def test_calls_hold_weights_and_steps():
    lengths = np.full(30, 10)
    plan = Plan(lengths, np.arange(30, dtype=np.float32), batch_tokens=80, max_tokens=10, steps_per_call=3)
    calls = plan.epoch(0)
    assert [call.rows.shape for call in calls] == [(3, 8)] * 2
    assert sorted(call.steps for call in calls) == [1, 3]
    for call in calls:
        assert call.weights.tolist() == [rows[rows >= 0].sum() for rows in call.rows]
        assert (call.rows[call.steps :] == -1).all()
    assert sum(call.weights.sum() for call in calls) == 435


def test_rows_and_batches_are_shuffled():
    plan = plan_of(log_normal(2000))
    first, second = plan.epoch(0), plan.epoch(1)
    assert [call.length for call in first] != sorted(call.length for call in first)
    assert {frozenset(rows_of([call])) for call in first}.isdisjoint(frozenset(rows_of([call])) for call in second)
    in_order = [call.length for call in plan.in_order()]
    assert in_order == sorted(in_order)


def best_padding(lengths: np.ndarray, buckets: int) -> int:
    """The fewest padded tokens of all choices of boundaries, by trying them all."""
    longest = int(lengths.max())
    choices = itertools.combinations(range(1, longest), buckets - 1)
    ends = (np.array([*choice, longest]) for choice in choices)
    return min(int(end[np.searchsorted(end, lengths)].sum()) for end in ends)


def test_boundaries_are_the_best_there_are():
    lengths = np.random.default_rng(1).integers(1, 13, 40)
    for buckets in (1, 2, 3, 4):
        boundaries = bucket_boundaries(lengths, buckets, 100)
        assert len(boundaries) <= buckets
        assert boundaries[np.searchsorted(boundaries, lengths)].sum() == best_padding(lengths, buckets)
    assert bucket_boundaries(np.full(9, 64), 6, 100).tolist() == [64]
    assert bucket_boundaries(np.array([3, 97]), 6, 99).tolist() == [8, 99]


@pytest.mark.parametrize("seed", range(3))
def test_padding_is_within_a_tenth_of_the_best(seed, monkeypatch):
    lengths = log_normal(8000, seed)
    plan = plan_of(lengths, batch_tokens=4096)
    assert (plan.boundaries % 8 == 0).all()
    monkeypatch.setattr("data.batches.LONG", 1000)  # boundaries at any length
    best = bucket_boundaries(lengths, 6, 200)
    assert plan.padded_tokens < 1.1 * best[np.searchsorted(best, lengths)].sum()  # partial batches included
    assert plan.padded_tokens < 1.35 * lengths.sum()
