"""What a task is: a frozen, Keras-free description of a question and of how its answers are judged."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import keras
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf

    from models.families.base import Encoded, Family


class Task(BaseModel):
    """Parameters of a task. Only `head`, `loss` and `answer` may import Keras or TensorFlow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    needs: ClassVar[frozenset[str]]  # of what a family offers
    required: ClassVar[tuple[str, ...]]  # fields of an example, first the one a row is split by
    optional: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def encode(self, examples: "pa.RecordBatch", labels: Sequence[str]) -> dict[str, "pa.Array"]:
        """The task's columns of the token record, made from Arrow (runs in Beam workers)."""

    @abstractmethod
    def n_outputs(self, labels: Sequence[str]) -> int:
        """Width of the logits."""

    @abstractmethod
    def head(self, family: "Family", n_outputs: int) -> "keras.layers.Layer":
        """A layer from what `unpack` gives to logits <float32>[B, n_outputs]."""

    @abstractmethod
    def loss(self, logits: "tf.Tensor", batch: Mapping[str, "tf.Tensor"]) -> "tf.Tensor":
        """Loss of each example <float32>[B], unweighted."""

    @abstractmethod
    def answer(self, logits: "tf.Tensor", labels: Sequence[str]) -> dict[str, "tf.Tensor"]:
        """What the exported signature answers, in the graph."""

    @abstractmethod
    def metrics(self, logits: "np.ndarray", batch: Mapping[str, "np.ndarray"]) -> dict[str, float]:
        """The validation metrics of all rows of a split, in NumPy: what early stopping can watch."""

    def unpack(self, encoded: "Encoded") -> Any:
        """What of Encoded the head reads; a hook for tasks that need more than one part."""
        return encoded
