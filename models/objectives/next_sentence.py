"""Next sentence prediction beside the masked language model (Devlin et al. 2019, section 3.1, tasks 1 and 2)."""

import numpy as np

from models.objectives.sentence_pairs import SentencePairs, segments


class NextSentence(SentencePairs):
    """Half of the second segments go on from the first; the others are of another document."""

    def pairs(self, documents, room, random):
        """The sentences that another document's stood for begin the next pair. A lone document gives none."""
        many = [n for n, sentences in enumerate(documents) if sentences]
        for n, sentences in enumerate(documents):
            start = 0
            while len(many) > 1 and len(sentences) - start > 1:
                middle, end = segments(sentences, start, room, random)
                first = np.concatenate(sentences[start:middle])
                if random.random() < 0.5:
                    yield first, np.concatenate(sentences[middle:end]), 1
                    start = end
                else:
                    yield first, _elsewhere(documents, many, n, max(room - len(first), 1), random), 0
                    start = middle


def _elsewhere(documents, many, n: int, room: int, random: np.random.Generator) -> np.ndarray:
    """As many sentences as fill the room, from anywhere in another document than number n."""
    number = int(random.integers(len(many) - 1))
    other = documents[many[number + (number >= many.index(n))]]
    start = int(random.integers(len(other)))
    end = start + int(np.searchsorted(np.cumsum([len(sentence) for sentence in other[start:]]), room)) + 1
    return np.concatenate(other[start:end])
