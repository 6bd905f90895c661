"""What a pipeline serves, version by version, and the way back to an older one."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from etils import epath

from components.versions import (
    COPY_OF,
    METRICS,
    ORIGIN,
    REPLACES,
    WITHDRAWS,
    Version,
    copy,
    lineage,
    publish,
    served_now,
)
from data.errors import ConfigError, StageError, did_you_mean
from pipeline.history import LATEST, latest, numbers, write_record
from pipeline.home import locked


def pipelines(home: str) -> dict[str, epath.Path]:
    """Names and folders of the pipelines that have run under a home."""
    return {path.parent.name: path.parent for path in sorted(epath.Path(home).glob(f"*/{LATEST}"))}


def find_pipeline(name: str, home: str, command: str) -> epath.Path:
    """The folder of a pipeline, called by its name under the home or by its path. Raises ConfigError."""
    if (epath.Path(name) / LATEST).exists():
        return epath.Path(name)
    found = pipelines(home)
    if name not in found:
        hint = did_you_mean(name, found) if found else ""
        raise ConfigError(f"{command}: no run of '{name}' under {home}{hint}")
    return found[name]


def served_folder(root: epath.Path) -> epath.Path | None:
    """Where a pipeline's versions lie: the last of its runs that served something tells."""
    return next(_places(root), None)


def served_folders(root: epath.Path) -> list[epath.Path]:
    """Every folder where the pipeline has put versions, if it is still there."""
    return [epath.Path(path) for path in dict.fromkeys(str(place) for place in _places(root) if place)]


def _places(root: epath.Path) -> Iterator[epath.Path | None]:
    """Where each run that served something put it, the last one first; None for a folder that is gone."""
    for number in reversed(numbers(root)):
        if served := json.loads((root / "history" / f"{number}.json").read_text()).get("served"):
            places = [epath.Path(served["path"]).parent, root / "served" / served["model"]]  # or the home was moved
            yield next((place for place in places if place.exists()), None)


def rollback(
    name: str, to: int | None, home: str, on_wait: Callable[[str], None] = lambda owner: None
) -> dict[str, Any]:
    """Proves an older version and makes it the newest one. Returns the pipeline's new record.

    to: number of the version; if None, the newest one that is older than what is served, and another model.
    Raises ConfigError when there is no such pipeline or version, StageError when the version does not load, or does
    not answer its golden requests as it did; then nothing has changed.
    """
    from components.golden import replay

    root = find_pipeline(name, home, "rollback")
    with locked(root, on_wait):
        served = served_folder(root)
        if not served:
            raise ConfigError(f"rollback: '{name}' has served nothing yet; `polisemia run` pushes a model")
        newest, target = _target(served, to)
        place = served / str(target.number)
        try:
            with _local(place) as directory:
                replay(directory)
        except StageError as error:
            raise StageError(f"rollback: version {target.number} is refused, nothing has changed: {error}") from error
        source = target.record.get(COPY_OF, target.number)
        publish(place, served, {COPY_OF: source, WITHDRAWS: newest.origin})
        record = {
            **latest(root),
            "served": served_now(served),
            "rollback": {"from": newest.number, "to": target.number},
        }
        write_record(root, record)
    return record


def _target(served: epath.Path, to: int | None) -> tuple[Version, Version]:
    """The version that is served, and the one to go back to."""
    known = {version.number: version for version in lineage(served)}
    here = [version for version in known.values() if version.here]
    if not here:
        raise ConfigError(f"rollback: {served} holds no version; `polisemia run` pushes a model")
    newest = here[-1]
    others = [version for version in here if version.origin != newest.origin]
    wanted = f"; wanted --to {' or '.join(str(v.number) for v in others)}" if others else "; there is no other model"
    if to is None:
        before = newest.record.get(COPY_OF, newest.number)
        older = [version for version in others if version.number < before]
        if not older:
            raise ConfigError(f"rollback: {served} has no version older than {before}, which is served{wanted}")
        return newest, older[-1]
    if to not in known:
        raise ConfigError(f"rollback: --to {to}: {served} has no such version{wanted}")
    if not known[to].here:
        raise ConfigError(f"rollback: --to {to}: pusher.keep has removed this version{wanted}")
    if known[to].origin == newest.origin:
        raise ConfigError(f"rollback: --to {to}: this model is served already, as version {newest.number}{wanted}")
    return newest, known[to]


@contextmanager
def _local(place: epath.Path) -> Iterator[epath.Path]:
    """A folder's content where TensorFlow's C++ runtime can open it."""
    if "://" not in str(place):
        yield place
        return
    with tempfile.TemporaryDirectory() as folder:
        copy(place, epath.Path(folder) / place.name)
        yield epath.Path(folder) / place.name


def versions_table(served: epath.Path) -> list[dict[str, Any]]:
    """Every version, ascending, with its record; `state` is served, kept or removed."""
    known = lineage(served)
    newest = max((version.number for version in known if version.here), default=None)
    return [
        {
            "version": version.number,
            "state": "served" if version.number == newest else "kept" if version.here else "removed",
            **{name: version.record.get(name) for name in (ORIGIN, METRICS, REPLACES, COPY_OF)},
        }
        for version in known
    ]
