"""Counts and times of a server under TensorFlow Serving's names, as the text that Prometheus reads.

TensorFlow Serving's names have no `_total` at the end, which the client library would add: the page is written here.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.utils import floatToGoString

from serving.errors import ServingError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MICROSECONDS = [10 * 1.8**power for power in range(33)]  # theirs: ten microseconds to twenty minutes
EXAMPLES = [2**power for power in range(15)]


class Metrics:
    """The metrics of one server. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._counter("serving:request_count", "Requests.", ["model_name", "status"])
        self.latency = self._histogram(
            "serving:request_latency", "Microseconds a request took.", ["model_name", "API", "entrypoint"]
        )
        self.runtime = self._histogram(
            "serving:runtime_latency", "Microseconds the model took.", ["model_name", "API", "runtime"]
        )
        self.examples = self._counter("serving:request_example_count_total", "tf.train.Examples.", ["model"])
        self.examples_of_request = self._histogram(
            "serving:request_example_counts", "tf.train.Examples of a request.", ["model"], EXAMPLES
        )
        self.queued = self._histogram("serving:batching_session:queuing_latency", "Microseconds in the queue.", [])
        self.runs = self._counter("serving:batching_session:wrapped_run_count", "Runs of the graph by batching.", [])
        self.loads = self._counter("cc:saved_model:load_attempt_count", "Loads.", ["model_path", "status"])
        self.load_time = self._counter("cc:saved_model:load_latency", "Microseconds of loading.", ["model_path"])
        self.warmup = self._histogram(
            "serving:model_warmup_latency", "Microseconds of warming up.", ["model_path", "status"]
        )

    @contextmanager
    def request(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts one request by its status, and times it if it succeeds.

        api: Predict, Classify, Regress or MultiInference. entrypoint: GRPC or REST. The names of models that are not
        served come from outside, without end: they count together, under "".
        """
        start = time.perf_counter()
        status = "OK"
        try:
            yield
        except ServingError as error:
            status = error.code.name
            raise
        except Exception:
            status = "INTERNAL"
            raise
        finally:
            self.requests.labels("" if status == "NOT_FOUND" else model, status).inc()
            if status == "OK":
                self.latency.labels(model, api, entrypoint).observe(1e6 * (time.perf_counter() - start))

    @contextmanager
    def timed(self, model: str, api: str) -> Iterator[None]:
        """Times what the model itself takes, waiting for a batch included."""
        start = time.perf_counter()
        yield
        self.runtime.labels(model, api, "TF1").observe(1e6 * (time.perf_counter() - start))

    def render(self) -> str:
        """The page, in Prometheus' text format."""
        lines = []
        for family in self._registry.collect():
            lines.append(f"# HELP {family.name} {family.documentation}")
            lines.append(f"# TYPE {family.name} {family.type}")
            for sample in family.samples:
                if sample.name.endswith("_created"):
                    continue
                name = sample.name.removesuffix("_total") if family.type == "counter" else sample.name
                labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sample.labels.items())
                lines.append(f"{name}{{{labels}}} {floatToGoString(sample.value)}")
        return "\n".join(lines) + "\n"

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(f":tensorflow:{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, labels: list[str], buckets: list = MICROSECONDS) -> Histogram:
        return Histogram(f":tensorflow:{name}", text, labels, registry=self._registry, buckets=buckets)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
