"""SIGKILL at random moments of a pipeline, then the same command again.

Each time: does it finish, does it make again only what was not whole, and are token store, weights, metrics and
predictions those of an undisturbed run, bit for bit. The moments are drawn from the seed, between the start of the
process and its end.

    python -m benchmarks.chaos --kills 100
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

from benchmarks.common import print_table
from tests.pipeline.conftest import CONFIG, write_rows
from tests.pipeline.killing import finish, killed_and_started_again, results, start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=12, help="12 make a run of about 15 s on 2 quiet cores")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    pick = random.Random(given.seed)
    rows: list[tuple[str, ...]] = [("kill", "after, s", "of", "whole by then", "started again")]
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        (project / "tiny.toml").write_text(CONFIG.format(folder=project))
        write_rows(project / "span-1.csv", 300, 1)
        write_rows(project / "span-2.csv", 60, 2)
        started = time.monotonic()
        finish(start(project, project / "undisturbed", given.epochs))
        seconds, expected = time.monotonic() - started, results(project / "undisturbed")
        for kill in range(1, given.kills + 1):
            moment = pick.uniform(0, 1) * seconds
            try:
                made = killed_and_started_again(project, project / f"home-{kill}", expected, moment, given.epochs)
                rows.append((str(kill), f"{moment:.2f}", f"{seconds:.1f}", str(made), "equal, bit for bit"))
            except AssertionError as error:
                failed += 1
                rows.append((str(kill), f"{moment:.2f}", f"{seconds:.1f}", "", f"FAILED: {error}"))
    print_table(f"{given.kills} kills, {failed} failed", rows)
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
