"""The rankings of a search by their definitions: what those of the graph are held against."""

import numpy as np

from data.bm25 import weigh
from data.words import words_of


def plain(how, query, vector, vectors, texts, top, weight=0.5):
    """[(place, score)] of the best documents, highest score first and the first of equals first."""
    cosines = vectors @ vector
    bm25 = weigh(texts)
    shared = np.zeros(len(texts))
    for word in dict.fromkeys(words_of(query)):
        if word in bm25.words:
            weights = bm25.weights[bm25.words.index(word)].toarray()[0].astype(float)
            shared += weights * words_of(query).count(word)
    near = ordered(cosines) if vector.any() else []
    worded = [place for place in ordered(shared) if shared[place] > 0]
    if how == "vectors":
        scores = {place: cosines[place] for place in near}
    elif how == "bm25":
        scores = {place: shared[place] for place in worded}
    elif how == "sum":
        scores = dict(enumerate(weight * in_unit(cosines) + (1 - weight) * in_unit(shared))) if near or worded else {}
    else:
        scores = {}
        for ranking in (near[:1000], worded[:1000]):
            for rank, place in enumerate(ranking, 1):
                scores[place] = scores.get(place, 0.0) + 1 / (60 + rank)
    return sorted(scores.items(), key=lambda found: (-found[1], found[0]))[:top]


def ordered(scores):
    return sorted(range(len(scores)), key=lambda place: (-scores[place], place))


def in_unit(scores):
    scores = np.asarray(scores, float)
    return (scores - scores.min()) / max(scores.max() - scores.min(), 1e-12)
