"""The hashes of data/ngrams.py in the graph: of words, their character n-grams, and n-grams of words.

Words are <uint8>[..., W], padded with zeros, which no word has.
"""

import tensorflow as tf

from data.ngrams import BASIS, BEGIN, END, MIXER, PRIME


def word_hashes(words: tf.Tensor) -> tf.Tensor:
    """The hash <uint32>[...] of each word."""
    longest = tf.reduce_max(_lengths(words))

    def take(k, hashes):
        byte = tf.gather(words, k, axis=-1)
        return k + 1, tf.where(byte > 0, _taken(hashes, byte), hashes)

    start = tf.fill(tf.shape(words)[:-1], tf.constant(BASIS, tf.uint32))
    shapes = tf.TensorShape([]), tf.TensorShape(words.shape[:-1])
    return tf.while_loop(lambda k, _: k < longest, take, (0, tf.ensure_shape(start, shapes[1])), shapes)[1]


def word_ngrams(words: tf.Tensor, keep: tf.Tensor, longest: int, buckets: int) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """For lengths 2 to `longest`, the bucket <int32>[B, T] of the n-gram that starts at each word, and whether one does
    <bool>[B, T]. None runs across a token that is no word.

    words: <uint8>[B, T, W]. keep: <bool>[B, T], which tokens are words.
    """
    hashes = tf.bitcast(word_hashes(words), tf.int32)  # the sign goes into the upper half, as in fastText
    hashes = tf.bitcast(tf.cast(hashes, tf.int64), tf.uint64)
    mixed, inside, found = hashes, keep, []
    for n in range(1, longest):
        mixed = mixed * tf.constant(MIXER, tf.uint64) + _ahead(hashes, n)
        inside &= _ahead(keep, n)
        bucket = tf.math.floormod(mixed, tf.constant(buckets, tf.uint64))
        found.append((tf.cast(bucket, tf.int32), inside))
    return found


def character_ngrams(words: tf.Tensor, shortest: int, longest: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Every n-gram's hash <uint32>[total] and the number of its word <int64>[total]; words <uint8>[N, W].

    From each byte where a character starts the hash is taken on, byte by byte; where the next character starts an
    n-gram ends, which counts if it is long enough.
    """
    marked = _marked(words)
    place, starts = tf.range(tf.shape(marked)[1])[None, :], (marked & 0xC0) != 0x80
    length = _lengths(marked)[:, None]
    starts &= place < length
    characters = tf.cumsum(tf.cast(starts, tf.int32), axis=1)  # up to and with each byte
    first, last = characters == 1, characters == characters[:, -1:]
    hashes = tf.fill(tf.shape(marked), tf.constant(BASIS, tf.uint32))
    found, owners = [], []
    for k in range(4 * longest):  # a character has at most 4 bytes
        hashes = _taken(hashes, _ahead(marked, k))
        ends = (place + k + 1 == length) | ((place + k + 1 < length) & _ahead(starts, k + 1))
        n = _ahead(characters, k) - characters + 1
        lone_mark = (n == 1) & (first | last)
        chosen = starts & ends & (n >= shortest) & (n <= longest) & ~lone_mark
        found.append(tf.boolean_mask(hashes, chosen))
        owners.append(tf.where(chosen)[:, 0])
    return tf.concat(found, axis=0), tf.concat(owners, axis=0)


def _taken(hashes: tf.Tensor, byte: tf.Tensor) -> tf.Tensor:
    """FNV-1a of one byte more; the byte counts as signed."""
    signed = tf.bitcast(tf.cast(tf.bitcast(byte, tf.int8), tf.int32), tf.uint32)
    return tf.bitwise.bitwise_xor(hashes, signed) * tf.constant(PRIME, tf.uint32)


def _lengths(words: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(words > 0, tf.int32), axis=-1)


def _marked(words: tf.Tensor) -> tf.Tensor:
    """Words between `<` and `>`, <uint8>[N, W + 2]."""
    wide = tf.pad(words, [[0, 0], [1, 1]], constant_values=0)
    place = tf.range(tf.shape(wide)[1])[None, :]
    wide = tf.where(place == 0, tf.constant(BEGIN[0], tf.uint8), wide)
    return tf.where(place == _lengths(words)[:, None] + 1, tf.constant(END[0], tf.uint8), wide)


def _ahead(values: tf.Tensor, n: int) -> tf.Tensor:
    """What stands n places on along axis 1; zeros or False behind the end."""
    if not n:
        return values
    width = tf.shape(values)[1]
    moved = tf.pad(values[:, n:], [[0, 0], [0, tf.minimum(n, width)]])
    return tf.ensure_shape(moved, values.shape)
