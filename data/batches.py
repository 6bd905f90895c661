"""The plan: which rows make which batch. The only place that shuffles, pads, buckets and batches.

An epoch is a pure function of (seed, epoch): rows are shuffled one by one, dealt into length buckets,
cut into batches of a constant number of tokens, and the batches are shuffled. So any position of a
run can be reached without replaying what came before, and every worker can compute it on its own.
"""

from typing import NamedTuple

import numpy as np

ALIGNED_ROWS = 8  # rows a batch are a multiple of it, so that 1, 2, 4 and 8 replicas see the same batches
ALIGNED_LENGTH = 8  # bucket lengths are multiples of it once texts are long enough for that to cost little
LONG = 64


class Call(NamedTuple):
    """The batches of one call of the training function; all arrays have the same shape for a length.

    length: tokens a row is padded or cut to.
    rows: <int64>[k, B] row numbers; -1 only fills (a row of a partial batch, or whole unused batches at the end).
    weights: <float32>[k], sum of the weights of each batch's rows, over all replicas.
    steps: number of batches in use, 1 to k.
    """

    length: int
    rows: np.ndarray
    weights: np.ndarray
    steps: int


class Plan:
    """Batches over rows of known lengths.

    boundaries: <int64>[buckets], the lengths that rows are padded to.
    steps: batches in an epoch. padded_tokens: tokens in them, padding included.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        weights: np.ndarray,
        *,
        batch_tokens: int,
        max_tokens: int,
        seed: int = 0,
        replicas: int = 1,
        buckets: int = 12,
        steps_per_call: int = 1,
    ):
        """lengths: <int32>[rows], longer ones are cut to `max_tokens`. weights: <float32>[rows].

        A batch has `batch_tokens` padded tokens over all replicas, or a few less: its rows are a
        multiple of `replicas` (of 8 where that many fit), and at least `replicas`.
        """
        self.seed, self.weights, self.steps_per_call = seed, weights, steps_per_call
        self._lengths = np.clip(lengths, 1, max_tokens)
        self.boundaries = bucket_boundaries(self._lengths, buckets, max_tokens)
        multiple = np.lcm(ALIGNED_ROWS, replicas)
        fitting = batch_tokens // self.boundaries
        rows = np.maximum(fitting - fitting % np.where(fitting < multiple, replicas, multiple), replicas)
        self._batch_rows = rows.tolist()
        self._bucket = np.searchsorted(self.boundaries, self._lengths).astype(np.uint8)
        calls = self._calls(np.arange(len(lengths)))
        self.steps = sum(call.steps for call in calls)
        self.padded_tokens = sum(call.length * call.rows.shape[1] * call.steps for call in calls)

    def epoch(self, epoch: int) -> list[Call]:
        """The calls of an epoch, in order: every row once, rows and batches shuffled by (seed, epoch)."""
        random = np.random.default_rng([self.seed, epoch])
        calls = self._calls(random.permutation(len(self._lengths)))
        return [calls[n] for n in random.permutation(len(calls))]

    def in_order(self) -> list[Call]:
        """Every row once, the shortest first: for validation and evaluation."""
        return self._calls(np.argsort(self._lengths, kind="stable"))

    def _calls(self, order: np.ndarray) -> list[Call]:
        order = order[np.argsort(self._bucket[order], kind="stable")]
        by_bucket = np.split(order, np.cumsum(np.bincount(self._bucket, minlength=len(self.boundaries)))[:-1])
        calls, left = [], order[:0]
        for bucket, rows in enumerate(by_bucket):
            rows = np.concatenate([left, rows])
            whole = len(rows) - len(rows) % self._batch_rows[bucket]
            rows, left = rows[:whole], rows[whole:]
            # What is left joins the next bucket where it takes less than the batch it would only partly fill here.
            if bucket + 1 == len(by_bucket) or len(left) > self._batch_rows[bucket + 1]:
                rows, left = np.concatenate([rows, left]), left[:0]
            calls += self._cut(rows, bucket)
        return calls

    def _cut(self, rows: np.ndarray, bucket: int) -> list[Call]:
        """Rows of one bucket as calls of `steps_per_call` batches, the last of each filled with -1."""
        shape = self.steps_per_call, self._batch_rows[bucket]
        batches = -(-len(rows) // shape[1])
        filled = np.full((-(-batches // shape[0]), *shape), -1, np.int64)
        filled.reshape(-1)[: len(rows)] = rows
        weights = np.where(filled < 0, 0, self.weights[filled]).sum(axis=-1, dtype=np.float64).astype(np.float32)
        length = int(self.boundaries[bucket])
        steps = [min(shape[0], batches - n * shape[0]) for n in range(len(filled))]
        return [Call(length, *call) for call in zip(filled, weights, steps, strict=True)]


def bucket_boundaries(lengths: np.ndarray, buckets: int, max_tokens: int) -> np.ndarray:
    """At most `buckets` lengths <int64> that minimise the padded tokens, found by dynamic programming.

    lengths: <int>[rows], 1 to max_tokens. The last boundary holds the longest row.
    """
    longest = int(lengths.max(initial=1))
    step = ALIGNED_LENGTH if longest >= LONG else 1
    ends = np.minimum(np.arange(0, longest + step, step), max_tokens)  # candidates, after the start at 0
    rows = np.searchsorted(np.sort(lengths), ends, side="right")  # rows of at most each length
    cost = ends[None, :] * (rows[None, :] - rows[:, None]).astype(np.float64)  # of a bucket from i (excluded) to j
    cost[np.tril_indices(len(ends))] = np.inf
    best, came_from = cost[0], []
    for _ in range(buckets - 1):
        through = best[:, None] + cost
        came_from.append(np.where(through.min(axis=0) < best, through.argmin(axis=0), 0))
        best = np.minimum(best, through.min(axis=0))
    chosen = [len(ends) - 1]
    for previous in reversed(came_from):
        if previous[chosen[-1]]:
            chosen.append(previous[chosen[-1]])
    return ends[chosen[::-1]]
