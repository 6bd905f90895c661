"""Served versions: `<served>/<number>/`, whole or not at all, each with a record of where it came from.

The record lies among the version's properties, and stays in `.removed/<number>.json` when the version goes, so that no
model that was served once is pushed again by itself. Servers look into folders that are numbers, and nowhere else.

    model_artifact   fingerprint of the model artifact
    metrics          {name: value} of its evaluation
    replaces         version that was the newest before it
    copy_of          version that a rollback copied
    withdraws        model artifact that the rollback was away from
"""

import json
import shutil
from collections.abc import Collection
from typing import Any, NamedTuple

from etils import epath

from components.saved_model import GRAPH, PROPERTIES, read_properties, versions, write_properties
from data.errors import StageError

INCOMING, OUTGOING, REMOVED = ".incoming", ".outgoing", ".removed"
ORIGIN, METRICS, REPLACES, COPY_OF, WITHDRAWS = "model_artifact", "metrics", "replaces", "copy_of", "withdraws"


class Version(NamedTuple):
    number: int
    record: dict[str, Any]
    here: bool  # or removed

    @property
    def origin(self) -> str:
        return self.record.get(ORIGIN, "")


def lineage(served: epath.Path) -> list[Version]:
    """Every version there is, and those that `prune` removed, ascending."""
    here = {number: read_properties(served / str(number)) for number in versions(served)}
    removed = _removed(served)
    known = sorted(here.keys() | removed.keys())
    return [Version(number, here.get(number) or removed[number], number in here) for number in known]


def pushed_before(served: epath.Path, origin: str) -> tuple[int, int] | None:
    """The version that a model artifact is, or once was, and the one whose record tells: its own, or that of a
    rollback away from it."""
    for version in reversed(lineage(served)):
        if version.origin == origin:
            return version.number, version.number
        if version.record.get(WITHDRAWS) == origin:
            return version.record[REPLACES], version.number
    return None


def places(served: epath.Path, number: int) -> list[str]:
    """Where the record of a version is, or will be."""
    return [str(served / str(number)), str(_tombstone(served, number))]


def publish(saved_model: epath.Path, served: epath.Path, record: dict[str, Any]) -> int:
    """Copies a SavedModel to a new version, the newest, and answers its number.

    record: what becomes of its record, but for `replaces`.

    A local server sees the new version in one rename. On a remote home nothing can be renamed, so the graph, without
    which no server loads anything, is copied last; what an interrupted copy left has no graph and is overwritten.
    """
    before = lineage(served)
    version = before[-1].number + 1 if before else 1
    newest = next((old.number for old in reversed(before) if old.here), None)
    final = served / str(version)
    place = served / INCOMING if _renames(served) else final
    for left in (place, final):
        if left.exists():
            left.rmtree()
    copy(saved_model, place, but=GRAPH)
    kept = {name: value for name, value in read_properties(place).items() if name not in (COPY_OF, WITHDRAWS)}
    write_properties(place, {**kept, **record, REPLACES: newest})
    _copy_file(saved_model / GRAPH, place / GRAPH)
    if place != final:
        place.rename(final)
    return version


def prune(served: epath.Path, keep: int, needed: Collection[int]) -> None:
    """Removes versions, but for the `keep` newest (all, if 0) and those `needed`; their records stay."""
    for number in versions(served)[:-keep] if keep else ():
        if number in needed:
            continue
        place, gone = served / str(number), served / OUTGOING
        tombstone = _tombstone(served, number)
        tombstone.parent.mkdir(exist_ok=True)
        (place / PROPERTIES).copy(tombstone, overwrite=True)
        if _renames(served):  # a server never sees half a version
            if gone.exists():
                gone.rmtree()
            place = place.rename(gone)
        else:
            (place / GRAPH).unlink()
        place.rmtree()


def served_now(served: epath.Path) -> dict[str, Any]:
    """What a server serves, as `latest.json` has it: the newest version. Raises StageError when there is none."""
    newest = next((version for version in reversed(lineage(served)) if version.here), None)
    if newest is None:
        raise StageError(
            f"pusher: {served} holds no version any more; remove what is left of it to push the model again"
        )
    entry = {"model": served.name, "version": newest.number, "path": str(served / str(newest.number))}
    record = {name: newest.record.get(name) for name in (ORIGIN, REPLACES, COPY_OF)}
    return entry | {name: value for name, value in record.items() if value is not None}


def copy(source: epath.Path, target: epath.Path, but: str = "") -> None:
    """A folder with everything in it, but for files called `but`."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir():
            copy(entry, target / entry.name, but)
        elif entry.name != but:
            _copy_file(entry, target / entry.name)


def _copy_file(source: epath.Path, target: epath.Path) -> None:
    if _renames(source) == _renames(target):
        source.copy(target)
        return
    with source.open("rb") as read, target.open("wb") as written:  # epath copies within one store only
        shutil.copyfileobj(read, written, 1 << 20)


def _tombstone(served: epath.Path, number: int) -> epath.Path:
    return served / REMOVED / f"{number}.json"


def _removed(served: epath.Path) -> dict[int, dict[str, Any]]:
    folder = served / REMOVED
    return {int(path.stem): json.loads(path.read_text()) for path in folder.iterdir()} if folder.exists() else {}


def _renames(path: epath.Path) -> bool:
    return "://" not in str(path)
