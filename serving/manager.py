"""Versions of models in memory: loaded before the old ones are let go, and let go when nobody uses them.

The policy is TensorFlow Serving's AvailabilityPreservingPolicy: a version that should no longer be served stays until
one that should be is available. A load that fails leaves everything else as it was.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Condition, Timer, get_native_id

from serving.errors import ServingError
from serving.servable import Servable
from serving.spec import State, VersionState

LOADING_NICENESS = 10
ENDED = 100  # states of ended versions that are remembered, of each model

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Version:
    """One version of a model. `error`: why the last attempt to load it failed."""

    model: str
    number: int
    path: str
    state: State = State.START
    error: ServingError | None = None
    servable: Servable | None = None
    running: int = 0  # requests that use it
    attempts: int = 0
    aspired: bool = True
    retry: Timer | None = field(default=None, repr=False)

    def snapshot(self) -> VersionState:
        code, message = (self.error.code.name, self.error.message) if self.error else ("OK", "")
        return VersionState(self.number, self.state, code, message)

    def __str__(self) -> str:
        return f"{{name: {self.model} version: {self.number}}}"


def _step_back() -> None:
    """Lets the threads that answer requests go before this one, which makes a version ready."""
    with suppress(AttributeError, OSError):  # where threads have no priority of their own
        os.setpriority(os.PRIO_PROCESS, get_native_id(), LOADING_NICENESS)


class Manager:
    """Loads and unloads versions in threads of its own. All methods may be called from any thread."""

    def __init__(
        self,
        load: Callable[[str], Servable],
        retries: int = 0,
        retry_seconds: float = 60.0,
        load_threads: int = 1,
        unload_threads: int = 1,
    ):
        """load: makes a servable, ready to answer, of a path; raises ServingError."""
        self._retries, self._retry_seconds, self._load = retries, retry_seconds, load
        self._models: dict[str, dict[int, Version]] = {}
        self._changed = Condition()
        self._closed = False
        self._loads = ThreadPoolExecutor(max(1, load_threads), "load", initializer=_step_back)
        self._unloads = ThreadPoolExecutor(max(1, unload_threads), "unload")

    def aspire(self, model: str, versions: Mapping[int, str]) -> None:
        """From now on `versions` (paths by number) of `model` should be served, and no others."""
        with self._changed:
            if self._closed:
                return
            known = self._models.setdefault(model, {})
            for number, path in versions.items():
                version = known.get(number)
                again = version is not None and version.state is State.END and not (version.aspired and version.error)
                if version is None or again:
                    known[number] = version = Version(model, number, path)
                version.aspired = True
            for number, version in known.items():
                version.aspired = number in versions
            self._settle(model)

    @contextmanager
    def use(self, model: str, number: int | None = None) -> Iterator[tuple[int, Servable]]:
        """A version, with its number, that stays loaded meanwhile: `number`, or the newest.

        Raises ServingError when it is not served.
        """
        with self._changed:
            ready = {n: v for n, v in self._models.get(model, {}).items() if v.state is State.AVAILABLE}
            wanted = max(ready, default=None) if number is None else number
            if wanted not in ready:
                request = f"Latest({model})" if number is None else f"Specific({model}, {number})"
                raise ServingError("NOT_FOUND", f"Servable not found for request: {request}")
            version = ready[wanted]
            version.running += 1
        assert version.servable
        try:
            yield version.number, version.servable
        finally:
            with self._changed:
                version.running -= 1
                if version.state is State.UNLOADING:
                    self._changed.notify_all()

    def states(self, model: str) -> dict[int, VersionState]:
        """What is known of each version, the newest first."""
        with self._changed:
            known = sorted(self._models.get(model, {}).items(), reverse=True)
            return {number: version.snapshot() for number, version in known}

    def aspires(self, model: str) -> bool:
        """Whether any version of the model should be served."""
        with self._changed:
            return bool(self._aspired(model))

    def wait(self, models: Iterable[str], stopped: Callable[[], bool] = lambda: False) -> None:
        """Waits until every aspired version of `models` is loaded or has failed once, and each model has one at least.

        Raises ServingError, in TensorFlow Serving's words, when a model has none that could be loaded.
        """
        with self._changed:
            while not stopped() and not all(map(self._settled, models)):
                self._changed.wait(0.2)
            failed = [v for m in models if not self._available(m) for v in self._aspired(m) if v.error]
        if failed:
            reasons = ", ".join(f"{{{v} due to error: {v.error.message}}}" for v in failed if v.error)
            text = f"{len({v.model for v in failed})} model(s) did not become available: {{{reasons}}}"
            raise ServingError("UNKNOWN", text)

    def close(self) -> None:
        """Unloads everything, once the requests under way are answered."""
        with self._changed:
            self._closed = True
            for model, known in self._models.items():
                for version in known.values():
                    version.aspired = False
                self._settle(model)
        self._loads.shutdown()
        self._unloads.shutdown()

    def _aspired(self, model: str) -> list[Version]:
        return [version for version in self._models.get(model, {}).values() if version.aspired]

    def _available(self, model: str) -> bool:
        return any(version.state is State.AVAILABLE for version in self._aspired(model))

    def _settled(self, model: str) -> bool:
        aspired = self._aspired(model)
        return bool(aspired) and all(version.state is State.AVAILABLE or version.error for version in aspired)

    def _settle(self, model: str) -> None:
        """Starts every load and unload that is due. The lock is held."""
        known = self._models[model]
        for version in known.values():
            if version.aspired and version.state is State.START:
                self._submit(version)
            if not version.aspired and version.retry:
                version.retry.cancel()
                version.retry, version.state = None, State.END
        leaving = [v for n, v in sorted(known.items()) if v.state is State.AVAILABLE and not v.aspired]
        if self._aspired(model) and not self._available(model):
            leaving = leaving[:-1]
        for version in leaving:
            version.state = State.UNLOADING
            self._unloads.submit(self._unload, version)
        ended = [
            number for number, version in sorted(known.items()) if version.state is State.END and not version.aspired
        ]
        for number in ended[:-ENDED]:
            del known[number]
        self._changed.notify_all()

    def _submit(self, version: Version) -> None:
        version.state, version.retry = State.LOADING, None
        self._loads.submit(self._try, version)

    def _try(self, version: Version) -> None:
        if not version.aspired:
            self._end(version)
            return
        log.info("Loading servable version %s from %s", version, version.path)
        try:
            servable = self._load(version.path)
        except Exception as error:  # whatever went wrong, the thread and the other versions go on
            self._failed(version, error if isinstance(error, ServingError) else ServingError("INTERNAL", repr(error)))
            return
        with self._changed:
            version.servable, version.state, version.error = servable, State.AVAILABLE, None
            log.info("Serving version %s", version)
            self._settle(version.model)

    def _failed(self, version: Version, error: ServingError) -> None:
        with self._changed:
            version.error, version.attempts = error, version.attempts + 1
            log.error("Loading servable %s failed, attempt %d: %s", version, version.attempts, error.message)
            if version.attempts <= self._retries and version.aspired:
                version.retry = Timer(max(0.0, self._retry_seconds), self._retry, [version])
                version.retry.daemon = True
                version.retry.start()
            else:
                version.state = State.END
            self._settle(version.model)

    def _retry(self, version: Version) -> None:
        with self._changed:
            if version.retry and not self._closed:
                self._submit(version)

    def _unload(self, version: Version) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not version.running)
        assert version.servable
        version.servable.close()
        log.info("Unloaded servable version %s", version)
        self._end(version)

    def _end(self, version: Version) -> None:
        with self._changed:
            version.servable, version.state = None, State.END
            if version.aspired and not self._closed:  # wanted again while it went
                self._models[version.model][version.number] = Version(version.model, version.number, version.path)
            self._settle(version.model)
