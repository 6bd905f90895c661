"""Benchmarks: each prints one table, with both sides measured in one run."""
