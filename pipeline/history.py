"""What a pipeline's home remembers of its runs: `history/<n>.json`, `latest.json`, and what is not finished.

A run that makes something is in `unfinished.json` until it has its record, so that nobody takes away what it, or its
next try, is to go on from. What `clean` takes away leaves its ingredients in `removed/`: `show --why` needs them.
"""

import json
from typing import Any

from etils import epath

from components.artifacts import MANIFEST, write_whole

LATEST = "latest.json"
UNFINISHED = "unfinished.json"
REMOVED = "removed"
INGREDIENTS = ("stage", "version", "params", "inputs", "sources", "libraries", "recorded")


def write_record(root: epath.Path, record: dict[str, Any]) -> None:
    """`history/<n>.json` and `latest.json`: what users' scripts read."""
    history = root / "history"
    history.mkdir(parents=True, exist_ok=True)
    number = 1 + max(numbers(root), default=0)
    text = json.dumps(record, indent=1, ensure_ascii=False)
    write_whole(history / f"{number}.json", text)
    write_whole(root / LATEST, text)


def numbers(root: epath.Path) -> list[int]:
    """Numbers of the recorded runs, ascending."""
    history = root / "history"
    return sorted(int(p.stem) for p in history.iterdir() if p.stem.isdigit()) if history.exists() else []


def records(root: epath.Path) -> dict[int, dict[str, Any]]:
    """Every record by its number, ascending."""
    return {number: json.loads((root / "history" / f"{number}.json").read_text()) for number in numbers(root)}


def latest(root: epath.Path) -> dict[str, Any]:
    """The last record. Raises FileNotFoundError where no run was recorded."""
    return json.loads((root / LATEST).read_text())


def used(record: dict[str, Any]) -> set[tuple[str, str]]:
    """(stage, fingerprint) of everything that a run was made of."""
    return {(stage, entry["fingerprint"]) for stage, entries in record["stages"].items() for entry in entries}


def unfinished(root: epath.Path) -> dict[str, dict[str, Any]]:
    """By config: `stages` of the run that has not come to its end, as a record has them."""
    try:
        return json.loads((root / UNFINISHED).read_text())
    except (FileNotFoundError, ValueError):
        return {}


def begin(root: epath.Path, config: str, stages: dict[str, list]) -> None:
    """Notes what a run has used so far and is about to make."""
    root.mkdir(parents=True, exist_ok=True)
    write_whole(root / UNFINISHED, json.dumps(unfinished(root) | {config: {"stages": stages}}))


def end(root: epath.Path, config: str) -> None:
    """Forgets the note: the run has its record."""
    noted = unfinished(root)
    if noted.pop(config, None):
        write_whole(root / UNFINISHED, json.dumps(noted))


def ingredients(root: epath.Path, stage: str, fingerprint: str) -> dict[str, Any] | None:
    """All that decided what an artifact is, also of one that was removed; None where nothing is left of it."""
    for path in (root / stage / fingerprint / MANIFEST, root / REMOVED / stage / f"{fingerprint}.json"):
        try:
            return json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            continue
    return None
