"""Fixtures that tests of several packages use."""

from tests.bucket import bucket
from tests.package import installed, sdist, source_tree
from tests.wheels import older_tensorflow

__all__ = ["bucket", "installed", "older_tensorflow", "sdist", "source_tree"]
