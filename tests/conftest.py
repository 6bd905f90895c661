"""Fixtures that tests of several packages use."""

from tests.bucket import bucket

__all__ = ["bucket"]
