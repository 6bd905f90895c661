"""An index asked: by vectors, by words (BM25), or by both."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

from components import saved_model
from components.saved_model import VECTOR
from components.search_export import WEIGHT
from components.search_index import FAISS, INDEX, SAVED_MODEL, find_index
from data.errors import ConfigError

How = Literal["vectors", "bm25", "rrf", "sum"]
HOW: tuple[How, ...] = ("vectors", "bm25", "rrf", "sum")
WIDENING = 4  # faiss looks at this many times the documents that are asked for
NUMBERS = 1 << 23  # scores of queries x documents that are in memory at once


class Hit(NamedTuple):
    id: str
    score: float
    text: str


class Searcher:
    """An index, whose SavedModel ranks. Vectors are compared by one product with all of them, or by faiss where the
    index says so."""

    def __init__(self, index: str):
        """Raises ConfigError where there is no whole index."""
        import json

        path = find_index(index)
        self.record = json.loads((path / INDEX).read_text())
        self.graph: Any = _read_graph(path) if self.record["backend"] == "faiss" else None
        self.model = saved_model.load_exported(path / SAVED_MODEL)
        if self.model.ranker is None:
            raise ConfigError(f"{index}: is of an earlier version of Polisemia; wanted an index that is made again")

    @cached_property
    def ids(self) -> list[str]:
        return [name.decode() for name in self.model.ranker.ids.numpy()]

    def encode(self, queries: Sequence[str]) -> Any:
        """Vectors <float32>[queries, width] of length 1, 0 where a query holds nothing that the model knows."""
        return self.model.answer({"text": _bytes(queries)}, self.record["max_tokens"], signature=VECTOR)[VECTOR]

    def search(
        self, queries: Sequence[str], how: How, top: int, weight: float = WEIGHT, vectors: Any = None
    ) -> list[list[Hit]]:
        """The best documents of each query, as `rank` finds them, with their ids and texts."""
        import tensorflow as tf

        found = []
        for scores, places in self.rank(queries, how, top, weight, vectors):
            texts = self.model.ranker.texts_at(tf.constant([places], tf.int32)).numpy()[0]
            named = zip(places, scores, texts, strict=True)
            found.append([Hit(self.ids[place], score, text.decode()) for place, score, text in named])
        return found

    def rank(
        self, queries: Sequence[str], how: How, top: int, weight: float = WEIGHT, vectors: Any = None
    ) -> Iterator[tuple[list[float], list[int]]]:
        """Scores and places of the best documents of each query, at most `top`, highest score first. By words, only
        those that share one; by vectors none where the query holds nothing that the model knows.

        how: vectors: the cosine; bm25; rrf: both, by reciprocal rank fusion; sum: weight * the vectors' scores + (1 -
        weight) * BM25's, each brought to [0, 1] a query. vectors: as `encode` gives them, where they are known already.
        """
        if vectors is None and how != "bm25":
            vectors = self.encode(queries)
        at_once = max(1, NUMBERS // len(self.ids))
        for start in range(0, len(queries), at_once):
            part = slice(start, start + at_once)
            ranked = self._ranked(_bytes(queries[part]), None if vectors is None else vectors[part], how, top, weight)
            for scores, places in zip(*ranked, strict=True):
                hit = scores > float("-inf")
                yield scores[hit].tolist(), places[hit].tolist()

    def _ranked(self, queries: list[bytes], vectors: Any, how: How, top: int, weight: float) -> Any:
        """Scores and places, arrays [queries, at most top], -inf for what is no hit."""
        import tensorflow as tf

        from models.ranking import DEPTH

        ranker = self.model.ranker
        if how == "vectors":
            return self._near(vectors, top)
        if how == "bm25":
            found = ranker.by_words(queries, top)
        elif how == "sum":
            found = ranker.by_sum(queries, vectors, tf.constant(weight, tf.float64), top)
        else:
            scores, places = self._near(vectors, DEPTH)
            places[scores == float("-inf")] = -1
            found = ranker.by_ranks(queries, places, top)
        return [each.numpy() for each in found]

    def _near(self, vectors: Any, depth: int) -> Any:
        """By vectors; of faiss only the `depth` nearest that it finds."""
        import numpy as np

        if self.graph is None or depth >= len(self.ids):
            return [each.numpy() for each in self.model.ranker.by_vectors(vectors, depth)]
        self.graph.hnsw.efSearch = max(WIDENING * depth, 64)
        scores, places = self.graph.search(vectors, depth)
        known = (places >= 0) & vectors.any(axis=1, keepdims=True)
        return np.where(known, scores, -np.inf), places.astype(np.int32)


def _bytes(queries: Sequence[str]) -> list[bytes]:
    return [query.encode("utf-8", "surrogateescape") for query in queries]


def _read_graph(path: Any) -> Any:
    import numpy as np

    try:
        import faiss
    except ImportError:
        raise ConfigError(
            f"{path}: was made with faiss, which is not installed; `pip install polisemia[search]`"
        ) from None
    return faiss.deserialize_index(np.frombuffer((path / FAISS).read_bytes(), np.uint8))
