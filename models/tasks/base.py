"""What a task is: a frozen, Keras-free description of a question and of how its answers are judged."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from data.fields import Kind, Reject
from data.schema import LABEL, SCORE, TEXT, WEIGHT

if TYPE_CHECKING:
    import keras
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf

    from data.store import TokenStore
    from data.tokenizers.base import Tokenizer
    from models.families.base import Encoded, Family
    from models.signatures import Served


KINDS: dict[str, Kind] = {LABEL: "label", SCORE: "number", WEIGHT: "weight"}


Rows = Literal["examples", "blocks", "pieces"]  # or blocks of text after text, or a text or a piece of it (data/blocks)


class Places(NamedTuple):
    """Where the tokens of some texts stand.

    splits <int64>[texts + 1]; starts and ends <int32>[total], code points of the text, end exclusive.
    """

    splits: "np.ndarray"
    starts: "np.ndarray"
    ends: "np.ndarray"


class Task(BaseModel):
    """Parameters of a task. Only `head`, `loss` and `answer` may import Keras or TensorFlow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    needs: ClassVar[frozenset[str]]  # of what a family offers
    required: ClassVar[tuple[str, ...]]  # fields of an example
    optional: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[Mapping[str, Kind]] = {}  # of the fields whose name does not say what they hold
    inputs: ClassVar[tuple[str, ...]] = (TEXT,)  # what the exported model is asked with, besides a pair's text
    columns: ClassVar[Mapping[str, str]] = {}  # of examples, that an input is in where it has another name
    split_by: ClassVar[str] = TEXT  # the text whose hash decides the split where the config is silent
    windowed: ClassVar[bool] = False  # whether it knows to `merge` the windows of a long text
    apart: ClassVar[bool] = False  # the texts of a row are encoded each by itself, by the same weights
    takes_logits: ClassVar[bool] = True  # linear families will do, whose `pooled` is the logits
    special_tokens: ClassVar[str] = ""  # around a text, where that is not the family's to say
    rows: ClassVar[Rows] = "examples"  # what one of training is
    aligned: ClassVar[tuple[str, ...]] = ()  # texts whose tokens' places `encode` wants to know

    @classmethod
    def kind_of(cls, field: str) -> Kind:
        return cls.kinds.get(field) or KINDS.get(field, "text")

    @classmethod
    def complete(cls, columns: dict[str, "pa.Array"]) -> tuple[dict[str, "pa.Array"], "list[Reject]"]:
        """The columns of examples, `text` among them, made of the checked fields, and the rows that cannot be used:
        for tasks whose fields say something together. Called for rows that will be rejected too."""
        return columns, []

    def check(self, fields: Sequence[str]) -> list[str]:
        """One line for each thing that is wrong with the parameters, for examples with these fields."""
        return []

    def check_places(self, family: "Family", max_tokens: int) -> list[str]:
        """One line for each parameter that does not fit into a model of this family that reads `max_tokens`."""
        return []

    def settled(self, scores: "np.ndarray | None") -> Self:
        """The task, with what it takes from the training split where the config is silent; kept with the model.

        scores: <float32>[rows] of the training split, where it has any.
        """
        return self

    @abstractmethod
    def encode(
        self, examples: "pa.RecordBatch", labels: Sequence[str], places: Mapping[str, Places]
    ) -> "dict[str, pa.Array | tuple[np.ndarray, np.ndarray]]":
        """The task's columns of the token record, made from Arrow (runs in Beam workers).

        places: of the tokens of each text in `aligned`. A column with a value a token is (values <int32>[total], row
        splits): transform cuts it as it cuts the ids.
        """

    def weights(self, store: "TokenStore") -> "np.ndarray":
        """How much each row of a split counts in the loss, <float32>[rows]."""
        return store.weights

    def bound(self, tokenizer: "Tokenizer") -> "Task":
        """The task with what it must know of the tokenizer. Raises ConfigError where that cannot serve it."""
        return self

    def arranged(self, batch: "Mapping[str, tf.Tensor]") -> "Mapping[str, tf.Tensor]":
        """A batch as packing takes it, in the graph: in training and in the exported model alike."""
        return batch

    @abstractmethod
    def n_outputs(self, labels: Sequence[str]) -> int:
        """Width of the logits."""

    def unpack(self, encoded: "Encoded", packed: Mapping[str, "tf.Tensor"], batch: Mapping[str, "tf.Tensor"]) -> Any:
        """What the head reads, of an encoded batch: the vectors of the texts. Where they are encoded apart it is called
        for each of them, and the head reads a list."""
        return encoded.pooled

    @abstractmethod
    def head(self, family: "Family", n_outputs: int, labels: Sequence[str]) -> "keras.layers.Layer":
        """A layer from what `unpack` gives to the logits: a nest of <float32>[B, ...], often one [B, n_outputs]."""

    @abstractmethod
    def loss(self, logits: Any, batch: Mapping[str, "tf.Tensor"]) -> "tf.Tensor":
        """Loss of each example <float32>[B], unweighted."""

    def merge(self, logits: Any, owner: "tf.Tensor", rows: "tf.Tensor") -> Any:
        """The logits of `rows` texts from those of their windows; owner <int32>[W]: the text of each, in order."""
        raise NotImplementedError(f"{type(self).__name__} answers no windows")

    def outcome(self, logits: Any, batch: Mapping[str, "tf.Tensor"]) -> Any:
        """What `metrics` wants of a batch, in the graph: a nest of <...>[B, ...], small, as that of a whole split is
        kept. Second axes that differ between batches are filled up with zeros."""
        return logits

    @abstractmethod
    def answer(self, logits: Any, labels: Sequence[str]) -> dict[str, "tf.Tensor"]:
        """What the exported signature answers, in the graph."""

    def functions(self, served: "Served") -> Any:
        """What the exported model holds besides, as an attribute `writer`: a tf.Module, or None."""
        return None

    def signatures(self, served: "Served") -> dict[str, Callable]:
        """How the exported model can be asked: signatures by name, `serving_default` among them (`embed` is added).

        A task that can be asked in another way says so here and nowhere else: `served.from_examples` gives TF
        Serving's forms, `classify` (classes <string>[N, C], scores <float32>[N, C]) and `regress` (outputs
        <float32>[N]). The export checks, golden requests and warm-up cover each that takes texts or Examples.
        """
        return {"serving_default": served.from_texts(self.answer)}

    @abstractmethod
    def metrics(self, outcome: Any, batch: Mapping[str, "np.ndarray"]) -> dict[str, float]:
        """The validation metrics of all rows of a split, in NumPy: what early stopping can watch.

        outcome: of all rows, arrays. batch: the columns with one value a row.
        """
