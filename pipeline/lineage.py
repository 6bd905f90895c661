"""Where things come from: `show --why STAGE` and `show --lineage MODEL`, read from manifests and records alone."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from etils import epath

from components.artifacts import MANIFEST
from components.saved_model import find_model
from components.versions import ORIGIN
from data.errors import ConfigError, did_you_mean
from pipeline.graph import GRAPH, STAGES
from pipeline.history import LATEST, ingredients, records
from pipeline.served import pipelines

FEEDS = {node.name: node.inputs for node in GRAPH}
DRAWN_FILES = 5  # of one artifact, in the drawing; `--json` has them all


class Reason(NamedTuple):
    """One thing that differs. depth: how many stages upstream; what: param, input, source, version, library or note."""

    depth: int
    stage: str
    span: str
    what: str
    name: str
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        place = f"{self.stage}{f' of span {self.span}' if self.span else ''}"
        said = f": {self.before} -> {self.after}" if (self.before, self.after) != (None, None) else ""
        return f"{'  ' * self.depth}{place}: {self.what} {self.name}".rstrip() + said


def why(root: epath.Path, stage: str) -> dict[str, Any]:
    """Why a stage last worked: `run`, the run `before` it that it is compared with, and the `reasons`.

    The run before is the last one of the same config that had the stage, else of any. Raises ConfigError.
    """
    if stage not in STAGES:
        raise ConfigError(f"show --why {stage}: unknown stage{did_you_mean(stage, STAGES)}")
    runs = {number: record for number, record in records(root).items() if stage in record["stages"]}
    made = [number for number, record in runs.items() if not all(entry["cached"] for entry in record["stages"][stage])]
    if not made:
        raise ConfigError(f"show --why {stage}: no recorded run of '{root.name}' has made it")
    run = made[-1]
    earlier = [number for number in runs if number < run]
    same = [number for number in earlier if runs[number].get("config") == runs[run].get("config")]
    before = max(same or earlier, default=None)
    found: dict[str, Any] = {"stage": stage, "run": run, "before": before, "since": sum(n > run for n in runs)}
    if before is None:
        return found | {"reasons": []}
    seen: set[tuple[str, str]] = set()
    reasons: list[Reason] = []
    for entry in runs[run]["stages"][stage]:
        if not entry["cached"]:
            reasons += _reasons(root, (runs[before], runs[run]), stage, entry["span"], 0, seen)
    return found | {"reasons": reasons}


def _reasons(
    root: epath.Path, pair: tuple[dict, dict], stage: str, span: str, depth: int, seen: set[tuple[str, str]]
) -> Iterator[Reason]:
    """What differs in a stage's ingredients between two runs, and upstream of it; each place is told once."""
    if (stage, span) in seen:
        return
    seen.add((stage, span))
    old, new = (_of_span(record, stage, span) for record in pair)

    def reason(what: str, name: str = "", before: Any = None, after: Any = None) -> Reason:
        return Reason(depth, stage, span, what, name, before, after)

    if old is None or new is None:
        yield reason("note", "a new span" if new else "a span that is no longer there")
        return
    if old == new:
        yield reason("note", "nothing differs: its artifact was removed, or was not whole")
        return
    was, now = (ingredients(root, stage, fingerprint) for fingerprint in (old, new))
    if was is None or now is None:
        yield reason("note", "nothing is left of the artifact before, so what differs is not known", old, new)
        return
    if was["version"] != now["version"]:
        yield reason("version", "", was["version"], now["version"])
    for what, part in (("param", "params"), ("library", "libraries")):
        for name, (before, after) in _differing(was.get(part, {}), now.get(part, {})).items():
            yield reason(what, name, "(default)" if before is None else before, "(default)" if after is None else after)
    for name in sorted(was["sources"].keys() | now["sources"].keys()):
        if was["sources"].get(name) != now["sources"].get(name):
            for path, (before, after) in _differing(_paths(was, name), _paths(now, name)).items():
                change = "is new" if before is None else "is gone" if after is None else "has another content"
                yield reason("source", f"{name}, {path} {change}", before, after)
    for name in sorted(was["inputs"].keys() | now["inputs"].keys()):
        if was["inputs"].get(name) != now["inputs"].get(name):
            fed = FEEDS.get(stage, {}).get(name, name)
            yield reason("input", f"{name}, made by {fed}", was["inputs"].get(name), now["inputs"].get(name))
            spans = dict.fromkeys(e["span"] for record in pair for e in record["stages"].get(fed, ()))
            for each in [span] if span and span in spans else spans:
                if _of_span(pair[0], fed, each) != _of_span(pair[1], fed, each):
                    yield from _reasons(root, pair, fed, each, depth + 1, seen)


def _of_span(record: dict[str, Any], stage: str, span: str) -> str | None:
    return next((e["fingerprint"] for e in record["stages"].get(stage, ()) if e["span"] == span), None)


def _paths(manifest: dict[str, Any], source: str) -> dict[str, str]:
    """Hash by path; by place where an artifact is older than the record of its paths."""
    known = manifest.get("recorded", {}).get("paths", {}).get(source)
    if known is None:
        return {f"file {n}": str(each) for n, each in enumerate(manifest["sources"].get(source) or ())}
    return dict(known)


def _differing(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """(before, after) of every dotted key that differs."""
    was, now = dict(_flat(old)), dict(_flat(new))
    return {
        key: (was.get(key), now.get(key)) for key in sorted(was.keys() | now.keys()) if was.get(key) != now.get(key)
    }


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def lineage(model: str, home: str) -> dict[str, Any]:
    """All that a model came from: `nodes` by id (its kind is version, artifact or file) and `edges` [from, to, name].

    model: what `predict` takes, or the name of a pipeline under `home`. Raises ConfigError.
    """
    place, properties = find_model(pipelines(home).get(model, model))
    origin = properties.get(ORIGIN) or place.parent.name
    roots = [parent for parent in place.parents if (parent / LATEST).exists()] + list(pipelines(home).values())
    root = next((root for root in roots if (root / "trainer" / origin / MANIFEST).exists()), None)
    if root is None:
        raise ConfigError(
            f"show --lineage {model}: the model artifact {origin} is in no pipeline of {home}; wanted --home HOME, "
            "where it was trained"
        )
    nodes: dict[str, dict[str, Any]] = {}
    edges: list[list[str]] = []
    last = f"trainer/{origin}"
    if place.parent.name != origin:
        last = f"{place.parent.name}/{place.name}"
        nodes[last] = {"kind": "version", "model": place.parent.name, "version": place.name, "path": str(place)}
        edges.append([_walk(root, *_pushed(root, origin), nodes, edges), last, "pushed"])
    else:
        _walk(root, "trainer", origin, nodes, edges)
    return {"model": last, "pipeline": root.name, "nodes": nodes, "edges": edges}


def _pushed(root: epath.Path, origin: str) -> tuple[str, str]:
    """The push of a model artifact, with the verdicts it rests on; the model artifact itself where that is gone."""
    for path in sorted((root / "pusher").glob(f"*/{MANIFEST}")):
        manifest = json.loads(path.read_text())
        if manifest["inputs"]["trained"] == [origin] and manifest["properties"].get("served"):
            return "pusher", path.parent.name
    return "trainer", origin


def feeder(root: epath.Path, stage: str, parameter: str, fingerprint: str) -> str:
    """The stage that made an input; of a champion, and of an artifact that an older graph made, the stage whose folder
    it is in."""
    known = FEEDS.get(stage, {}).get(parameter, "")
    if known in STAGES:
        return known
    return next((name for name in STAGES if ingredients(root, name, fingerprint)), parameter)


def _walk(root: epath.Path, stage: str, fingerprint: str, nodes: dict, edges: list) -> str:
    """Adds an artifact with all it came from; returns its id."""
    name = f"{stage}/{fingerprint}"
    if name in nodes:
        return name
    manifest = ingredients(root, stage, fingerprint)
    nodes[name] = {"kind": "artifact", "stage": stage, "path": str(root / stage / fingerprint), "params": None}
    if manifest is None:
        return name
    nodes[name] |= {key: manifest[key] for key in ("params", "version")} | {"span": manifest["params"].get("span")}
    for parameter, fingerprints in manifest["inputs"].items():
        for each in fingerprints:
            edges.append([_walk(root, feeder(root, stage, parameter, each), each, nodes, edges), name, parameter])
    for source in manifest["sources"]:
        for path, digest in _paths(manifest, source).items():
            nodes[path] = {"kind": "file", "path": path, "xxh3": digest, "here": epath.Path(path).exists()}
            edges.append([path, name, source])
    return name


def mermaid(graph: dict[str, Any]) -> str:
    """The lineage as a Mermaid flowchart."""
    ids: dict[str, str] = {}
    lines = ["flowchart LR"]
    drawn: dict[str, int] = {}
    for start, end, name in graph["edges"]:
        if graph["nodes"][start]["kind"] == "file":
            drawn[end] = drawn.get(end, 0) + 1
            if drawn[end] > DRAWN_FILES:
                continue
        for node in (start, end):
            if node not in ids:
                ids[node] = f"n{len(ids)}"
                lines.append(f'  {ids[node]}["{_label(graph["nodes"][node])}"]')
        lines.append(f"  {ids[start]} -->|{name}| {ids[end]}")
    for n, (node, files) in enumerate(drawn.items()):
        if files > DRAWN_FILES:
            lines += [f'  m{n}["{files - DRAWN_FILES} more files"]', f"  m{n} --> {ids[node]}"]
    return "\n".join(lines)


def _label(node: dict[str, Any]) -> str:
    if node["kind"] == "version":
        text = f"{node['model']} version {node['version']}"
    elif node["kind"] == "artifact":
        span = f" span {node['span']}" if node.get("span") else ""
        text = f"{node['stage']}{span}<br/>{epath.Path(node['path']).name}"
    else:
        text = node["path"] + ("" if node["here"] else " (gone)")
    return text.replace('"', "#quot;")


def told(graph: dict[str, Any]) -> list[str]:
    """The lineage in lines: each artifact once, the newest first, with what it was made of below it."""
    by_end: dict[str, list[tuple[str, str]]] = {}
    for start, end, name in graph["edges"]:
        by_end.setdefault(end, []).append((name, start))
    lines, waiting, seen = [], [graph["model"]], set()
    while waiting:
        node = waiting.pop(0)
        if node in seen or graph["nodes"][node]["kind"] == "file":
            continue
        seen.add(node)
        params = graph["nodes"][node].get("params")
        lines.append(node + (f"   {json.dumps(params, ensure_ascii=False)}" if params else ""))
        for name, start in by_end.get(node, ()):
            here = graph["nodes"][start].get("here", True)
            lines.append(f"  {name}: {start}{'' if here else ' (gone)'}")
            waiting.append(start)
    return lines
