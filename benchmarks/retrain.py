"""What a retrain reads and costs against the first run, where 1 % of the rows are new.

    python -m benchmarks.retrain [--rows 100000]

CPU of ingest to tokens (example_gen, statistics_gen, split_guard, transform), all threads, imports and the start of
TensorFlow left out: both runs are in this process, after a small one that loads everything.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import print_table
from benchmarks.data_path import write_texts

STAGES = ("example_gen", "statistics_gen", "split_guard", "schema_gen", "example_validator", "transform")
SHARE = 100  # the first span has this many times the rows of the second


def config(folder: Path, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "task": "classification",
        "example_gen": {"input": f"{folder}/{name}-{{span}}.csv"},
        "tokenizer_gen": {"kind": "wordpiece", "vocabulary_size": 8000},
        "trainer": {"family": "bag_of_words", "epochs": 1},
        "decider": {"keep_steady": True},
        "evaluator": {"slices": [], "resamples": 50},
    }


def timed(job: Any) -> tuple[float, int]:
    """CPU seconds of the stages up to transform, without tokenizer_gen, and rows they read and tokenised."""
    seconds, before = {}, time.process_time()

    def on_stage(stage: str, span: str) -> None:
        nonlocal before
        now = time.process_time()
        seconds[on_stage.stage] = seconds.get(on_stage.stage, 0.0) + now - before
        on_stage.stage, before = stage, now

    on_stage.stage = ""
    job.on_stage = on_stage
    job.to("transform", write=False)
    on_stage("", "")
    made = [run for run in job.made if run.stage == "transform" and not run.cached]
    rows = sum(part["texts"] for run in made for part in run.artifact.properties["splits"].values())
    return sum(seconds.get(stage, 0.0) for stage in STAGES), rows


def measure(folder: Path, name: str, rows: int) -> tuple[tuple[float, int], tuple[float, int]]:
    """(CPU seconds, rows tokenised) of the first run and of the retrain."""
    from etils import epath

    from components.base import Runtime
    from pipeline.config import check_config
    from pipeline.graph import CHAMPION
    from pipeline.retraining import find_champion, retrain, tokenizer_of
    from pipeline.runner import Run

    checked, home = check_config(config(folder, name)), epath.Path(folder / "runs")
    write_texts(folder / f"{name}-1.csv", rows)
    first = timed(Run(checked, home, Runtime()))
    retrain(checked, home, Runtime())
    write_texts(folder / f"{name}-2.csv", max(rows // SHARE, 100))
    champion = find_champion(home / name, checked.path)
    again = Run(checked, home, Runtime(), given={CHAMPION: champion})
    again.pinned["tokenizer_gen"] = tokenizer_of(home / name, champion)
    return first, timed(again)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="of the first span")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        print("  once to load everything ...", file=sys.stderr)
        measure(folder, "warm", 2000)
        (first, all_rows), (again, new_rows) = measure(folder, "rows", rows)
    print_table(
        f"retrain with 1 % new rows, {rows} before",
        [
            ("", "first run", "retrain", "share", "wanted"),
            ("rows tokenised", str(all_rows), str(new_rows), f"{new_rows / all_rows:.2%}", "<= 2 %"),
            ("CPU, ingest to tokens", f"{first:.2f} s", f"{again:.2f} s", f"{again / first:.2%}", "<= 5 %"),
        ],
    )


if __name__ == "__main__":
    main()
