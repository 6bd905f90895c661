"""Rankings of documents for queries: by vectors, by words (BM25), and by both, in TensorFlow ops.

Ranks are fused by Cormack et al. 2009; scores by a weighted sum, each brought to [0, 1].
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from data.bm25 import Bm25
from data.words import GraphWords

RANK_CONSTANT = 60  # of reciprocal rank fusion, as its authors set it
DEPTH = 1000  # of each ranking, what reciprocal rank fusion reads
NOTHING = float("-inf")  # the score of what is no hit

QUERIES, VECTORS = tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.float32)
NEAR = tf.TensorSpec([None, None], tf.int32)
NUMBER, WEIGHT = tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.float64)


def _of(*specs: tf.TensorSpec) -> Any:
    """A function of these, which a SavedModel keeps beside its signatures."""
    return lambda function: tf.function(function, input_signature=specs, autograph=False)


class Ranker(tf.Module):
    """Documents to rank, held in variables: of them the graph itself has their distinct words alone.

    Each ranking gives the best of [D] documents to each of [N] queries, at most k, highest first and the first of
    equals first: scores <float64>[N, k], -inf for what is no hit, and places <int32>[N, k]. It takes memory for
    [N, D] numbers, and for the postings of the queries' words.
    """

    def __init__(self, vectors: Any, bm25: Bm25, ids: Sequence[str], texts: Sequence[str]):
        """vectors <float32>[D, width], of length 1, or 0 for a text of which nothing is known."""
        super().__init__()
        self.documents, self.vocabulary = len(ids), max(len(bm25.words), 1)
        self.vectors = tf.Variable(vectors, trainable=False, name="vectors")
        self.ids = tf.Variable(list(ids), trainable=False, name="ids")
        self.texts = tf.Variable(list(texts), trainable=False, name="texts")
        rows = tf.constant([*range(len(bm25.words)), -1], tf.int64)  # the last is of no word: a table is never empty
        words = tf.lookup.KeyValueTensorInitializer(tf.constant([*bm25.words, ""]), rows)
        self.rows = tf.lookup.StaticHashTable(words, -1)
        self.starts = tf.Variable(tf.cast(bm25.weights.indptr, tf.int64), trainable=False, name="starts")
        self.having = tf.Variable(tf.cast(bm25.weights.indices, tf.int32), trainable=False, name="having")
        self.weights = tf.Variable(bm25.weights.data, trainable=False, name="weights")
        self._words = GraphWords()

    @_of(VECTORS, NUMBER)
    def by_vectors(self, vectors, k):
        """By cosine; no hit where the query's vector is 0, which is near nothing."""
        return _best(tf.where(_any(vectors != 0), self._cosines(vectors), NOTHING), k)

    @_of(QUERIES, NUMBER)
    def by_words(self, queries, k):
        """By BM25; hits share a word with the query."""
        scores = self._shared(queries)
        return _best(tf.where(scores > 0, scores, NOTHING), k)

    @_of(QUERIES, NEAR, NUMBER)
    def by_ranks(self, queries, near, k):
        """By the sum of 1 / (60 + rank) over the best of BM25 and `near`, places by vectors, -1 for none."""
        scores, worded = self.by_words(queries, DEPTH)
        places = tf.concat([near, tf.where(scores > NOTHING, worded, -1)], axis=1)
        ranks = tf.concat([tf.range(tf.shape(near)[1]), tf.range(tf.shape(worded)[1])], axis=0)
        gains = tf.broadcast_to(1.0 / tf.cast(RANK_CONSTANT + 1 + ranks, tf.float64), tf.shape(places))
        count = tf.shape(places, tf.int64)[0]
        query = tf.broadcast_to(tf.range(count)[:, tf.newaxis], tf.shape(places))
        fused = self._summed(count, *(tf.reshape(each, [-1]) for each in (query, places, gains)))
        return _best(tf.where(fused > 0, fused, NOTHING), k)

    @_of(QUERIES, VECTORS, WEIGHT, NUMBER)
    def by_sum(self, queries, vectors, weight, k):
        """By weight * the cosine + (1 - weight) * BM25, each brought to [0, 1] by its lowest and highest of a query."""
        cosines, shared = self._cosines(vectors), self._shared(queries)
        found = weight * _in_unit(cosines) + (1.0 - weight) * _in_unit(shared)
        return _best(tf.where(_any(vectors != 0) | _any(shared > 0), found, NOTHING), k)

    @_of(NEAR)
    def texts_at(self, places):
        """<string>, as `places`."""
        return tf.gather(self.texts, places)

    def _cosines(self, vectors):
        return tf.matmul(vectors, self.vectors, transpose_b=True)

    def _shared(self, queries):
        """BM25's scores <float64>[N, D], 0 where no word is shared.

        Words are counted first: however often a query says one, its postings are read once.
        """
        words = self._words(queries)
        rows = self.rows.lookup(words.flat_values)
        known = tf.boolean_mask(_owners(words) * self.vocabulary + rows, rows >= 0)
        said, _, often = tf.unique_with_counts(known)
        query, row = said // self.vocabulary, said % self.vocabulary
        postings = tf.ragged.range(tf.gather(self.starts, row), tf.gather(self.starts, row + 1))
        word, posting = _owners(postings), postings.flat_values
        gains = tf.cast(tf.gather(self.weights, posting), tf.float64) * tf.cast(tf.gather(often, word), tf.float64)
        return self._summed(words.nrows(), tf.gather(query, word), tf.gather(self.having, posting), gains)

    def _summed(self, count, query, place, gain):
        """Sums <float64>[count, D] of what each query gains at each place, all [M]; a place below 0 is none."""
        at = tf.where(place < 0, tf.constant(-1, tf.int64), query * self.documents + tf.cast(place, tf.int64))
        return tf.reshape(tf.math.unsorted_segment_sum(gain, at, count * self.documents), [count, self.documents])


def _best(scores, k):
    values, places = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
    return tf.cast(values, tf.float64), places


def _owners(ragged):
    """The row of each value <int64>[M]. `value_rowids` would make a table of all rows, as wide as the longest."""
    limits = ragged.row_splits[1:]
    return tf.searchsorted(limits, tf.range(ragged.row_splits[-1]), side="right", out_type=tf.int64)


def _any(found):
    return tf.reduce_any(found, axis=1, keepdims=True)


def _in_unit(scores):
    """Each row of <float>[N, D] brought to [0, 1] by its lowest and highest; 0 where all are equal."""
    scores = tf.cast(scores, tf.float64)
    low, high = tf.reduce_min(scores, 1, keepdims=True), tf.reduce_max(scores, 1, keepdims=True)
    return (scores - low) / tf.maximum(high - low, 1e-12)
