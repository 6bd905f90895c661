"""Classification: one label for a text or a pair of texts."""

from pydantic import Field

from data.schema import CLASS
from models.tasks.labelled import OfTexts, OneLabel


class Classification(OfTexts, OneLabel):
    """Softmax over the labels of the training split."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread evenly over all labels")

    def loss(self, logits, batch):
        """Cross-entropy <float32>[B]; rows without a label (-1) are the caller's to weigh 0."""
        import tensorflow as tf

        labels = logits.shape[-1]
        target = tf.one_hot(tf.maximum(batch[CLASS], 0), labels)
        target = target * (1.0 - self.label_smoothing) + self.label_smoothing / labels
        return tf.nn.softmax_cross_entropy_with_logits(target, logits)
