"""A command that is killed at any moment and given again ends as one left alone, bit for bit.

3 moments of a run and one of a retrain in `make test`, 20 and 11 in `make test-all`. The moments are drawn anew each
time and told on failure.
"""

import random
import time

import pytest

from tests.pipeline.killing import Job, finish, killed_and_started_again, prepare, results, start

Undisturbed = tuple[Job, dict[str, bytes], float]


def moments(fast: int, all_of_them: int) -> list:
    return [*range(fast), *(pytest.param(n, marks=pytest.mark.slow) for n in range(fast, all_of_them))]


def left_alone(job: Job) -> Undisturbed:
    """The job, its results and its seconds."""
    started = time.monotonic()
    finish(start(job, job.project / "undisturbed"))
    return job, results(job, job.project / "undisturbed"), time.monotonic() - started


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Undisturbed:
    return left_alone(prepare(tmp_path_factory.mktemp("run"), "run"))


@pytest.fixture(scope="module")
def retrain(tmp_path_factory) -> Undisturbed:
    return left_alone(prepare(tmp_path_factory.mktemp("retrain"), "retrain", epochs=4))


@pytest.mark.parametrize("n", moments(3, 20))
def test_a_run_killed_and_started_again(run, n, tmp_path):
    job, expected, seconds = run
    killed_and_started_again(job, tmp_path / "home", expected, random.SystemRandom().uniform(0.15, 0.95) * seconds)


@pytest.mark.parametrize("n", moments(0, 11))
def test_a_retrain_killed_and_started_again(retrain, n, tmp_path):
    job, expected, seconds = retrain
    killed_and_started_again(job, tmp_path / "home", expected, random.SystemRandom().uniform(0.15, 0.95) * seconds)
