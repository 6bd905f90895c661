"""Likelihoods of texts, read forwards and read backwards."""

from typing import ClassVar

import numpy as np

from models.evaluation.language_modeling import LanguageModelingJudgement

SIDES = "forwards", "backwards"


class BidirectionalLanguageModelingJudgement(LanguageModelingJudgement):
    """As of a language model, by the mean of both directions' nats (as Peters et al. 2018 report), and a
    token's perplexity_forwards and perplexity_backwards.

    Each direction's product over a text is a probability: the figures compare with those of a language model.
    """

    lower: ClassVar[tuple[str, ...]] = (
        *LanguageModelingJudgement.lower,
        *(f"perplexity_{side}" for side in SIDES),
    )

    def __init__(self, answers, examples, train, labels):
        super().__init__(answers, examples, train, labels)
        sides = np.column_stack([-answers[f"log_likelihood_{side}"].astype(np.float64) for side in SIDES])
        self.statistics = np.column_stack([self.statistics, sides * self.weights[:, None]])

    @staticmethod
    def of_sums(sums):
        """The baseline's sums have no directions."""
        found = LanguageModelingJudgement.of_sums(sums[..., :4])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            each = np.moveaxis(np.exp(sums[..., 4:] / sums[..., 1:2]), -1, 0)
        return found | {f"perplexity_{side}": value for side, value in zip(SIDES, each, strict=False)}
