"""How good word vectors are: human similarity judgements, analogies, and neighbours to look at."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epath

from data.errors import DataError
from data.vectors import read_vectors

FREQUENT, SKIPPED = 20, 100  # words whose neighbours are shown, after the most frequent, which are function words
NEIGHBOURS = 8
ANALOGY_WORDS = 30_000  # the most frequent words, among which answers are looked for, as word2vec's own script does


def report(path: str | epath.Path, similarity: str = "", analogies: str = "") -> dict[str, Any]:
    """`neighbours` of frequent words; `similarity` and `analogies` where their files are given.

    path: a file of vectors, the most frequent word first. similarity: lines of two words and a score, parted by tabs,
    commas or spaces. analogies: lines of four words, with `: section` lines between, as in questions-words.txt.
    Raises DataError where a line is none of these.
    """
    vectors = read_vectors(path)
    norms = np.linalg.norm(vectors.table, axis=1, keepdims=True)
    table, place = vectors.table / np.maximum(norms, 1e-12), {word: i for i, word in enumerate(vectors.words)}
    found: dict[str, Any] = {
        "words": len(place),
        "width": table.shape[1],
        "neighbours": _neighbours(vectors.words, table),
    }
    if similarity:
        found["similarity"] = _similarity(similarity, table, place)
    if analogies:
        found["analogies"] = _analogies(analogies, table, place)
    return found


def _neighbours(words: list[str], table: np.ndarray) -> dict[str, list[str]]:
    start = SKIPPED if len(words) >= 2 * (SKIPPED + FREQUENT) else 0
    shown = list(range(start, min(start + FREQUENT, len(words))))
    scores = table[shown] @ table.T
    scores[np.arange(len(shown)), shown] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(words) - 1)]
    return {words[i]: [words[j] for j in row] for i, row in zip(shown, best.tolist(), strict=True)}


def _similarity(path: str, table: np.ndarray, place: dict[str, int]) -> dict[str, float]:
    """Spearman's correlation with the judgements over the pairs whose words are both known."""
    from scipy.stats import spearmanr

    ours, theirs, pairs = [], [], 0
    for number, line in _lines(path):
        parts = line.replace(",", " ").split()
        try:
            one, other, score = parts[0].lower(), parts[1].lower(), float(parts[2])
        except (IndexError, ValueError):
            if not pairs:
                continue  # a heading
            raise DataError(f"{path}:{number}: got {line[:60]!r}; wanted two words and a score") from None
        pairs += 1
        if one in place and other in place:
            ours.append(float(table[place[one]] @ table[place[other]]))
            theirs.append(score)
    if not pairs:
        raise DataError(f"{path}: got no line of two words and a score; wanted a file such as WordSim-353")
    rho = float(spearmanr(ours, theirs).statistic) if len(ours) > 1 else 0.0
    return {"spearman": rho if np.isfinite(rho) else 0.0, "pairs": pairs, "known": len(ours)}


def _analogies(path: str, table: np.ndarray, place: dict[str, int]) -> dict[str, float]:
    """Share of `a : b = c : d` where d is the nearest to b - a + c (3CosAdd), over those whose words are all known."""
    asked, questions = 0, []
    frequent = table[:ANALOGY_WORDS]
    for number, line in _lines(path):
        if line.startswith(":"):
            continue
        words = line.lower().split()
        if len(words) != 4:
            raise DataError(f"{path}:{number}: got {line[:60]!r}; wanted four words")
        asked += 1
        known = [place[word] for word in words if word in place and place[word] < ANALOGY_WORDS]
        if len(known) == 4:
            questions.append(known)
    right = 0
    for start in range(0, len(questions), 512):
        a, b, c, d = np.array(questions[start : start + 512]).T
        scores = (table[b] - table[a] + table[c]) @ frequent.T
        for given in (a, b, c):
            scores[np.arange(len(a)), given] = -np.inf
        right += int((scores.argmax(axis=1) == d).sum())
    return {"accuracy": right / len(questions) if questions else 0.0, "questions": asked, "known": len(questions)}


def _lines(path: str) -> Iterator[tuple[int, str]]:
    text = epath.Path(path).read_bytes().decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()
