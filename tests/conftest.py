"""Fixtures that tests of several packages use."""

from tests.bucket import bucket
from tests.package import installed, sdist, source_tree
from tests.wheels import older_tensorflow

LONG = "test_matrix", "pipeline/", "models/test_parallel", "models/test_families", "models/test_tasks"

__all__ = ["bucket", "installed", "older_tensorflow", "sdist", "source_tree"]


def pytest_collection_modifyitems(items):
    """Files whose tests are long come first, so that no worker is left with one of them when the others are done."""
    items.sort(key=lambda item: next((n for n, name in enumerate(LONG) if name in item.nodeid), len(LONG)))
