"""The n-grams of a row in the graph: of words, of characters, or of characters within words.

An n-gram is found by its key, (index of its (n-1)-gram prefix) * size + last id, in a sorted int64 table an order.
"""

from typing import Any, NamedTuple

from models.families.base import Vocabulary


class Units(NamedTuple):
    """What n-grams are made of.

    size: ids are below it. special: ids that no n-gram holds. spaces: ids of white space, where words are to be parted
    (scikit-learn's `char_wb`). boundary: the id that stands for a word's beginning and end, if so.
    """

    size: int
    special: tuple[int, ...]
    unknown: int | None = None
    spaces: tuple[int, ...] = ()
    boundary: int | None = None

    @classmethod
    def of(cls, vocabulary: Vocabulary, within_words: bool) -> "Units":
        special = tuple(sorted(vocabulary.special))
        if not within_words:
            return cls(vocabulary.size, special)
        spaces = tuple(i for i, word in enumerate(vocabulary.words) if word.isspace())
        return cls(vocabulary.size + 1, special, vocabulary.unknown, spaces, vocabulary.size)

    def read(self, packed: Any):
        """Ids <int64>[B, T], -1 where there is none and none runs across: padding and special tokens.

        With boundaries, [B, T + 2]: one before and one behind, and one for each white space and special token.
        """
        import tensorflow as tf

        ids = tf.cast(packed["ids"], tf.int64)
        token = packed["mask"] & ~_among(packed["ids"], self.special)
        if self.boundary is None:
            return tf.where(token, ids, -1)
        ids = tf.where(token & ~_among(packed["ids"], self.spaces), ids, self.boundary)
        if self.unknown is not None:  # a character of a word all the same
            ids = tf.where(packed["mask"] & (packed["ids"] == self.unknown), tf.constant(-1, tf.int64), ids)
        return tf.pad(ids, [[0, 0], [1, 1]], constant_values=self.boundary)


def find(packed: Any, units: Units, tables: list) -> tuple[list, Any]:
    """For orders 1, 2, ..., len(tables) + 1, the index <int64>[B, any] of each n-gram, or -1; and for the order after
    them the keys <int64>[B, T], or -1.

    tables: the sorted keys of orders 2, 3, ...
    """
    import tensorflow as tf

    ids = units.read(packed)
    found, index = [_single(ids, units.boundary)], ids
    for table in tables:
        keys = _longer(index, ids, units, first=index is ids)
        place = tf.searchsorted(table, tf.reshape(keys, [-1]))
        place = tf.minimum(tf.reshape(place, tf.shape(keys)), tf.shape(table)[0] - 1)
        index = tf.where((keys >= 0) & (tf.gather(table, place) == keys), tf.cast(place, tf.int64), -1)
        found.append(index)
    return found, _longer(index, ids, units, first=index is ids)


def _single(ids, boundary: int | None):
    """The n-grams of one. A boundary between two words is the end of one and the beginning of the other: two."""
    import tensorflow as tf

    if boundary is None:
        return ids
    inner = ids != boundary
    before, after = (tf.pad(inner[:, s], [[0, 0], p]) for s, p in ((slice(-1), [1, 0]), (slice(1, None), [0, 1])))
    ends = tf.where(inner | before, ids, -1)
    begins = tf.where(~inner & after, ids, -1)
    return tf.concat([ends, begins], axis=1)


def _longer(prefix, ids, units: Units, first: bool):
    """Keys <int64>[B, T] of the n-grams ending at each place, from the index of the (n-1)-grams ending there.

    None goes on behind the end of its word, and none is two boundaries.
    """
    import tensorflow as tf

    if units.boundary is not None and not first:
        prefix = tf.where(ids != units.boundary, prefix, -1)
    before = tf.pad(prefix[:, :-1], [[0, 0], [1, 0]], constant_values=-1)
    whole = (before >= 0) & (ids >= 0)
    if units.boundary is not None and first:
        whole &= ~((before == units.boundary) & (ids == units.boundary))
    return tf.where(whole, before * units.size + ids, -1)


def _among(ids, some: tuple[int, ...]):
    """Which ids <int32>[B, T] are among some <bool>[B, T]."""
    import tensorflow as tf

    found = tf.zeros_like(ids, tf.bool)
    for each in some:
        found |= ids == each
    return found
