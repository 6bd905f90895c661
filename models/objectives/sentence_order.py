"""Sentence order prediction beside the masked language model (Lan et al. 2020, section 3.1)."""

import numpy as np

from models.objectives.sentence_pairs import SentencePairs, segments


class SentenceOrder(SentencePairs):
    """Two segments that follow one another in a document, and half of the time the later one comes first."""

    def pairs(self, documents, room, random):
        for sentences in documents:
            start = 0
            while len(sentences) - start > 1:
                middle, end = segments(sentences, start, room, random)
                parts = np.concatenate(sentences[start:middle]), np.concatenate(sentences[middle:end])
                in_order = int(random.random() < 0.5)
                yield (*(parts if in_order else parts[::-1]), in_order)
                start = end
