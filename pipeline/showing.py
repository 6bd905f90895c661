"""What `show` and `clean` print: runs, versions, lineage, and what would be freed."""

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from etils import epath
from rich.console import Console
from rich.table import Table

from components.decider import KEEP
from data.errors import ConfigError
from pipeline.cleaning import remove, unneeded
from pipeline.history import latest, records
from pipeline.home import disk_errors, locked
from pipeline.lineage import lineage, mermaid, told, why
from pipeline.report import print_record
from pipeline.served import find_pipeline, pipelines, served_folder, versions_table

SHOWN_RUNS = 20  # of a pipeline, the newest; `--json` has them all
UNITS = ("bytes", "KB", "MB", "GB", "TB")


def print_latest(name: str, home: str, as_json: bool) -> None:
    """`show`: the last run of one pipeline, all its runs and what it serves; or a line for each of the home's."""
    if name:
        root = find_pipeline(name, home, "show")
        served = served_folder(root)
        runs = runs_table(root)
        record = latest(root) | {"versions": versions_table(served) if served else [], "runs": runs}
        if as_json:
            print(json.dumps(record, indent=1, ensure_ascii=False))
            return
        _print_runs(runs)
        print_record(record)
        return
    found = {pipeline: latest(root) for pipeline, root in pipelines(home).items()}
    if not found:
        raise ConfigError(f"show: no run under {home} yet; `polisemia run CONFIG` makes one")
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for pipeline, record in found.items():
        metrics = record.get("evaluation", {}).get("metrics", {})
        first = next((f"{n} {m['value']:.4f}" for n, m in metrics.items()), "not evaluated")
        print(f"{pipeline:<24} {record['task']:<20} {first:<24} {(record.get('served') or {}).get('path', '')}")
    sys.stdout.flush()


def runs_table(root: epath.Path) -> list[dict[str, Any]]:
    """Every recorded run, ascending: its config, the spans it read, what it made anew, its verdict and version."""
    table = []
    for number, record in records(root).items():
        stages = record["stages"]
        served = record.get("served")
        table.append(
            {
                "run": number,
                "config": record.get("config", ""),
                "spans": [entry["span"] for entry in stages.get("example_gen", ()) if entry["span"]],
                "made": [stage for stage, entries in stages.items() if not all(entry["cached"] for entry in entries)],
                "verdict": _verdict(record),
                "version": served["version"] if served else None,
            }
        )
    return table


def _verdict(record: dict[str, Any]) -> str:
    if rollback := record.get("rollback"):
        return f"rolled back from {rollback['from']} to {rollback['to']}"
    retrained = record.get("retrain", {})
    if retrained.get("decision") == KEEP:
        return "champion kept"
    if "comparison" in retrained:
        return f"{retrained['decision']}: {'took over' if retrained['pushed'] else 'refused'}"
    if "evaluation" not in record:
        return f"stopped after {list(record['stages'])[-1]}"
    return "blessed" if record["evaluation"]["blessed"] else "refused"


def _print_runs(runs: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, title="runs", title_justify="left")
    for column in ("run", "verdict", "version", "spans", "made", "config"):
        table.add_column(column, no_wrap=column not in ("spans", "made", "config"))
    for run in runs[-SHOWN_RUNS:]:
        spans, made = " ".join(run["spans"]), " ".join(run["made"]) or "nothing: all was whole"
        table.add_row(str(run["run"]), run["verdict"], str(run["version"] or ""), spans, made, run["config"])
    Console().print(table)
    if len(runs) > SHOWN_RUNS:
        print(f"{len(runs) - SHOWN_RUNS} older runs: --json lists them")


def print_why(name: str, stage: str, home: str, as_json: bool) -> None:
    """`show --why`: what differs between the run that last made a stage and the one before it."""
    known = pipelines(home)
    if not name and len(known) != 1:
        raise ConfigError(f"show --why {stage}: of which pipeline? wanted a NAME; known: {', '.join(known) or 'none'}")
    found = why(find_pipeline(name or next(iter(known)), home, "show"), stage)
    if as_json:
        print(json.dumps(found | {"reasons": [reason._asdict() for reason in found["reasons"]]}, indent=1))
        return
    if found["before"] is None:
        print(f"{stage} ran in run {found['run']} for the first time; there is no run before to compare with")
    else:
        print(f"{stage} ran in run {found['run']}; compared with run {found['before']}:")
    for reason in found["reasons"]:
        print(reason)
    if found["since"]:
        print(f"{found['since']} later run(s) found it whole and did not make it again")


def print_lineage(model: str, home: str, as_json: bool) -> None:
    """`show --lineage`: each artifact and what it was made of, then the drawing; or nodes and edges."""
    graph = lineage(model, home)
    if as_json:
        print(json.dumps(graph, indent=1, ensure_ascii=False))
        return
    print("\n".join([*told(graph), "", "```mermaid", mermaid(graph), "```"]))


def print_clean(
    roots: dict[str, epath.Path], home: str, keep: int, yes: bool, as_json: bool, on_wait: Callable[[str], None]
) -> None:
    """`clean`: what goes, or would go, of each pipeline, and how much that frees. Holds the lock where it removes."""
    result: dict[str, Any] = {"removed": yes, "bytes": 0, "artifacts": []}
    for root in roots.values():
        with disk_errors(root), locked(root, on_wait) if yes else nullcontext():
            found = unneeded(root, home, keep)
            for each in found:
                entry = {"path": str(root / each.stage / each.fingerprint), **each._asdict()}
                result["artifacts"].append(entry)
                result["bytes"] += each.bytes
                if not as_json:
                    print(
                        f"{_size(each.bytes):>9}  {entry['path']}{'' if each.whole else '  (unfinished)'}", flush=True
                    )
            if yes:
                remove(root, found)
    if as_json:
        print(json.dumps(result, indent=1, ensure_ascii=False))
        return
    count, size = len(result["artifacts"]), _size(result["bytes"])
    if not count:
        print("nothing to remove: every artifact is needed")
    elif yes:
        print(f"removed {count} artifacts, {size}")
    else:
        print(f"{count} artifacts that no kept run needs, {size}; nothing is removed yet: --yes does it")


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.{1 if unit else 0}f} {UNITS[unit]}"
