"""Text without answers: any format, read in blocks, for the tokenizer's counts and for pretraining."""

from collections.abc import Iterator
from typing import Any

from components.records import Plan, plan_blocks
from data.errors import ConfigError, did_you_mean

COLUMN = "text"


def plan_corpus(input: str, format: Any, field: str) -> list[Plan]:
    """The blocks of every file. Raises DataError when there is none, ConfigError when they have no such column."""
    plans = plan_blocks(input, format, {"train": 1.0}, "")
    known = plans[0].reader.columns(plans[0].block.path)
    if field not in known:
        raise ConfigError(
            f"pretrainer.field: got '{field}', {plans[0].block.path} has no such column{did_you_mean(field, known)}"
        )
    return plans


def texts(plan: Plan, field: str) -> Iterator[list[str]]:
    """The texts of a block, some thousand at a time; what is empty, or no text, is left out. Runs in a worker."""
    for batch in plan.reader.read(plan.block, (field,)):
        found = batch.table.column(0).to_pylist()
        yield [text for text in found if isinstance(text, str) and text.strip()]
