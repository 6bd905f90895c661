"""A run that is killed at any moment and started again ends as one left alone, bit for bit.

3 moments in `make test`, 20 in `make test-all`. The moments are drawn anew each time and told on failure.
"""

import random
import time

import pytest

from tests.pipeline.killing import finish, killed_and_started_again, results, start


@pytest.fixture(scope="module")
def undisturbed(project) -> tuple[dict[str, bytes], float]:
    """The results of a run left alone, and its seconds."""
    started = time.monotonic()
    finish(start(project, project / "undisturbed"))
    return results(project / "undisturbed"), time.monotonic() - started


@pytest.mark.parametrize("n", [*range(3), *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 20))])
def test_killed_and_started_again(project, undisturbed, n, tmp_path):
    expected, seconds = undisturbed
    killed_and_started_again(project, tmp_path, expected, random.SystemRandom().uniform(0.15, 0.95) * seconds)
