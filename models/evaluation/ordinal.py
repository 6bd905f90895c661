"""Answers to ordinal classification, held against the truth by how far they are off."""

from typing import ClassVar

import numpy as np

from models import metrics
from models.evaluation.classification import ClassificationJudgement


class OrdinalJudgement(ClassificationJudgement):
    """As classification; kappa and mae are of the rows whose label the model knows, since others have no place."""

    higher: ClassVar[tuple[str, ...]] = ("kappa", "accuracy", "macro_f1")
    lower: ClassVar[tuple[str, ...]] = ("mae", "log_loss", "ece")

    def _metrics(self):
        known = len(self.known)

        def of_known(metric):
            def measured(labels, scores, weights):
                return metric(np.minimum(labels, known - 1), scores[:, :known], weights * (labels < known))

            return measured

        every = super()._metrics()
        kept = {name: every[name] for name in ("accuracy", "macro_f1", "log_loss", "ece")}
        return {"kappa": of_known(metrics.quadratic_kappa), "mae": of_known(metrics.mean_distance), **kept}
