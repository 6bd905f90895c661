"""A language model of each direction: what both tell of a packed row, and how likely whole texts are by both, in the
graph (Peters et al. 2018, section 3.1)."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from data.schema import WORD_BYTES
from models.families.base import Vocabulary
from models.scoring import at_a_time, windows_between, windows_of


def told_both_ways(sequence: tf.Tensor, packed: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """sequence <float>[B, T, 2 * width] of rows `start` w_1 ... w_n `end`, forwards and backwards side by side.

    Returns vectors <float>[B, 2 * (T - 1), width], first those that tell what is behind them, then those that tell what
    is before them; and `ids` <int32>[B, 2 * (T - 1)], what they are to tell, -1 where there is nothing.
    """
    forwards, backwards = tf.split(sequence, 2, axis=2)
    here, ids = packed["mask"][:, 1:], packed["ids"]
    wanted = [tf.where(here, each, -1) for each in (ids[:, 1:], ids[:, :-1])]
    return {
        "vectors": tf.concat([forwards[:, :-1], backwards[:, 1:]], axis=1),
        "ids": tf.concat(wanted, axis=1),
    }


class Scores(keras.layers.Layer):
    """The head of both directions: `vectors` to `logits` <float>[B, U, size], and what is beside them as it is."""

    def __init__(self, softmax: keras.layers.Layer):
        super().__init__()
        self.softmax = softmax

    def build(self, _):
        """Nothing to do: the softmax builds itself at the first call."""

    def call(self, read: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"logits": self.softmax(read["vectors"]), "ids": read["ids"]}


def two_way_scores(served, task, text: tf.Tensor) -> dict[str, tf.Tensor]:
    """Of texts <string>[N]: forwards, backwards and their mean loss <float32>[N] in nats, tokens and unknown ones
    <int32>[N], which are as many in either direction. Forwards the end of a text is told too, backwards its begin.

    A text longer than the model reads at once is read in windows `task.stride` apart (half a window if None); each
    token is told forwards in the first window that holds it, and backwards in the last one.
    """
    vocabulary = Vocabulary.of(served.tokenizer)
    ids = served.tokenizer.graph(text)
    starts, lengths = tf.cast(ids.row_starts(), tf.int32), tf.cast(ids.row_lengths(), tf.int32)
    flat = tf.concat([ids.flat_values, [vocabulary.pad]], axis=0)  # something to gather, where there is no token
    words = tf.concat([served.tokenizer.words(text).flat_values, [""]], axis=0) if served.family.word_bytes else None
    room, count = served.max_tokens - 2, tf.shape(lengths)[0]
    most = tf.clip_by_value(tf.reduce_max(lengths), 1, room)
    stride = tf.minimum(task.stride or max(room // 2, 1), most)
    rows, begins = windows_between(lengths, most, stride)
    at_once = at_a_time(most + 2, 2 * (most + 2) * vocabulary.size)
    unknown = -1 if vocabulary.unknown is None else vocabulary.unknown

    def some(n, sums):
        row, begin = rows[n : n + at_once], begins[n : n + at_once]
        whole, first = tf.gather(lengths, row), tf.gather(starts, row) + begin
        length = tf.minimum(whole - begin, most)
        batch = windows_of(flat, first, length, most, vocabulary.pad)
        if words is not None:
            batch[WORD_BYTES] = _bytes(words, first, length, most, served.family.word_bytes)
        losses, ids, here = (_by_side(each) for each in task.losses(served.model(batch, training=False), batch))
        here &= _told(tf.shape(here)[2], begin, length, begin + length == whole, most - stride, stride)
        nats = tf.reduce_sum(tf.where(here, losses, 0.0), axis=2)
        counts = [tf.reduce_sum(tf.cast(each[:, 0], tf.float32), axis=1) for each in (here, here & (ids == unknown))]
        found = tf.concat([nats, tf.stack(counts, axis=1)], axis=1)
        return n + at_once, sums + tf.math.unsorted_segment_sum(found, row, count)

    _, sums = tf.while_loop(lambda n, _: n < tf.size(rows), some, (tf.constant(0), tf.zeros([count, 4])))
    forwards, backwards, tokens, unknowns = tf.unstack(sums, axis=1)
    counts = {"tokens": tf.cast(tokens, tf.int32), "unknown": tf.cast(unknowns, tf.int32)}
    return {"loss": (forwards + backwards) / 2, "forwards": forwards, "backwards": backwards, **counts}


def _by_side(values: tf.Tensor) -> tf.Tensor:
    """<...>[W, 2 * U] -> <...>[W, 2, U]."""
    return tf.reshape(values, [tf.shape(values)[0], 2, tf.shape(values)[1] // 2])


def _told(width: tf.Tensor, begin: tf.Tensor, length: tf.Tensor, last: tf.Tensor, old: tf.Tensor, new: tf.Tensor):
    """What each window tells <bool>[W, 2, width]: forwards place n is the window's token n or, behind the last one, the
    end; backwards place n is token n - 1, and place 0 the begin.

    begin, length <int32>[W], last <bool>[W]: of the windows. old, new <int32>[]: tokens that a window has in common
    with the one before it, and that it has alone before the next one.
    """
    place, opening, last = tf.range(width)[None, :], (begin == 0)[:, None], last[:, None]
    length = length[:, None]
    forwards = (place >= tf.where(opening, 0, old)) & (place < length + tf.cast(last, tf.int32))
    backwards = (place >= tf.where(opening, 0, 1)) & (place <= tf.where(last, length, new))
    return tf.stack([forwards, backwards], axis=1)


def _bytes(words: tf.Tensor, first: tf.Tensor, length: tf.Tensor, most: tf.Tensor, width: int) -> tf.Tensor:
    """Bytes <uint8>[W, most, width] of `length` words from `first` on, of texts that stand one after another."""
    index = tf.minimum(first[:, None] + tf.range(most)[None, :], tf.size(words) - 1)
    here = tf.where(tf.sequence_mask(length, most), tf.gather(words, index), "")
    return tf.io.decode_raw(here, tf.uint8, fixed_length=width)
