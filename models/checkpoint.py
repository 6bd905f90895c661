"""Checkpoints of a run: numbered files of arrays, each with a JSON beside it that makes it valid.

    checkpoint-12.bin     every array's bytes, one after another
    checkpoint-12.json    {"arrays": [["float32", [128, 2]], ...], "xxh3": "...", "state": {...}}

The JSON is written last and names the checksum of the bytes, so nothing needs to be renamed (object
stores cannot) and a run killed while writing falls back on the checkpoint before.
"""

import json
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash
from etils import epath

KEPT = 2  # the newest, and one more for the machine that dies before the newest reaches the disk


class Checkpoint(NamedTuple):
    """arrays: in the order they were saved. state: plain JSON values."""

    arrays: list[np.ndarray]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one directory, local or remote; one process writes, any may read."""

    def __init__(self, directory: str | Path):
        self._directory = epath.Path(directory)

    def save(self, arrays: Iterable[np.ndarray], state: dict[str, Any]) -> None:
        """Writes the next checkpoint and deletes those it replaces. `arrays` is taken one by one."""
        self._directory.mkdir(parents=True, exist_ok=True)
        numbers = self._numbers()
        name = f"checkpoint-{max(numbers, default=0) + 1}"
        shapes, digest = [], xxhash.xxh3_64()
        with (self._directory / f"{name}.bin").open("wb") as file:
            for array in arrays:
                data = np.ascontiguousarray(array).tobytes()
                shapes.append([array.dtype.name, list(array.shape)])
                digest.update(data)
                file.write(data)
        index = {"arrays": shapes, "xxh3": digest.hexdigest(), "state": state}
        (self._directory / f"{name}.json").write_text(json.dumps(index))
        for number in sorted(numbers)[: 1 - KEPT]:
            for suffix in ("json", "bin"):
                (self._directory / f"checkpoint-{number}.{suffix}").unlink(missing_ok=True)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint whose bytes are what its JSON says; None where there is none."""
        for number in sorted(self._numbers(), reverse=True):
            if found := self._read(number):
                return found
        return None

    def _numbers(self) -> set[int]:
        if not self._directory.exists():
            return set()
        stems = (path.stem for path in self._directory.iterdir() if path.suffix in (".json", ".bin"))
        return {int(stem.removeprefix("checkpoint-")) for stem in stems if stem.startswith("checkpoint-")}

    def _read(self, number: int) -> Checkpoint | None:
        try:
            index = json.loads((self._directory / f"checkpoint-{number}.json").read_text())
            data = (self._directory / f"checkpoint-{number}.bin").read_bytes()
        except (OSError, ValueError):
            return None
        if xxhash.xxh3_64(data).hexdigest() != index["xxh3"]:
            return None
        return Checkpoint(list(_split(data, index["arrays"])), index["state"])


def _split(data: bytes, shapes: Sequence[tuple[str, list[int]]]) -> Iterable[np.ndarray]:
    offset = 0
    for name, shape in shapes:
        array = np.frombuffer(data, np.dtype(name), int(np.prod(shape)), offset).reshape(shape)
        offset += array.nbytes
        yield array


@contextmanager
def sigterm() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, instead of ending the process at once (in the main thread; else never set)."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGTERM, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)
