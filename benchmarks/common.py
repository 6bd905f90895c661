"""What the benchmarks share: the corpora, a run of a config, a table."""

import csv
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = tuple[str, ...]
CORPORA = Path(__file__).parent.parent.parent / "shared" / "data"


def run(raw: dict[str, Any], home: Path, until: str = "") -> dict[str, Any]:
    """Runs a config given as nested dicts and returns what `latest.json` holds."""
    from etils import epath

    from components.base import Runtime
    from pipeline.config import check_config
    from pipeline.runner import Run

    print(f"  running {raw['name']} ...", file=sys.stderr)
    job = Run(check_config(raw), epath.Path(home), Runtime())
    job.to(until)
    return job.record()


def value(record: dict[str, Any], metric: str = "accuracy") -> float:
    return record["evaluation"]["metrics"][metric]["value"]


def print_row(rows: Mapping[str, Callable[[Path, str], list[tuple[str, ...]]]], usage: str) -> None:
    """Runs the rows that the command line names, in the folder that it names."""
    folder, names = folder_and_rows(rows, usage)
    for name in names:
        print_table(name, rows[name](folder, name))


def folder_and_rows(rows: Iterable[str], usage: str) -> tuple[Path, list[str]]:
    """`... FOLDER [ROW...]` of the command line; the folder is made."""
    known = list(rows)
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(known):
        raise SystemExit(f"{usage}\nrows: {', '.join(known)}")
    folder = Path(sys.argv[1])
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    return folder, sys.argv[2:]


def print_kept(title: str, header: Sequence[str], keys: Sequence[str], rows: Iterable[str], folder: Path) -> None:
    """A table of what rows have left in `folder`/rows, those that were not run empty. keys: of what a row left."""
    found = {name: folder / "rows" / f"{name}.json" for name in rows}
    kept = {name: load_json(path) if path.exists() else {} for name, path in found.items()}
    print_table(title, [tuple(header), *((name, *(row.get(key, "") for key in keys)) for name, row in kept.items())])


def print_each(
    title: str, header: tuple[str, ...], rows: Mapping[str, Callable[[Path], list[tuple[str, ...]]]]
) -> None:
    """A table of the rows that the command line names, or all, each made in one folder that goes."""
    table = [header]
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or rows:
            table += rows[name](Path(folder))
    print_table(title, table)


def print_table(title: str, rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(f"\n{title}\n")
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def corpus(name: str, folder: Path) -> dict[str, Any]:
    """The `[example_gen]` section of a corpus, without a valid split: nothing here is chosen by one.

    TREC is rewritten into `folder`, since its label shares the text's line.
    """
    whole = {"splits": {"train": 1.0}}
    if name == "sst2":
        path = CORPORA / "sst2_socher"
        columns = {"name": "tsv", "columns": ["text", "label"], "quoting": False}
        return {"input": {"train": f"{path}/train.tsv", "dev": f"{path}/dev.tsv"}, "format": columns, **whole}
    if name == "trec":
        for split in ("train", "test"):
            lines = (CORPORA / "trec" / f"TREC.{split}").read_text(encoding="latin-1").splitlines()
            rows = [(line.partition(":")[0], line.partition(" ")[2]) for line in lines]
            with (folder / f"trec-{split}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([("label", "text"), *rows])
        return {"input": {split: f"{folder}/trec-{split}.csv" for split in ("train", "test")}, **whole}
    shares = {"train": 0.8, "test": 0.2}
    if name == "mr":
        path = CORPORA / "rotten_tomatoes_mr" / "rt-polarity.{label}"
        return {"input": str(path), "format": {"name": "text", "encoding": "latin-1"}, "splits": shares}
    if name == "bbc":
        path = CORPORA / "bbc_news_summary" / "bbc_news_summary.jsonl"
        return {"input": str(path), "fields": {"text": "article", "label": "topic"}, "splits": shares}
    assert name == "cola", name
    path = CORPORA / "cola"
    columns = {"name": "tsv", "columns": ["source", "label", "mark", "text"], "quoting": False}
    given = {"train": f"{path}/in_domain_train.tsv", "dev": f"{path}/in_domain_dev.tsv"}
    return {"input": given, "format": columns, **whole}


def artifact(record: dict[str, Any], stage: str) -> Path:
    return Path(record["stages"][stage][0]["artifact"])


def load_json(path: Path) -> Any:
    return json.loads(path.read_text())
