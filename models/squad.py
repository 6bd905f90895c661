"""SQuAD's own measures of an answer, as evaluate-v1.1.py and evaluate-v2.0.py define them, and its weak baseline."""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
PUNCTUATION = set(string.punctuation)
WORD = re.compile(r"\w+|[^\w\s]", re.UNICODE)
SENTENCE_ENDS = frozenset(".!?")
COMMON = 100  # words of the contexts that no answer consists of, as no list of stop words knows every language


def normalized(text: str) -> str:
    """Lower case, without punctuation, English articles and white space that parts no words."""
    text = "".join(letter for letter in text.lower() if letter not in PUNCTUATION)
    return " ".join(ARTICLES.sub(" ", text).split())


def exact_match(answer: str, wanted: Sequence[str]) -> float:
    """1 where the answer is one of those that are wanted, else 0; of no answer that none is given."""
    return float(normalized(answer) in {normalized(each) for each in wanted or ("",)})


def f1(answer: str, wanted: Sequence[str]) -> float:
    """The largest F1 of words, between the answer and one that is wanted."""
    return max(_f1(normalized(answer).split(), normalized(each).split()) for each in wanted or ("",))


def _f1(answer: list[str], wanted: list[str]) -> float:
    if not answer or not wanted:
        return float(answer == wanted)
    right = sum((Counter(answer) & Counter(wanted)).values())
    return 2 * right / (len(answer) + len(wanted))


class SlidingWindow:
    """The baseline of Richardson et al. 2013 (algorithm 1), which the SQuAD paper measures too: of the candidates the
    one that, with the question's words, has most of a window of the context in common with it; rare words count more.

    Candidates are the longest runs of a context's words without punctuation, words of the question and the commonest
    words of all contexts, in the sentences that have most words in common with the question.
    """

    def __init__(self, contexts: Iterable[str]):
        counts = Counter(word.lower() for context in dict.fromkeys(contexts) for word in WORD.findall(context))
        self.common = {word for word, _ in counts.most_common(COMMON)}

    def answer(self, question: str, context: str) -> str:
        found = list(WORD.finditer(context))
        words = [match[0].lower() for match in found]
        counts = Counter(words)
        value = np.array([np.log1p(1 / counts[word]) for word in words])
        asked = {word.lower() for word in WORD.findall(question)}
        ends = np.array([word in SENTENCE_ENDS for word in words], np.int64)
        sentence = np.cumsum(ends) - ends
        shared = [len(asked & {words[n] for n in np.flatnonzero(sentence == which)}) for which in range(ends.sum() + 1)]
        best, chosen = (-1, -1.0), ""
        for start, end in _runs(words, asked | self.common):
            wanted = asked | set(words[start:end])
            inside = np.array([word in wanted for word in words]) * value
            sums = np.concatenate([[0.0], np.cumsum(inside)])
            width = min(len(wanted), len(words))
            score = shared[sentence[start]], float((sums[width:] - sums[:-width]).max())
            if score > best:
                best, chosen = score, context[found[start].start() : found[end - 1].end()]
        return chosen


def _runs(words: Sequence[str], left_out: set[str]) -> list[tuple[int, int]]:
    """(start, end) of the longest runs of words that are not left out and no punctuation."""
    kept = np.array([False, *(word[0].isalnum() and word not in left_out for word in words), False])
    edges = np.flatnonzero(kept[1:] != kept[:-1])
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
