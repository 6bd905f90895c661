"""What several specs share of their options."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]


def unread(spec: BaseModel, choice: str, readers: Mapping[str, tuple[str, ...]]) -> list[str]:
    """One line for each option that is set, though what `choice` is set to does not read it.

    readers: by option, the values of `choice` that do.
    """
    chosen = getattr(spec, choice)
    return [
        f"{name}: {choice} '{chosen}' does not read it, only {' and '.join(map(repr, values))}"
        for name, values in readers.items()
        if name in spec.model_fields_set and chosen not in values
    ]
