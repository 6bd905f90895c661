"""A model's answers to some rows, as JSON and as columns."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_encode = json.JSONEncoder(ensure_ascii=False).encode


class Answers(ABC):
    """One answer a row, each with the same names."""

    names: tuple[str, ...]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def json(self) -> list[str]:
        """Each answer as a JSON object."""

    @abstractmethod
    def table(self) -> "pa.Table":
        """A column for each name."""


class Judged(Answers):
    """Predictions, as a task words them."""

    def __init__(self, predictions: list[dict[str, Any]]):
        self.predictions = predictions
        self.names = tuple(predictions[0]) if predictions else ()

    def __len__(self):
        return len(self.predictions)

    def json(self):
        return [_encode(prediction) for prediction in self.predictions]

    def table(self):
        import pyarrow as pa

        return pa.table({name: [prediction[name] for prediction in self.predictions] for name in self.names})


class Raw(Answers):
    """Outputs of a signature <float, int, bool or object (str)>[N, ...] as they are."""

    def __init__(self, outputs: Mapping[str, Any], by_token: Sequence[str] = ()):
        """by_token: outputs [N, T, ...] of which a row has only the first `length`."""
        self.outputs = dict(sorted(outputs.items()))
        self.names = tuple(self.outputs)
        self.by_token = by_token

    def __len__(self):
        return len(self.outputs[self.names[0]])

    def json(self):
        names = [_encode(name) for name in self.names]
        return [
            "{" + ", ".join(f"{name}: {_encode(value)}" for name, value in zip(names, row, strict=True)) + "}"
            for row in zip(*map(self._lists, self.names), strict=True)
        ]

    def table(self):
        import pyarrow as pa

        return pa.table({name: self._column(name) for name in self.names})

    def _lists(self, name: str) -> Iterator[Any]:
        """A row's value, as JSON has it."""
        values = _shortest(self.outputs[name])
        if name in self.by_token:
            return (row[:length].tolist() for row, length in zip(values, self.outputs["length"], strict=True))
        return iter(values.tolist())

    def _column(self, name: str) -> "pa.Array":
        import numpy as np
        import pyarrow as pa

        values = self.outputs[name]
        if name not in self.by_token:
            return _fixed(values)
        length = self.outputs["length"]
        real = np.arange(values.shape[1]) < length[:, None]
        return pa.ListArray.from_arrays(np.append(0, np.cumsum(length)).astype(np.int32), _fixed(values[real]))


def _shortest(values: Any) -> Any:
    """Floats as short as JSON can spell them: 0.1, and not the 0.10000000149011612 that a float32 of it is."""
    import numpy as np

    if values.dtype != np.float32:
        return values
    found = wide = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exponent = np.floor(np.log10(np.abs(wide)))
        for figures in (9, 8, 7, 6):  # nine tell any two float32 apart
            digits = figures - 1 - exponent
            scale = 10.0 ** np.abs(digits)
            short = np.where(digits > 0, np.round(wide * scale) / scale, np.round(wide / scale) * scale)
            found = np.where(short.astype(np.float32) == values, short, found)
    return found


def _fixed(values: Any) -> "pa.Array":
    """An array [N, ...] as a column of lists of a fixed size, of lists of ..."""
    import pyarrow as pa

    column = pa.array(values.ravel())
    for size in reversed(values.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column
