"""Dynamic batching: requests that wait for the same tensors of the same model share one run of its graph.

With a timeout of 0 nobody waits for company: what gathers while the threads are busy is the next batch. Requests join
only if they feed and fetch the same tensors, and their shapes agree behind the first axis. One that cannot be joined
(a scalar, inputs of different lengths) runs alone; when a batch fails its requests run one by one, so that a bad one
does not fail its neighbours.
"""

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Condition, Thread
from typing import Any

import numpy as np

from serving.errors import ServingError
from serving.metrics import Metrics
from serving.servable import Servable


@dataclass(frozen=True)
class Parameters:
    """The BatchingParameters that are honoured, with TensorFlow Serving's defaults.

    max_batch_size: rows of a batch, and of the largest request. batch_timeout_micros: longest wait for company while a
    thread is free. max_enqueued_batches: batches' worth of rows that may wait for one model. allowed_batch_sizes: a
    batch is filled up to the next of these. pad_variable_length_inputs: join inputs of different shapes too, filled up
    with zeros (or empty strings).
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False

    def __post_init__(self) -> None:
        """Raises ServingError on values that make no sense."""
        sizes = self.allowed_batch_sizes
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise _invalid(f"{name} must be positive; was {getattr(self, name)}")
        if self.batch_timeout_micros < 0:
            raise _invalid(f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}")
        if sizes and (sizes[-1] != self.max_batch_size or sizes[0] < 1 or any(a >= b for a, b in pairwise(sizes))):
            raise _invalid("allowed_batch_sizes must be ascending and end with max_batch_size")


def parameters(message: Any) -> Parameters:
    """Of a BatchingParameters message; thread_pool_name is a label only."""
    given = {
        name: getattr(message, name).value
        for name in ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
        if message.HasField(name)
    }
    padded = message.pad_variable_length_inputs
    return Parameters(
        **given, allowed_batch_sizes=tuple(message.allowed_batch_sizes), pad_variable_length_inputs=padded
    )


@dataclass(eq=False)
class Task:
    """One request in a queue. `answer`: its outputs by tensor name."""

    feeds: dict[str, np.ndarray]
    rows: int
    due: float  # when it no longer waits for company
    answer: Future = field(default_factory=Future)
    since: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True)
class Kind:
    """What requests must have in common to be joined."""

    servable: Servable
    fetches: tuple[str, ...]
    feeds: tuple[tuple, ...]  # name, dtype, shape of a row


class Batcher:
    """Queues and threads, shared by all models. `run` may be called from any thread."""

    def __init__(self, given: Parameters, metrics: Metrics):
        self._given, self._metrics = given, metrics
        self._queues: dict[Kind, deque[Task]] = {}
        self._ready = Condition()
        self._closed = False
        self._threads = [Thread(target=self._work, name=f"batch_{n}") for n in range(given.num_batch_threads)]
        for thread in self._threads:
            thread.start()

    def run(
        self, servable: Servable, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], timeout: float | None
    ) -> dict[str, np.ndarray]:
        """As `Servable.run`, in company.

        Raises ServingError: the model's own, RESOURCE_EXHAUSTED when the queue is full, DEADLINE_EXCEEDED after
        `timeout` seconds, INVALID_ARGUMENT when there are more rows than a batch may have.
        """
        feeds, wanted = dict(feeds), tuple(sorted(set(fetches)))
        rows = _rows(feeds)
        if not rows or wanted in servable.unbatchable:
            return servable.run(feeds, fetches)
        if rows > self._given.max_batch_size:
            raise _invalid(f"Task size {rows} is larger than maximum input batch size {self._given.max_batch_size}")
        task = Task(feeds, rows, time.perf_counter() + self._given.batch_timeout_micros / 1e6)
        self._put(Kind(servable, wanted, self._shapes(feeds)), task)
        try:
            return task.answer.result(timeout)
        except TimeoutError:
            task.answer.cancel()  # unless it runs already
            raise ServingError("DEADLINE_EXCEEDED", "Run call was cancelled: its deadline passed") from None
        except CancelledError:
            raise ServingError("UNAVAILABLE", "The server is shutting down") from None

    def close(self) -> None:
        """Finishes what waits, then stops the threads."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        for thread in self._threads:
            thread.join()

    def _shapes(self, feeds: Mapping[str, np.ndarray]) -> tuple[tuple, ...]:
        padded = self._given.pad_variable_length_inputs
        return tuple(
            (name, value.dtype.str, value.ndim if padded else value.shape[1:]) for name, value in sorted(feeds.items())
        )

    def _put(self, kind: Kind, task: Task) -> None:
        given = self._given
        with self._ready:
            if self._closed:
                raise ServingError("UNAVAILABLE", "The server is shutting down")
            waiting = sum(t.rows for k, queue in self._queues.items() if k.servable is kind.servable for t in queue)
            if waiting + task.rows > given.max_enqueued_batches * given.max_batch_size:
                raise ServingError(
                    "RESOURCE_EXHAUSTED",
                    "The batch scheduling queue to which this task was submitted is full; currently "
                    f"{-(-waiting // given.max_batch_size)} batches enqueued and max_enqueued_batches is "
                    f"{given.max_enqueued_batches}",
                )
            self._queues.setdefault(kind, deque()).append(task)
            self._ready.notify()

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            kind, tasks = taken
            tasks = [task for task in tasks if task.answer.set_running_or_notify_cancel()]
            for task in tasks:
                self._metrics.queued.observe(1e6 * (time.perf_counter() - task.since))
            if len(tasks) > 1 or (tasks and self._given.allowed_batch_sizes):
                tasks = self._together(kind, tasks)
            for task in tasks:
                self._alone(kind, task)

    def _take(self) -> tuple[Kind, list[Task]] | None:
        """The next batch, of the requests that have waited longest; None when the batcher is closed and empty."""
        with self._ready:
            while True:
                kind = min(self._queues, key=lambda kind: self._queues[kind][0].due, default=None)
                if kind is None and self._closed:
                    return None
                if kind is None:
                    self._ready.wait()
                    continue
                queue = self._queues[kind]
                wait = queue[0].due - time.perf_counter()
                if wait <= 0 or self._closed or sum(task.rows for task in queue) >= self._given.max_batch_size:
                    return kind, self._fill(kind, queue)
                self._ready.wait(wait)

    def _fill(self, kind: Kind, queue: deque[Task]) -> list[Task]:
        tasks = [queue.popleft()]
        rows = tasks[0].rows
        while queue and rows + queue[0].rows <= self._given.max_batch_size:
            rows += queue[0].rows
            tasks.append(queue.popleft())
        if not queue:
            del self._queues[kind]
        return tasks

    def _together(self, kind: Kind, tasks: list[Task]) -> list[Task]:
        """Answers all tasks from one run; those that it could not answer."""
        rows = sum(task.rows for task in tasks)
        size = next((size for size in self._given.allowed_batch_sizes if size >= rows), rows)
        try:
            feeds = {name: _joined([task.feeds[name] for task in tasks], size) for name in tasks[0].feeds}
            self._metrics.runs.inc()
            outputs = kind.servable.run(feeds, kind.fetches)
        except Exception:  # alone, each gets its own answer or error
            return tasks
        if any(value.ndim == 0 or len(value) != size for value in outputs.values()):
            kind.servable.unbatchable.add(kind.fetches)
            return tasks
        start = 0
        for task in tasks:
            task.answer.set_result({name: value[start : start + task.rows] for name, value in outputs.items()})
            start += task.rows
        return []

    def _alone(self, kind: Kind, task: Task) -> None:
        self._metrics.runs.inc()
        try:
            task.answer.set_result(kind.servable.run(task.feeds, kind.fetches))
        except BaseException as error:  # the waiting thread gets it
            task.answer.set_exception(error)


def _rows(feeds: Mapping[str, np.ndarray]) -> int:
    """Length of all inputs; 0 when they have none in common."""
    lengths = {len(value) if value.ndim else 0 for value in feeds.values()}
    return lengths.pop() if len(lengths) == 1 else 0


def _joined(values: list[np.ndarray], rows: int) -> np.ndarray:
    """The values one after the other, each padded to the largest shape, and the first row again up to `rows`."""
    shape = tuple(max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True))
    joined = np.zeros((rows, *shape), values[0].dtype)
    if joined.dtype == object:
        joined.fill(b"")
    start = 0
    for value in values:
        joined[(slice(start, start + len(value)), *map(slice, value.shape[1:]))] = value
        start += len(value)
    joined[start:] = joined[:1]
    return joined


def _invalid(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
