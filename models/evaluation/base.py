"""What a task's answers mean: to a user, who sees predictions, and to the evaluator, who holds them against the truth.

Keras-free: it reads what an exported model answered.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from data.schema import KEY, WEIGHT

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

TEXT_START = 200  # characters of a text in tables of predictions
Interval = dict[str, float]  # value, low, high


class Judgement(ABC):
    """A model's answers beside the truth, for the rows of a split.

    answers: what the signature gave, arrays [N, ...]; examples: the rows; labels: the model's.
    train: the training split's columns `truth`, all that the baseline may know.
    """

    higher: ClassVar[tuple[str, ...]]  # metrics that are better when higher, the first one first
    lower: ClassVar[tuple[str, ...]]  # and those that are better when lower
    texts: ClassVar[tuple[str, ...]]  # columns with what the model read, where the examples have them
    truth: ClassVar[tuple[str, ...]]  # columns with what it should have answered
    slices: ClassVar[tuple[str, ...]] = ()  # what is measured apart where the config is silent

    loss: np.ndarray  # <float64>[N] how wrong each answer is

    @abstractmethod
    def __init__(
        self, answers: Mapping[str, np.ndarray], examples: "pa.Table", train: "pa.Table", labels: Sequence[str]
    ): ...

    @staticmethod
    @abstractmethod
    def predictions(answers: Mapping[str, np.ndarray], labels: Sequence[str]) -> list[dict[str, Any]]:
        """What `predict` writes for each row."""

    @classmethod
    def vectors_of(cls, columns: Sequence[str]) -> Sequence[str]:
        """Texts NAME of which it takes the vectors (signature `vector`, where the model has it), too, as answers
        NAME_vector <float32>[N, width], of examples with these columns."""
        return ()

    @abstractmethod
    def measure(self, resamples: int, seed: int, rows: np.ndarray | None = None) -> dict[str, Interval]:
        """Every metric with its 95 % interval, over all rows or those of an index <int>[n]."""

    @abstractmethod
    def at(self, weights: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """These metrics <float64>[R] where each row counts as often as weights <float64>[R, N] say; NaN where there is
        nothing to measure. For comparing two models on the same resamples."""

    def right(self) -> np.ndarray | None:
        """Which answers are right <bool>[N], for tasks where an answer is that or wrong."""
        return None

    @abstractmethod
    def baseline(self) -> tuple[dict[str, float], str]:
        """The same metrics for an answer that reads no text, and a sentence that says what it answers."""

    @abstractmethod
    def table(self) -> "pa.Table":
        """One row an example: key, start of the text, truth, answer and loss."""

    def groups(self, name: str) -> list[tuple[str, np.ndarray]] | None:
        """(value, row indexes <int>[n]) of a slice that the task knows to make; None where it is no such slice."""
        return None

    @abstractmethod
    def details(self, resamples: int, seed: int) -> dict[str, Any]:
        """What else the task tells, for metrics.json."""

    def figures(self) -> "dict[str, Figure]":
        """Pictures by file name."""
        return {}

    def remarks(self) -> list[str]:
        """What else its figures must be read with, such as what is wrong with the truth itself, in sentences."""
        return []


class Summed(Judgement):
    """For metrics of a whole split that follow from sums over its rows: F1 from counts, perplexity from losses.

    A subclass sets `examples`, `loss` and `statistics` <float64>[N, k], what each row adds to the sums, and says what
    the metrics of sums are.
    """

    statistics: np.ndarray
    examples: "pa.Table"

    @staticmethod
    @abstractmethod
    def of_sums(sums: np.ndarray) -> dict[str, np.ndarray]:
        """Every metric <float64>[...] of sums <float64>[..., k]; NaN where there is nothing to measure."""

    @abstractmethod
    def shown(self) -> "dict[str, pa.Array]":
        """Columns of `table` with the truth and the answers."""

    def measure(self, resamples, seed, rows=None):
        statistics = self.statistics if rows is None else self.statistics[rows]
        return resampled(self.of_sums, statistics, resamples, seed)

    def at(self, weights, names):
        values = self.of_sums(weights @ self.statistics)
        return {name: np.asarray(values[name]) for name in names}

    def point(self, statistics: np.ndarray) -> dict[str, float]:
        """The metrics of other answers to the same rows, such as a baseline's."""
        values = {name: float(value) for name, value in self.of_sums(statistics.sum(axis=0)).items()}
        return {name: value for name, value in values.items() if np.isfinite(value)}

    def table(self):
        import pyarrow as pa

        starts = starts_of(self.examples, self.texts)
        return pa.table({KEY: self.examples.column(KEY), **starts, **self.shown(), "loss": pa.array(self.loss)})

    def details(self, resamples, seed):
        return {}


def starts_of(examples: "pa.Table", texts: Sequence[str]) -> "dict[str, pa.Array]":
    """The starts of the texts that the examples have."""
    import pyarrow.compute as pc

    present = [name for name in texts if name in examples.column_names]
    return {name: pc.utf8_slice_codeunits(examples.column(name), 0, TEXT_START) for name in present}


def weights_of(examples: "pa.Table") -> np.ndarray:
    """<float64>[N], 1 where the examples have no weights."""
    return examples.column(WEIGHT).to_numpy() if WEIGHT in examples.column_names else np.ones(len(examples))


def interval(value: float, low: float, high: float) -> Interval:
    return {"value": float(value), "low": float(low), "high": float(high)}


def resampled(of_sums, statistics: np.ndarray, resamples: int, seed: int) -> dict[str, Interval]:
    """Each metric of the rows' sums with its 95 % percentile interval over resamples of the rows (Efron 1979)."""
    generator, rows = np.random.default_rng(seed), len(statistics)
    sums = np.empty([resamples, statistics.shape[1]])
    for n in range(resamples):
        sums[n] = np.bincount(generator.integers(0, rows, rows), minlength=rows) @ statistics
    values, spread = of_sums(statistics.sum(axis=0)), of_sums(sums)
    found = {}
    for name, value in values.items():
        kept = spread[name][np.isfinite(spread[name])]
        if np.isfinite(value) and len(kept):
            found[name] = interval(value, *np.percentile(kept, [2.5, 97.5]))
    return found
