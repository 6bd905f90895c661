"""A pipeline's home: one run at a time on it, and what its disk refuses."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from etils import epath

from data.errors import StageError


def is_chief() -> bool:
    """Whether this process writes: always, except in the training workers (TF_CONFIG) that are not the chief."""
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    task = config.get("task", {})
    if task.get("type", "chief") == "chief":
        return True
    return (task["type"], task.get("index")) == ("worker", 0) and "chief" not in config.get("cluster", {})


@contextmanager
def disk_errors(root: epath.Path) -> Iterator[None]:
    """What a disk refuses outside of the stages, said of the home."""
    try:
        yield
    except OSError as error:
        raise StageError(
            f"{error.filename or root}: {error.strerror or error}; what is whole stays as it is, and the same command "
            "goes on from there"
        ) from error


@contextmanager
def locked(root: epath.Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """One run at a time on a home: a second one is told who holds the lock, and waits. Local homes only.

    Of a cluster's workers the chief holds it for all: they are one run.
    """
    if "://" in str(root) or not is_chief():
        yield
        return
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = open(root / "lock", "a+")  # noqa: SIM115
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            on_wait(file.read().strip() or "another run")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename}")
        file.flush()
        yield
