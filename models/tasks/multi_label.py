"""Multi-label classification: any number of labels for a text or a pair of texts."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from data.schema import CLASSES, LABEL, WEIGHT
from models.tasks.labelled import OfTexts, check_labels


class MultiLabel(OfTexts):
    """A sigmoid for each label of the training split; those at or above a threshold are the answer, perhaps none."""

    threshold: float = Field(0.5, gt=0, lt=1, description="probability from which on a label is answered")

    kinds: ClassVar = {LABEL: "labels"}

    def encode(self, examples, labels, places):
        """classes <list<int32>>: indexes into `labels`."""
        import pyarrow as pa

        index = {label: n for n, label in enumerate(labels)}
        rows = [[index[label] for label in row if label in index] for row in examples.column(LABEL).to_pylist()]
        return {CLASSES: pa.array(rows, pa.list_(pa.int32()))}

    def n_outputs(self, labels):
        """Raises DataError when no row has a label."""
        return check_labels(labels, least=1)

    def loss(self, logits, batch):
        """Mean binary cross-entropy of the labels <float32>[B]."""
        import tensorflow as tf

        each = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(batch[CLASSES], tf.float32), logits)
        return tf.reduce_mean(each, axis=1)

    def merge(self, logits, owner, rows):
        """Logits whose sigmoid is the mean, or the largest, of the windows' probabilities."""
        import tensorflow as tf

        from models.windows import pooled

        share = tf.clip_by_value(pooled(tf.sigmoid(logits), owner, rows, self.windows), 1e-7, 1 - 1e-7)
        return tf.math.log(share) - tf.math.log1p(-share)

    def outcome(self, logits, batch):
        """answered and wanted <bool>[B, C]."""
        import tensorflow as tf

        return {"answered": tf.sigmoid(logits) >= self.threshold, "wanted": batch[CLASSES] > 0}

    def answer(self, logits, labels):
        """labels <string>[N, C], each at its own place or "" where it is not answered, and scores <float32>[N, C]."""
        import tensorflow as tf

        scores = tf.sigmoid(logits)
        return {"labels": tf.where(scores >= self.threshold, tf.constant(list(labels)), ""), "scores": scores}

    def signatures(self, served):
        return {**super().signatures(served), "classify": served.from_examples(self.classify)}

    def classify(self, logits, labels):
        """classes <string>[N, C] and scores <float32>[N, C], in the order of `labels` in every row."""
        import tensorflow as tf

        scores = tf.sigmoid(logits)
        return {"classes": tf.broadcast_to(tf.constant(list(labels)), tf.shape(scores)), "scores": scores}

    def metrics(self, outcome, batch):
        """micro_f1, macro_f1 (over the labels that are wanted or answered) and exact_match, weighted by `weight`."""
        answered, wanted, weight = outcome["answered"], outcome["wanted"], batch[WEIGHT].astype(np.float64)
        right, both = weight @ (answered & wanted), weight @ answered + weight @ wanted
        each = (2 * right / np.maximum(both, 1e-300))[both > 0]
        exact = (answered == wanted).all(axis=1)
        return {
            "micro_f1": float(2 * right.sum() / both.sum()) if both.sum() else 0.0,
            "macro_f1": float(each.mean()) if each.size else 0.0,
            "exact_match": float(weight @ exact / weight.sum()),
        }
