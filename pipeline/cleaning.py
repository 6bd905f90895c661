"""`clean`: takes away the artifacts that nothing needs any more.

Kept, each with all that it was made from: the newest runs of every config (and the newest of each that came to the
end of the graph), every served version with its push, runs that are not finished, and what another artifact of the
home was read from (a pretrained folder given as a preset). Served versions and records are never touched.
"""

import json
from typing import Any, NamedTuple

from etils import epath

from components.artifacts import MANIFEST, write_whole
from components.versions import lineage
from pipeline.graph import STAGES
from pipeline.history import INGREDIENTS, REMOVED, ingredients, records, unfinished, used
from pipeline.lineage import feeder
from pipeline.served import pipelines, served_folders

Key = tuple[str, str]  # stage, fingerprint


class Unneeded(NamedTuple):
    """An artifact to remove. bytes: of all its files; whole: whether it was finished."""

    stage: str
    fingerprint: str
    bytes: int
    whole: bool


def unneeded(root: epath.Path, home: str, keep: int = 1) -> list[Unneeded]:
    """What `clean` would remove, in graph order. keep: how many of the newest runs of each config are kept."""
    needed = _with_inputs(root, _wanted(root, home, keep))
    found = []
    for stage in STAGES:
        folder = root / stage
        for path in sorted(folder.iterdir()) if folder.exists() else ():
            if path.is_dir() and (stage, path.name) not in needed:
                found.append(Unneeded(stage, path.name, _bytes(path), (path / MANIFEST).exists()))
    return found


def remove(root: epath.Path, what: list[Unneeded]) -> None:
    """Removes artifacts, the manifest first, so that what a kill leaves is not whole; their ingredients stay."""
    for each in what:
        path = root / each.stage / each.fingerprint
        if manifest := ingredients(root, each.stage, each.fingerprint):
            kept = root / REMOVED / each.stage / f"{each.fingerprint}.json"
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(kept, json.dumps({key: manifest[key] for key in INGREDIENTS if key in manifest}))
            (path / MANIFEST).unlink(missing_ok=True)
        path.rmtree()


def _wanted(root: epath.Path, home: str, keep: int) -> set[Key]:
    by_config: dict[str, list[dict[str, Any]]] = {}
    for record in records(root).values():
        by_config.setdefault(record.get("config", ""), []).append(record)
    wanted: set[Key] = set()
    for runs in by_config.values():
        ended = [record for record in runs if "pusher" in record["stages"]]
        for record in (*runs[-keep:], *ended[-keep:]):
            wanted |= used(record)
    for record in unfinished(root).values():
        wanted |= used(record)
    origins = {version.origin for folder in served_folders(root) for version in lineage(folder) if version.here}
    wanted |= {("trainer", origin) for origin in origins}
    for path in sorted((root / "pusher").glob(f"*/{MANIFEST}")):
        manifest = ingredients(root, "pusher", path.parent.name)
        if manifest and set(manifest["inputs"]["trained"]) <= origins:
            wanted.add(("pusher", path.parent.name))
    return wanted | _read_by_others(root, home)


def _with_inputs(root: epath.Path, wanted: set[Key]) -> set[Key]:
    """The artifacts and all they were made from."""
    needed, waiting = set(), list(wanted)
    while waiting:
        stage, fingerprint = key = waiting.pop()
        if key in needed:
            continue
        needed.add(key)
        manifest = ingredients(root, stage, fingerprint)
        for parameter, fingerprints in (manifest or {"inputs": {}})["inputs"].items():
            waiting += [(feeder(root, stage, parameter, each), each) for each in fingerprints]
    return needed


def _read_by_others(root: epath.Path, home: str) -> set[Key]:
    """Artifacts of this pipeline that an artifact of the home names as the place of a source."""
    found = set()
    folder = epath.Path(root).resolve()
    for other in {str(root): root, **{str(each): each for each in pipelines(home).values()}}.values():
        for path in other.glob(f"*/*/{MANIFEST}"):
            manifest = ingredients(other, path.parent.parent.name, path.parent.name) or {}
            for pairs in manifest.get("recorded", {}).get("paths", {}).values():
                for source, _ in pairs:
                    place = epath.Path(source).resolve() if "://" not in source else epath.Path(source)
                    parts = (*place.relative_to(folder).parts, "") if folder in place.parents else ("", "")
                    stage, fingerprint = parts[0], parts[1]
                    if stage in STAGES:
                        found.add((stage, fingerprint))
    return found


def _bytes(path: epath.Path) -> int:
    return sum(_bytes(entry) if entry.is_dir() else entry.stat().length for entry in path.iterdir())
