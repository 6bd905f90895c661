"""What an objective is: a frozen, Keras-free description of what is learned from text without answers.

To add one: a file here and a line in OBJECTIVES. It says which data it needs, how a step is made of it, and what it
leaves behind. The training loop is the trainer's: resumable, by rows or whole, on any strategy.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from etils import epath

    from models.families.base import Family, Vocabulary


class Objective(BaseModel):
    """Parameters of an objective. Only `build`, `loss` and `save` may import Keras or TensorFlow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # rows: a row of the store a text or a piece of one, as data/schema.py's batches {ids, length, weight}.
    # pairs: a row two words up to `window` apart, {ids <int32>[B, 2], length, weight, count <float32>[B]}.
    # blocks: a row max_tokens of contiguous text, which begins with the id that the row before ends with.
    # sentences: a row two segments of documents, which `pairs` makes of their sentences, {ids, length, ids_pair,
    #   length_pair, class, weight}; the documents come from `[pretrainer] input`.
    data: ClassVar[Literal["rows", "pairs", "blocks", "sentences"]] = "rows"
    fixed_length: ClassVar[bool] = False  # what it leaves reads no longer rows than it was trained on
    measured: ClassVar[bool] = False  # has metrics, which the examples' valid split is measured by after each epoch
    recommended: ClassVar[dict[str, Any]]  # epochs, batch_tokens, optimizer; see `defaults`

    @abstractmethod
    def check(self, family: "Family") -> None:
        """Raises ConfigError when the family cannot start from what this leaves behind."""

    def defaults(self, family: "Family") -> dict[str, Any]:
        """Params of `[pretrainer]` where the config is silent: epochs, batch_tokens, optimizer."""
        return dict(self.recommended)

    def room(self, family: "Family", max_tokens: int) -> int:
        """Tokens of a text that a row of max_tokens has room for."""
        return max_tokens

    @abstractmethod
    def build(self, family: "Family", vocabulary: "Vocabulary", counts: "np.ndarray", max_tokens: int) -> "keras.Model":
        """A model called on a batch and `training`; what it gives goes into `loss`. Random numbers come from Keras'
        SeedGenerators, so that an interrupted run equals an undisturbed one.

        counts <int64>[size]: how often each id occurs in the text. max_tokens: the longest row, special tokens
          included.
        """

    @abstractmethod
    def loss(self, outputs: "tf.Tensor", batch: Mapping[str, "tf.Tensor"]) -> "tf.Tensor":
        """Loss of each row <float32>[B], unweighted."""

    @abstractmethod
    def save(self, model: "keras.Model", directory: "epath.Path") -> str:
        """Writes what the trainer starts from below `directory`, as others publish it, and returns its name there:
        `Family.start_from` takes the path, the same door by which published files come in."""

    def outcome(self, outputs: Any, batch: Mapping[str, "tf.Tensor"]) -> Any:
        """What `metrics` wants of a batch, in the graph."""
        return outputs

    def metrics(self, outputs: "np.ndarray", batch: Mapping[str, "np.ndarray"]) -> dict[str, float]:
        """Measured on a valid split beside `loss`."""
        return {}

    def measure(self, start: "epath.Path", params: Mapping[str, Any]) -> dict[str, Any]:
        """What the artifact's report says of what was saved at `start`."""
        return {}

    def weights(self, lengths: "np.ndarray") -> "np.ndarray":
        """Weight <float32>[rows] of each row, from its length."""
        import numpy as np

        return np.maximum(lengths, 1).astype(np.float32)


def words_of(vocabulary: "Vocabulary") -> Sequence[int]:
    """Ids that are words."""
    return [i for i in range(vocabulary.size) if i not in vocabulary.special]
