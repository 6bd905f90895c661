"""SIGKILL at random moments of a pipeline, then the same command again.

Each time: does it finish, does it make again only what was not whole, and are token store, weights, metrics,
predictions, the record but for its times, and what is served those of an undisturbed one, bit for bit, nothing pushed
twice. A retrain, of a second span after a first run, must besides come to the same decision by the same comparison. The
moments are drawn from the seed, between the start of the process and its end.

    python -m benchmarks.chaos --kills 100 [--command retrain]
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

from benchmarks.common import print_table
from tests.pipeline.killing import finish, killed_and_started_again, prepare, results, start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", choices=("run", "retrain"), default="run")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=12, help="12 make a run of about 15 s on 2 quiet cores")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    pick = random.Random(given.seed)
    rows: list[tuple[str, ...]] = [("kill", "after, s", "of", "made by then", "started again")]
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        job = prepare(project, given.command, given.epochs)
        started = time.monotonic()
        finish(start(job, project / "undisturbed"))
        seconds, expected = time.monotonic() - started, results(job, project / "undisturbed")
        for kill in range(1, given.kills + 1):
            moment = pick.uniform(0, 1) * seconds
            try:
                made = killed_and_started_again(job, project / f"home-{kill}", expected, moment)
                rows.append((str(kill), f"{moment:.2f}", f"{seconds:.1f}", str(made), "equal, bit for bit"))
            except AssertionError as error:
                failed += 1
                rows.append((str(kill), f"{moment:.2f}", f"{seconds:.1f}", "", f"FAILED: {error}"))
    print_table(f"{given.kills} kills of {given.command}, {failed} failed", rows)
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
