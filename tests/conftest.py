"""Fixtures that tests of several packages use."""

from tests.bucket import bucket
from tests.package import installed, sdist, source_tree

__all__ = ["bucket", "installed", "sdist", "source_tree"]
