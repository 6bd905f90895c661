"""Pseudo-likelihoods of texts (Salazar et al. 2020), counted by token, word and byte."""

from typing import ClassVar

from models.evaluation.language_modeling import LanguageModelingJudgement


class MaskedLanguageModelingJudgement(LanguageModelingJudgement):
    """pseudo_bits_per_byte, pseudo_perplexity of a token and pseudo_word_perplexity, of all rows together.

    A token is told from those before and behind it, so that the product over a text is no probability: the figures are
    lower than those of a language model, the more so the shorter the tokens are, and compare models with the same
    tokenizer. No end is told, and none counts.
    """

    lower: ClassVar[tuple[str, ...]] = tuple(f"pseudo_{name}" for name in LanguageModelingJudgement.lower)
    ends: ClassVar[int] = 0

    @staticmethod
    def of_sums(sums):
        return {f"pseudo_{name}": value for name, value in LanguageModelingJudgement.of_sums(sums).items()}
