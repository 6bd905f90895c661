"""The server without a protocol: models by name, version and label; gRPC and REST are two ways to call it.

    core = Core(single_model("default", "/models/half_plus_two"), Options())
    core.start()                                  # returns when every model is served
    spec, outputs = core.predict(ModelSpec("default"), {"x": np.array([1.0], np.float32)})
    core.close()

Every method may be called from several threads at once, and raises `ServingError` with TensorFlow Serving's status and
words. `timeout` is in seconds, None for no bound: it bounds the wait for a batch; a run of a graph is never cut short.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event, Lock, Thread
from typing import Any

import numpy as np

from serving import inference
from serving.batching import Batcher, Parameters
from serving.config import check_config, labels_of, single_model
from serving.errors import ServingError
from serving.inference import DEFAULT_SIGNATURE, Classification, Session
from serving.loading import Loader
from serving.manager import Manager
from serving.metrics import Metrics
from serving.options import Options
from serving.servable import Servable
from serving.spec import ModelSpec, State, VersionState
from serving.versions import aspired, find_versions

__all__ = ["Core", "ModelSpec", "State", "VersionState", "single_model"]

log = logging.getLogger(__name__)


class Core:
    """metrics: counts and times; whoever answers a request counts it with `metrics.request`."""

    def __init__(self, config: Any, options: Options, batching: Parameters | None = None):
        """config: a ModelServerConfig; nothing is loaded yet. Raises ServingError when it cannot be served."""
        check_config(config)
        self.options, self.metrics = options, Metrics()
        self._config = config
        self._labels: dict[str, dict[str, int]] = {}
        self._reloading, self._stopped = Lock(), Event()
        self._complaints: dict[str, str] = {}
        self._manager = Manager(
            Loader(options, self.metrics),
            options.max_num_load_retries,
            options.load_retry_interval_micros / 1e6,
            options.num_load_threads,
            options.num_unload_threads,
        )
        self._batcher = Batcher(batching, self.metrics) if batching else None
        self._poller = Thread(target=self._poll, name="poll", daemon=True)

    def start(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Serves every model of the config, then keeps looking for new versions.

        Waits for a model that has no version yet, until `stopped()`. Raises ServingError when one cannot be loaded: a
        server that starts does not try again, it says why.
        """
        self._labels = labels_of(self._config, self._label_refused)
        self._look()
        if self.options.file_system_poll_wait_seconds > 0:
            self._poller.start()
        else:
            self._require_versions(self._names())
        self._manager.wait(self._names(), stopped)

    def close(self) -> None:
        """Unloads everything, once the requests under way are answered."""
        self._stopped.set()
        if self._poller.is_alive():
            self._poller.join()
        if self._batcher:
            self._batcher.close()
        self._manager.close()

    def reload_config(self, config: Any) -> None:
        """Serves the models of another ModelServerConfig; returns when the new ones are there.

        A config that cannot be served changes nothing.
        """
        with self._reloading:
            check_config(config)
            labels = labels_of(config, self._label_refused)
            before = self._names()
            self._config, self._labels = config, labels
            names = self._names()
            for name in set(before) - set(names):
                self._manager.aspire(name, {})
            self._look()
            new = [name for name in names if name not in before]
            self._require_versions(new)
            self._manager.wait(new, self._stopped.is_set)

    def predict(
        self,
        spec: ModelSpec,
        inputs: Mapping[str, np.ndarray],
        output_filter: Sequence[str] = (),
        timeout: float | None = None,
    ) -> tuple[ModelSpec, dict[str, np.ndarray]]:
        """Outputs of a signature by name, all of them unless `output_filter` names some.

        Strings are arrays <object (bytes)>.
        """
        with self._use(spec) as (answered, servable):
            signature = _named(servable, spec, "FAILED_PRECONDITION", 'Serving signature key "{}" not found.')
            with self._timed(spec, "Predict"):
                return answered, inference.predict(self._session(servable, timeout), signature, inputs, output_filter)

    def classify(
        self, spec: ModelSpec, examples: Sequence[bytes], timeout: float | None = None
    ) -> tuple[ModelSpec, Classification]:
        """Classes and scores of serialised tf.train.Examples."""
        return self._infer("Classify", inference.classify, spec, examples, timeout)

    def regress(
        self, spec: ModelSpec, examples: Sequence[bytes], timeout: float | None = None
    ) -> tuple[ModelSpec, np.ndarray]:
        """Values <float32>[examples] of serialised tf.train.Examples."""
        return self._infer("Regress", inference.regress, spec, examples, timeout)

    def multi_inference(
        self, tasks: Sequence[tuple[ModelSpec, str]], examples: Sequence[bytes], timeout: float | None = None
    ) -> list[tuple[ModelSpec, Classification | np.ndarray]]:
        """Answers of several signatures of one model over the same Examples.

        tasks: each with `inference.CLASSIFY` or `inference.REGRESS`.
        """
        first = tasks[0][0] if tasks else ModelSpec("")
        with self._use(first) as (answered, servable):
            for spec, _ in tasks:
                if not spec.name:
                    raise ServingError("INVALID_ARGUMENT", "Found ModelSpec with an empty model name.")
                if spec.name != first.name:
                    text = "All ModelSpecs in a MultiInferenceRequest must access the same model name."
                    raise ServingError("INVALID_ARGUMENT", text)
            named = [(spec.signature_name or DEFAULT_SIGNATURE, method) for spec, method in tasks]
            with self._timed(first, "MultiInference"):
                session = self._session(servable, timeout)
                answers = inference.multi_inference(session, servable.signatures, named, examples)
            self._count(first, examples)
            specs = [replace(answered, signature_name=name) for name, _ in named]
            return list(zip(specs, answers, strict=True))

    def signature(self, spec: ModelSpec) -> Any:
        """The SignatureDef, from which REST learns the dtypes of the inputs."""
        with self._use(spec) as (_, servable):
            return _named(servable, spec, "INVALID_ARGUMENT", 'Serving signature name: "{}" not found in signature def')

    def metadata(self, spec: ModelSpec) -> tuple[ModelSpec, dict[str, Any]]:
        """SignatureDefs by name."""
        with self._use(spec) as (answered, servable):
            return replace(answered, signature_name=""), dict(servable.signatures)

    def status(self, name: str, version: int | None = None) -> list[VersionState]:
        """States of all versions that are or were served, the newest first; or of one."""
        known = self._manager.states(name)
        if version is not None and version not in known:
            raise ServingError("NOT_FOUND", f"Could not find version {version} of model {name}")
        if not known:
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
        return list(known.values()) if version is None else [known[version]]

    def _infer(
        self, api: str, answer: Callable, spec: ModelSpec, examples: Sequence[bytes], timeout: float | None
    ) -> Any:
        with self._use(spec) as (answered, servable):
            signature = _named(servable, spec, "INVALID_ARGUMENT", "No signature was found with the name: {}")
            with self._timed(spec, api):
                found = answer(self._session(servable, timeout), signature, examples)
            self._count(spec, examples)
            return answered, found

    @contextmanager
    def _use(self, spec: ModelSpec) -> Iterator[tuple[ModelSpec, Servable]]:
        if not spec.name:
            raise ServingError("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        version = spec.version
        if spec.label:
            version = self._labels.get(spec.name, {}).get(spec.label)
            if version is None:
                raise ServingError("INVALID_ARGUMENT", f"Unrecognized servable version label: {spec.label}")
        with self._manager.use(spec.name, version) as (number, servable):
            yield ModelSpec(spec.name, number, "", spec.signature_name or DEFAULT_SIGNATURE), servable

    def _session(self, servable: Servable, timeout: float | None) -> Session:
        return _Batched(self._batcher, servable, timeout) if self._batcher else servable

    def _timed(self, spec: ModelSpec, api: str) -> Any:
        return self.metrics.timed(spec.name, api)

    def _count(self, spec: ModelSpec, examples: Sequence[bytes]) -> None:
        self.metrics.examples.labels(spec.name).inc(len(examples))
        self.metrics.examples_of_request.labels(spec.name).observe(len(examples))

    def _names(self) -> list[str]:
        return [model.name for model in self._config.model_config_list.config]

    def _label_refused(self, model: str, label: str, version: int) -> bool:
        known = self._manager.states(model).get(version)
        if known and known.state is State.AVAILABLE:
            return False
        unused = self._labels.get(model, {}).get(label, version) == version
        return not (self.options.allow_version_labels_for_unavailable_models and unused)

    def _poll(self) -> None:
        while not self._stopped.wait(self.options.file_system_poll_wait_seconds):
            try:
                with self._reloading:
                    self._look()
            except Exception:  # of a file system that is out of order: the next look may find it well
                log.exception("Looking for new versions failed")

    def _look(self) -> None:
        """Aspires to the versions that are there now. What is wrong with a folder is logged once."""
        for model in self._config.model_config_list.config:
            complaint = ""
            try:
                found = find_versions(model.base_path)
                if not found:
                    complaint = (
                        f"No versions of servable {model.name} found under base path {model.base_path}. Did you forget "
                        "to name your leaf directory as a number (eg. '/1/')?"
                    )
                self._manager.aspire(model.name, aspired(found, model.model_version_policy, model.name))
            except ServingError as error:
                complaint = f"Servable {model.name}: {error.message}"
            if complaint and self._complaints.get(model.name) != complaint:
                log.warning("%s", complaint)
            self._complaints[model.name] = complaint

    def _require_versions(self, names: Sequence[str]) -> None:
        for model in self._config.model_config_list.config:
            if model.name in names and not self._manager.aspires(model.name):
                text = f"Unable to find a numerical version path for servable {model.name} at: {model.base_path}"
                raise ServingError("NOT_FOUND", text)


@dataclass(frozen=True)
class _Batched:
    """A servable behind the batcher."""

    batcher: Batcher
    servable: Servable
    timeout: float | None

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> dict[str, np.ndarray]:
        return self.batcher.run(self.servable, feeds, fetches, self.timeout)


def _named(servable: Servable, spec: ModelSpec, code: str, text: str) -> Any:
    """The signature asked for, or an error in the words of the API that asks."""
    name = spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise ServingError(code, text.format(name))
    return servable.signatures[name]
