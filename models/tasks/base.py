"""What a task is: a frozen, Keras-free description of a question and of how its answers are judged."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import keras
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf

    from models.families.base import Encoded, Family
    from models.signatures import Served


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

    def signatures(self, served: "Served") -> dict[str, Callable]:
        """How the exported model can be asked: signatures by name, `serving_default` among them (`embed` is added).

        A task that can be asked in another way says so here and nowhere else: `served.from_examples` gives TF
        Serving's forms, `classify` (classes <string>[N, C], scores <float32>[N, C]) and `regress` (outputs
        <float32>[N]). The export checks, golden requests and warm-up cover each that takes texts or Examples.
        """
        return {"serving_default": served.from_texts(self.answer)}

    @abstractmethod
    def metrics(self, logits: "np.ndarray", batch: Mapping[str, "np.ndarray"]) -> dict[str, float]:
        """The validation metrics of all rows of a split, in NumPy: what early stopping can watch."""

    def unpack(self, encoded: "Encoded") -> Any:
        """What of Encoded the head reads; a hook for tasks that need more than one part."""
        return encoded
