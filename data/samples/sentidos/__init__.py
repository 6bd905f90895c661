"""Pairs of Spanish sentences with an ambiguous word: the same sense, or two."""
