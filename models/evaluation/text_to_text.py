"""Answers in words, held against the ones wanted: BLEU and chrF by sacrebleu, ROUGE by rouge-score, and SQuAD's own."""

import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from data.schema import TARGET, TEXT
from models import squad
from models.evaluation.base import Summed, weights_of

LENGTH = "length"
ROUGES = ("rouge1", "rouge2", "rougeL")
MEANS = ("rouge_1", "rouge_2", "rouge_l", "exact_match", "f1")
BLEU_SUMS, CHRF_SUMS = 10, 18  # lengths, matches and n-grams of four orders; three counts of six orders
SENTENCE = re.compile(r"(?<=[.!?])\s+")


class TextToTextJudgement(Summed):
    """bleu and chrf of all rows together, from 0 to 100 as sacrebleu has them; means over the rows, from 0 to 1, of
    ROUGE's F-measures, of exact_match and of f1 (words in common), both without case, punctuation and English articles
    (Rajpurkar et al. 2016)."""

    higher: ClassVar[tuple[str, ...]] = ("bleu", "chrf", *MEANS)
    lower: ClassVar[tuple[str, ...]] = ()
    texts: ClassVar[tuple[str, ...]] = (TEXT,)
    truth: ClassVar[tuple[str, ...]] = (TARGET,)
    slices: ClassVar[tuple[str, ...]] = (LENGTH,)

    def __init__(self, answers, examples, train, labels):
        self.examples, self.wanted = examples, examples.column(TARGET).to_pylist()
        self.written, self.scores = answers["text"].tolist(), answers["score"]
        self.weights = weights_of(examples)
        counted = self._counted(self.written)
        self.statistics = counted * self.weights[:, None]
        self.loss = 1 - counted[:, -2]  # by f1

    @staticmethod
    def predictions(answers, labels):
        rows = [
            {"text": text, "score": round(float(score), 6)}
            for text, score in zip(answers["text"].tolist(), answers["score"], strict=True)
        ]
        if "texts" in answers:
            for row, texts, scores in zip(rows, answers["texts"].tolist(), answers["scores"], strict=True):
                row["others"] = [
                    {"text": text, "score": round(float(score), 6)} for text, score in zip(texts, scores, strict=True)
                ][1:]
        return rows

    @staticmethod
    def of_sums(sums):
        from sacrebleu.metrics import CHRF

        flat, chrf = sums.reshape(-1, sums.shape[-1]), CHRF()
        characters = [chrf._compute_f_score(row[BLEU_SUMS : BLEU_SUMS + CHRF_SUMS]) for row in flat]
        with np.errstate(divide="ignore", invalid="ignore"):
            means = np.moveaxis(sums[..., BLEU_SUMS + CHRF_SUMS : -1] / sums[..., -1:], -1, 0)
        found = {"bleu": _bleu(sums[..., :BLEU_SUMS]), "chrf": np.reshape(characters, sums.shape[:-1])}
        return {**found, **dict(zip(MEANS, means, strict=True))}

    def baseline(self):
        """The source's first three sentences, the lead-3 of summaries; short sources are copied whole."""
        leads = [" ".join(SENTENCE.split(text.strip())[:3]) for text in self.examples.column(TEXT).to_pylist()]
        statistics = self._counted(leads) * self.weights[:, None]
        return self.point(statistics), "the first three sentences of the source, or all it has"

    def details(self, resamples, seed):
        return {"signatures": self._signatures()}

    def remarks(self):
        return [f"sacrebleu's signature of {name}: {signature}" for name, signature in self._signatures().items()]

    def _signatures(self) -> dict[str, str]:
        """How sacrebleu counted, in its own words."""
        from sacrebleu.metrics import BLEU, CHRF

        signatures = {}
        for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
            metric.corpus_score(self.written[:1], [self.wanted[:1]])  # it knows the number of references only then
            signatures[name] = str(metric.get_signature())
        return signatures

    def shown(self):
        import pyarrow as pa

        scores = pa.array(np.asarray(self.scores, np.float64))
        return {TARGET: self.examples.column(TARGET), "predicted": pa.array(self.written), "score": scores}

    def _counted(self, written: Sequence[str]) -> np.ndarray:
        """Of each row <float64>[N, 34]: what BLEU and chrF count, the means' values, and one."""
        from rouge_score.rouge_scorer import RougeScorer
        from sacrebleu.metrics import BLEU, CHRF

        words, characters = (
            np.array(metric._extract_corpus_statistics(written, [self.wanted]), np.float64)
            for metric in (BLEU(force=True), CHRF())
        )
        scorer, means = RougeScorer(ROUGES, tokenizer=_Words()), []
        for answer, wanted in zip(written, self.wanted, strict=True):
            found = scorer.score(wanted, answer)
            ours = squad.exact_match(answer, [wanted]), squad.f1(answer, [wanted])
            means.append([*(found[name].fmeasure for name in ROUGES), *ours, 1.0])
        return np.column_stack([words, characters, np.array(means)])


class _Words:
    """rouge-score's tokenizer, for every alphabet: its own drops whatever is no ASCII letter or digit."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())


def _bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU of sums <float64>[..., 10]: length, length wanted, matches and n-grams of four orders each. As sacrebleu has
    it, with NIST's smoothing, for sums that weights may have made fractions: its own function wants whole numbers."""
    length, wanted = sums[..., 0], sums[..., 1]
    matches, ngrams = sums[..., 2:6], sums[..., 6:10]
    halves = 2.0 ** np.cumsum(matches == 0, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.where(matches > 0, matches, 1 / halves) / ngrams
        brevity = np.where(length < wanted, np.exp(1 - wanted / length), 1.0)
        score = 100 * brevity * np.exp(np.log(precisions).mean(axis=-1))
    return np.where((matches > 0).any(axis=-1) & (ngrams > 0).all(axis=-1), score, 0.0)
