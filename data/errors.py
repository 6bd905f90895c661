"""The three errors a user can meet. Each says where, what was got, what was wanted, what to do.

`assert` is kept for our own invariants; a mistake of the user's never shows a traceback.
"""

import difflib
from collections.abc import Iterable


class PolisemiaError(Exception):
    """Base of every error that is reported as a sentence and not as a traceback."""


class ConfigError(PolisemiaError):
    """The command or the config is wrong (exit code 2). `problems` holds one line a problem."""

    def __init__(self, *problems: str):
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class DataError(PolisemiaError):
    """The data is not what the config says it is (exit code 1)."""


class StageError(PolisemiaError):
    """A stage could not do its work (exit code 1)."""


def did_you_mean(got: str, known: Iterable[str], listed: bool = False) -> str:
    """`"; did you mean 'lstm'?"` when a known name is close to `got`; else, and beside it if `listed`, all of them."""
    known = sorted(known)
    close, every = difflib.get_close_matches(got, known, n=1, cutoff=0.6), f"known: {', '.join(known)}"
    return f"; did you mean '{close[0]}'?{f' ({every})' * listed}" if close else f"; {every}"
