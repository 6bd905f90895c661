"""An index asked: by vectors, by words (BM25), or by both."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from components import saved_model
from components.search_export import VECTOR, VectorSource
from components.search_index import FAISS, INDEX, SAVED_MODEL, VECTORS, plan_rows, read_ids_and_texts, texts_of_block
from data.errors import ConfigError, DataError

How = Literal["vectors", "bm25", "rrf", "sum"]
HOW: tuple[How, ...] = ("vectors", "bm25", "rrf", "sum")
DEPTH = 1000  # of each ranking, what reciprocal rank fusion reads
WIDENING = 4  # faiss looks at this many times the documents that are asked for


class Hit(NamedTuple):
    id: str
    score: float
    text: str


class Searcher:
    """An index in memory. Vectors are compared by one product with all of them, or by faiss where the index says so."""

    def __init__(self, index: str):
        """Raises ConfigError where there is no whole index."""
        import json

        import numpy as np
        from etils import epath

        from data.bm25 import Bm25

        path = epath.Path(index)
        if not (path / INDEX).exists():
            raise ConfigError(f"{index}: no {INDEX} in it; `polisemia search index` makes an index")
        self.record = json.loads((path / INDEX).read_text())
        self.ids, self.texts = read_ids_and_texts(path)
        with (path / VECTORS).open("rb") as file:
            self.vectors = np.load(file)
        self.words = Bm25.load(path)
        self.graph: Any = _read_graph(path) if self.record["backend"] == "faiss" else None
        self.model = saved_model.load_exported(path / SAVED_MODEL)

    def encode(self, queries: Sequence[str]) -> Any:
        """Vectors <float32>[queries, width] of length 1, 0 where a query holds nothing that the model knows."""
        return VectorSource(VECTOR, "text", VECTOR).of(self.model, queries, self.record["max_tokens"])

    def search(
        self, queries: Sequence[str], how: How, top: int, weight: float = 0.5, vectors: Any = None
    ) -> list[list[Hit]]:
        """The best documents of each query, at most `top`, highest score first. By words, only those that share one; by
        vectors none where the query holds nothing that the model knows.

        how: vectors: the cosine; bm25; rrf: both, by reciprocal rank fusion; sum: weight * the vectors' scores + (1 -
        weight) * BM25's, each brought to [0, 1] a query. vectors: as `encode` gives them, where they are known already.
        """
        import numpy as np

        from data.ranking import best

        if vectors is None and how != "bm25":
            vectors = self.encode(queries)
        found = []
        for n, query in enumerate(queries):
            scores = self._scores(query, None if vectors is None else vectors[n], how, top, weight)
            places = best(scores, top)
            places = places[np.isfinite(scores[places])]
            found.append([Hit(self.ids[n], float(scores[n]), self.texts[n]) for n in places.tolist()])
        return found

    def _scores(self, query: str, vector: Any, how: How, top: int, weight: float) -> Any:
        """<float>[documents], -inf for those that are no hits."""
        import numpy as np

        from data.ranking import best, reciprocal_ranks, weighted_sum

        if how == "vectors":
            return self._cosines(vector, top)
        shared = self.words.scores(query)
        if how == "bm25":
            return np.where(shared > 0, shared, -np.inf)
        if how == "sum":
            found = weighted_sum([self.vectors @ vector, shared], [weight, 1.0 - weight])
            return found if vector.any() or shared.any() else np.full_like(found, -np.inf)
        cosines = self._cosines(vector, DEPTH)
        near, worded = best(cosines, DEPTH), best(shared, DEPTH)
        rankings = [near[np.isfinite(cosines[near])], worded[shared[worded] > 0]]
        fused = reciprocal_ranks(rankings, len(self.ids))
        return np.where(fused > 0, fused, -np.inf)

    def _cosines(self, vector: Any, depth: int) -> Any:
        """<float32>[documents]; of faiss only the `depth` nearest that it finds, -inf for the others, and for all where
        the vector is 0, which is near nothing."""
        import numpy as np

        if vector.any() and (self.graph is None or depth >= len(self.ids)):
            return self.vectors @ vector
        cosines = np.full(len(self.ids), -np.inf, np.float32)
        if vector.any():
            self.graph.hnsw.efSearch = max(WIDENING * depth, 64)
            scores, places = self.graph.search(vector[None], depth)
            cosines[places[0][places[0] >= 0]] = scores[0][places[0] >= 0]
        return cosines


def _read_graph(path: Any) -> Any:
    import numpy as np

    try:
        import faiss
    except ImportError:
        raise ConfigError(
            f"{path}: was made with faiss, which is not installed; `pip install polisemia[search]`"
        ) from None
    return faiss.deserialize_index(np.frombuffer((path / FAISS).read_bytes(), np.uint8))


def rows_of(input: str, format: str, fields: dict[str, str], where: str) -> list[tuple[str, str]]:
    """(id, text) of each query of a file. Raises ConfigError and DataError."""
    read = plan_rows(input, format, fields, where)
    rows = []
    for block in read.reader.plan(*read.paths):
        for kept, rejects in texts_of_block(read, block):
            if rejects:  # a query left out would look like one that found nothing
                raise DataError(*(f"{each['file']}:{each['line']}: {each['reason']}" for each in rejects[:5]))
            rows += kept
    return rows
