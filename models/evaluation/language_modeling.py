"""Likelihoods of texts, counted by token, word and byte: the last two compare models whatever their tokenizers."""

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from data.schema import TEXT
from models.evaluation.base import Summed, weights_of

OTHER = ""  # a character that the training split lacks
LENGTH = "length"


class LanguageModelingJudgement(Summed):
    """perplexity of a token, word_perplexity and bits_per_byte, of all rows together.

    Words are what white space separates in the text that the model was asked about, bytes its UTF-8; the end of each
    text, which is told too, counts as one of either, as the line's end that it stands for.
    """

    higher: ClassVar[tuple[str, ...]] = ()
    # The first one decides where models are compared: one with other tokens has another perplexity for as good a model.
    lower: ClassVar[tuple[str, ...]] = ("bits_per_byte", "perplexity", "word_perplexity")
    texts: ClassVar[tuple[str, ...]] = (TEXT,)
    truth: ClassVar[tuple[str, ...]] = (TEXT,)
    slices: ClassVar[tuple[str, ...]] = (LENGTH,)
    ends: ClassVar[int] = 1  # what is told of a text besides its tokens

    def __init__(self, answers, examples, train, labels):
        self.examples, self.train, self.answers = examples, train, answers
        self.weights = weights_of(examples)
        self.sizes = _sizes(examples.column(TEXT).to_pylist(), self.ends)
        loss, tokens = -answers["log_likelihood"].astype(np.float64), answers["tokens"].astype(np.float64)
        self.statistics = np.column_stack([loss, tokens, *self.sizes]) * self.weights[:, None]
        self.loss = loss / np.maximum(tokens, 1)

    @staticmethod
    def predictions(answers, labels):
        names = "log_likelihood", "perplexity", "bits_per_byte"
        columns = [answers[name].astype(float).round(6).tolist() for name in names] + [answers["tokens"].tolist()]
        return [dict(zip((*names, "tokens"), row, strict=True)) for row in zip(*columns, strict=True)]

    @staticmethod
    def of_sums(sums):
        loss, tokens, words, size = np.moveaxis(sums, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return {
                "perplexity": np.exp(loss / tokens),
                "word_perplexity": np.exp(loss / words),
                "bits_per_byte": loss / np.log(2) / size,
            }

    def baseline(self):
        """Words by their share in the training split, one that it lacks by its characters'."""
        train, texts = (table.column(TEXT).to_pylist() for table in (self.train, self.examples))
        losses = _Unigrams(train, self.ends).losses(texts)
        statistics = np.column_stack([losses, np.full(len(losses), np.nan), *self.sizes]) * self.weights[:, None]
        return self.point(statistics), "each word by its share in train, words that are not there by their characters'"

    def shown(self):
        import pyarrow as pa

        return {name: pa.array(self.answers[name]) for name in ("log_likelihood", "tokens", "unknown")}

    def details(self, resamples, seed):
        """Totals, and how many of the tokens stand for words that the vocabulary lacks."""
        names = "tokens", "words", "bytes"
        totals = dict(zip(names, self.statistics[:, 1:4].sum(axis=0).tolist(), strict=True))
        return {"totals": {**totals, "unknown": float((self.answers["unknown"] * self.weights).sum())}}

    def remarks(self):
        unknown, tokens = int(self.answers["unknown"].sum()), int(self.answers["tokens"].sum())
        if not unknown:
            return []
        return [
            f"{unknown} of {tokens} tokens are words that the vocabulary lacks, told as one unknown word: a model with "
            "a larger vocabulary has more to tell, so that only models with this vocabulary compare"
        ]


def _sizes(texts: Iterable[str], ends: int) -> tuple[np.ndarray, np.ndarray]:
    """Words and bytes of each text, and its end where that is told <int64>[N]."""
    counts = [(len(text.split()) + ends, len(text.encode()) + ends) for text in texts]
    words, size = np.array(counts, np.int64).reshape(-1, 2).T
    return words, size


class _Unigrams:
    """Words by their counts, one event kept for new ones as often as there were new ones (Witten and Bell 1991, method
    C); a new word by its characters and an end, which are counted on the kinds of words, once more for all others."""

    def __init__(self, texts: Iterable[str], ends: int = 1):
        """ends: 0 where the end of a text is not told."""
        self.words: Counter[str | None] = Counter()
        self.end: list[None] = [None] * ends
        for text in texts:
            self.words.update([*text.split(), *self.end])
        self.total, self.kinds = self.words.total(), len(self.words)
        characters: Counter[str] = Counter()
        for word in self.words:
            characters.update([*(word or ""), "\n"])
        characters[OTHER] += 1
        whole = characters.total()
        self.characters = {character: np.log(whole / count) for character, count in characters.items()}

    def losses(self, texts: Iterable[str]) -> np.ndarray:
        """Nats of each text and, where it is told, its end <float64>[N]."""
        return np.array([sum(map(self._loss, [*text.split(), *self.end])) for text in texts], np.float64)

    def _loss(self, word: str | None) -> float:
        every = np.log(self.total + self.kinds)
        if word in self.words:
            return every - np.log(self.words[word])
        spelled = sum(self.characters.get(c, self.characters[OTHER]) for c in [*(word or ""), "\n"])
        return every - np.log(max(self.kinds, 1)) + spelled
