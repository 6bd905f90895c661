"""Ordinal classification: one label of several that have an order, such as stars."""

from data.schema import CLASS, WEIGHT
from models.tasks.labelled import OfTexts, OneLabel, check_labels


class Ordinal(OfTexts, OneLabel):
    """Proportional odds (McCullagh 1980): one number a text, cut by learned thresholds into labels.

    The order of the labels is that of the schema: by name where it is inferred ("1" to "9"), else as a frozen schema
    lists them.
    """

    def n_outputs(self, labels):
        check_labels(labels)
        return 1

    def head(self, family, n_outputs, labels):
        from models.ordinal_head import OrdinalHead

        return OrdinalHead(len(labels), super().head(family, n_outputs, labels))

    def metrics(self, logits, batch):
        """kappa (quadratic weights), mae (in labels) and accuracy, weighted by `weight`."""
        from models import metrics

        scores = metrics.softmax(logits)
        arguments = batch[CLASS], scores, batch[WEIGHT]
        return {
            "kappa": float(metrics.quadratic_kappa(*arguments)),
            "mae": float(metrics.mean_distance(*arguments)),
            "accuracy": float(metrics.accuracy(*arguments)),
        }
