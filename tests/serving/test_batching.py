"""Requests that wait share runs of the graph, and nothing else: each gets its own answer or its own error."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serving.batching import Batcher, Parameters, parameters
from serving.errors import ServingError
from serving.metrics import Metrics
from serving.protos import BatchingParameters, read_text
from serving.servable import Servable
from tests.serving.running import eventually
from tests.serving.tiny import gate, line


@pytest.fixture(scope="module")
def gate_path(tmp_path_factory):
    return str(gate(tmp_path_factory.mktemp("gate") / "1"))


class Gate:
    """The gate model behind a batcher."""

    def __init__(self, path, **given):
        self.servable, self.metrics = Servable(path), Metrics()
        self.batcher = Batcher(Parameters(**{"num_batch_threads": 1, **given}), self.metrics)
        self.threads = ThreadPoolExecutor(32)
        self.signature = self.servable.signatures["serving_default"]

    def ask(self, *texts, timeout=30):
        """A future of the numbers of these texts."""
        feeds = {self.signature.inputs["text"].name: np.array([str(text).encode() for text in texts], object)}
        fetch = self.signature.outputs["number"].name
        run = self.batcher.run
        return self.threads.submit(lambda: run(self.servable, feeds, [fetch], timeout)[fetch].tolist())

    def hold(self):
        """One request that keeps the only thread busy until `open`."""
        first = self.ask(0)
        eventually(lambda: self.servable._running == 1)
        return first

    def gather(self, *requests):
        """Requests that are all in the queue now."""
        asked = [self.ask(*texts) for texts in requests]
        eventually(lambda: sum(map(len, self.batcher._queues.values())) == len(requests))
        return asked

    def open(self, count=100):
        signature = self.servable.signatures["open"]
        self.servable.run({signature.inputs["count"].name: np.int32(count)}, [signature.outputs["put"].name])

    @property
    def runs(self):
        return self.metrics.runs._value.get()


@pytest.fixture
def make_gate(gate_path):
    made = []

    def make(**given):
        made.append(Gate(gate_path, **given))
        return made[-1]

    yield make
    for each in made:
        each.open(10_000 - 1000)
        each.batcher.close()
        each.threads.shutdown()
        each.servable.close()


def test_what_waits_shares_one_run(make_gate):
    model = make_gate()
    first = model.hold()
    asked = model.gather([1], [2, 3], [4])
    model.open(2)
    assert first.result() == [0] and [each.result() for each in asked] == [[1], [2, 3], [4]]
    assert model.runs == 2


def test_a_bad_request_does_not_fail_its_neighbours(make_gate):
    model = make_gate()
    model.hold()
    good, bad, also_good = model.gather([1], ["uno"], [3])
    model.open()
    assert good.result() == [1] and also_good.result() == [3]
    with pytest.raises(ServingError, match="uno") as caught:
        bad.result()
    assert caught.value.code.name == "INVALID_ARGUMENT"


def test_a_batch_has_a_bound(make_gate):
    model = make_gate(max_batch_size=3)
    model.hold()
    asked = model.gather([1, 2], [3], [4])
    model.open(3)
    assert [each.result() for each in asked] == [[1, 2], [3], [4]] and model.runs == 3
    with pytest.raises(ServingError, match="Task size 4 is larger than maximum input batch size 3"):
        model.ask(1, 2, 3, 4).result()


def test_a_full_queue_refuses(make_gate):
    model = make_gate(max_batch_size=2, max_enqueued_batches=2)
    model.hold()
    asked = model.gather([1, 2], [3], [4])
    with pytest.raises(ServingError, match="queue to which this task was submitted is full") as caught:
        model.ask(5).result()
    assert caught.value.code.name == "RESOURCE_EXHAUSTED"
    model.open()
    assert [each.result() for each in asked] == [[1, 2], [3], [4]]


def test_a_request_that_is_late_leaves_the_queue(make_gate):
    model = make_gate()
    first = model.hold()
    late = model.ask(1, timeout=0.05)
    with pytest.raises(ServingError) as caught:
        late.result()
    assert caught.value.code.name == "DEADLINE_EXCEEDED"
    model.open(1)
    assert first.result() == [0]
    model.open(1)  # which the late one would take
    assert model.ask(2).result() == [2]


def test_a_batch_is_filled_up_to_an_allowed_size(make_gate, monkeypatch):
    model = make_gate(max_batch_size=8, allowed_batch_sizes=(4, 8))
    model.open()
    sizes, run = [], model.servable.run

    def spy(feeds, fetches):
        sizes.extend(map(np.size, feeds.values()))
        return run(feeds, fetches)

    monkeypatch.setattr(model.servable, "run", spy)
    assert model.ask(1).result() == [1] and model.ask(1, 2, 3, 4, 5).result() == [1, 2, 3, 4, 5]
    assert sizes == [4, 8]


def test_closing_finishes_what_waits(make_gate):
    model = make_gate()
    model.hold()
    (asked,) = model.gather([7])
    closing = model.threads.submit(model.batcher.close)
    model.open()
    closing.result()
    assert asked.result() == [7]
    with pytest.raises(ServingError) as caught:
        model.ask(1).result()
    assert caught.value.code.name == "UNAVAILABLE"


@pytest.fixture(scope="module")
def line_servable(tmp_path_factory):
    servable = Servable(str(line(tmp_path_factory.mktemp("line") / "1", 2.0)))
    yield servable
    servable.close()


def together(servable, *values, **given):
    """Outputs of requests that share a batch where they can: it waits for all of them. And how many runs it took."""
    metrics = Metrics()
    batcher = Batcher(Parameters(batch_timeout_micros=300_000, num_batch_threads=1, **given), metrics)
    signature = servable.signatures["serving_default"]
    feed, fetch = signature.inputs["x"].name, signature.outputs["y"].name
    with ThreadPoolExecutor(len(values)) as threads:
        asked = [threads.submit(batcher.run, servable, {feed: value}, [fetch], 30) for value in values]
    batcher.close()
    return [each.result()[fetch] for each in asked], metrics.runs._value.get()


def test_shapes_that_differ_behind_the_first_axis_do_not_join(line_servable):
    short, long = np.ones([1, 2], np.float32), np.ones([1, 3], np.float32)
    (a, b, c), runs = together(line_servable, short, long, 3 * short)
    assert runs == 2 and a.shape == c.shape == (1, 2) and b.shape == (1, 3)
    assert c.tolist() == [[6, 6]]


def test_they_join_when_padded(line_servable):
    short, long = np.ones([2, 2], np.float32), np.ones([1, 3], np.float32)
    (a, b), runs = together(line_servable, short, long, pad_variable_length_inputs=True)
    assert runs == 1 and a.tolist() == [[2, 2, 0], [2, 2, 0]] and b.tolist() == [[2, 2, 2]]


def test_a_scalar_runs_alone(line_servable):
    (answer,), runs = together(line_servable, np.float32(4))
    assert answer == 8 and runs == 0


def test_a_dtype_of_its_own_does_not_join(line_servable):
    with pytest.raises(ServingError, match="expect float"):
        together(line_servable, np.ones([1], np.float32), np.ones([1], np.int32))


def test_parameters_are_read_from_text(tmp_path):
    path = tmp_path / "batching.txt"
    path.write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 5 } max_enqueued_batches { value: 3 }\n"
        "num_batch_threads { value: 2 } thread_pool_name { value: 'x' } allowed_batch_sizes: 4 allowed_batch_sizes: 8\n"
        "pad_variable_length_inputs: true"
    )
    assert parameters(read_text(str(path), BatchingParameters)) == Parameters(8, 5, 3, 2, (4, 8), True)


@pytest.mark.parametrize(
    "given, part",
    [
        ({"max_batch_size": 0}, "max_batch_size must be positive"),
        ({"num_batch_threads": -1}, "num_batch_threads must be positive"),
        ({"batch_timeout_micros": -1}, "must be non-negative"),
        ({"max_batch_size": 4, "allowed_batch_sizes": (2, 8)}, "end with max_batch_size"),
        ({"max_batch_size": 4, "allowed_batch_sizes": (4, 2, 4)}, "ascending"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(given, part):
    with pytest.raises(ServingError, match=part):
        Parameters(**given)


@pytest.mark.parametrize(
    "text, part",
    [
        ("max_batch_size { value: x }", "Error parsing text-format tensorflow.serving.BatchingParameters"),
        (None, "wanted"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(tmp_path, text, part):
    path = tmp_path / "batching.txt"
    if text:
        path.write_text(text)
    with pytest.raises(ServingError, match=part) as caught:
        read_text(str(path), BatchingParameters)
    assert str(path) in caught.value.message
