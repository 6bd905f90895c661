"""What tasks share that answer with labels: one of them, or any number; of texts at once, or in windows."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from data.errors import DataError
from data.schema import CLASS, LABEL, TEXT, TEXT_PAIR, WEIGHT
from models.tasks.base import Task


def check_labels(labels: Sequence[str], least: int = 2) -> int:
    """How many there are. Raises DataError when there is nothing to choose between."""
    if len(labels) < least:
        raise DataError(
            f"field 'label': got {len(labels)} label(s) in the training split ({', '.join(labels) or 'none'}), "
            f"wanted at least {least}; check `fields.label` and the input files"
        )
    return len(labels)


class OneLabel(Task):
    """One of the labels of the training split; logits are of each label."""

    def encode(self, examples, labels: Sequence[str], places):
        """class <int32>: index into `labels`, -1 where a row has none of them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = examples.column(LABEL)
        found = pc.index_in(column, value_set=pa.array(labels, column.type))
        return {CLASS: pc.fill_null(found, -1).cast(pa.int32())}

    def n_outputs(self, labels: Sequence[str]) -> int:
        return check_labels(labels)

    def loss(self, logits, batch):
        """Cross-entropy <float32>[B]; rows without a label (-1) are the caller's to weigh 0."""
        import tensorflow as tf

        return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(batch[CLASS], 0), logits)

    def answer(self, logits, labels: Sequence[str]):
        """label <string>[N], the likeliest, and scores <float32>[N, C], probabilities in the order of `labels`."""
        import tensorflow as tf

        best = tf.argmax(logits, axis=-1)
        return {"label": tf.gather(tf.constant(list(labels)), best), "scores": tf.nn.softmax(logits)}

    def signatures(self, served):
        return {**super().signatures(served), "classify": served.from_examples(self.classify)}

    def classify(self, logits, labels: Sequence[str]):
        """classes <string>[N, C] and scores <float32>[N, C], in the order of `labels` in every row."""
        import tensorflow as tf

        scores = self.answer(logits, labels)["scores"]
        return {"classes": tf.broadcast_to(tf.constant(list(labels)), tf.shape(scores)), "scores": scores}

    def metrics(self, logits, batch):
        """accuracy, macro_f1, mcc and loss (cross-entropy in nats, not smoothed), weighted by `weight`."""
        from models import metrics

        scores = metrics.softmax(logits)
        arguments = batch[CLASS], scores, batch[WEIGHT]
        return {
            "accuracy": float(metrics.accuracy(*arguments)),
            "macro_f1": float(metrics.macro_f1(*arguments)),
            "mcc": float(metrics.mcc(*arguments)),
            "loss": float(metrics.log_loss(*arguments)),
        }


class OfTexts(Task):
    """Labels of a text or a pair of texts, whose windows, where there are any, answer together."""

    windows: Literal["mean", "max"] = Field(
        "mean", description="of texts read in windows (transform.stride): the mean or the largest of their answers"
    )

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    required: ClassVar[tuple[str, ...]] = (TEXT, LABEL)
    optional: ClassVar[tuple[str, ...]] = (TEXT_PAIR, WEIGHT)
    windowed: ClassVar[bool] = True

    def head(self, family, n_outputs: int, labels: Sequence[str]):
        """A dense layer in float32; nothing for a linear family."""
        import keras

        return keras.layers.Identity() if family.linear else keras.layers.Dense(n_outputs, dtype="float32", name="head")

    def merge(self, logits, owner, rows):
        """Logits whose softmax is the mean of the windows' probabilities, or their largest brought to a sum of 1."""
        import tensorflow as tf

        from models.windows import pooled

        return tf.math.log(tf.maximum(pooled(tf.nn.softmax(logits), owner, rows, self.windows), 1e-30))
