"""How likely each token of a text is beside all others, in the graph: pseudo-likelihood (Salazar et al. 2020)."""

from typing import NamedTuple

import tensorflow as tf

from models.families.base import Vocabulary
from models.packing import added_tokens
from models.scoring import at_a_time, summed, windows_of


class Told(NamedTuple):
    """What each window of a text tells, all <int32>[W]: the text, its first place, and from and to which place of the
    window it tells, every `step`-th in one pass."""

    row: tf.Tensor
    begin: tf.Tensor
    low: tf.Tensor
    high: tf.Tensor
    step: tf.Tensor


def pseudo_scores(served, task, text: tf.Tensor) -> dict[str, tf.Tensor]:
    """Of texts <string>[N]: loss <float32>[N] in nats, the sum over all tokens, tokens and unknown ones <int32>[N].

    A text that the model reads at once tells each token in a pass of its own. A longer one is read in windows half as
    far apart as they are wide, each token told in the one that it stands furthest inside of; in a pass over a window
    every `task.together`-th token is hidden, since with one a pass a long text would cost as many passes as it has
    tokens.
    """
    vocabulary, scorer = Vocabulary.of(served.tokenizer), served.model.head.scores
    ids = served.tokenizer.graph(text)
    flat, starts, lengths = (tf.cast(each, tf.int32) for each in (ids.flat_values, ids.row_starts(), ids.row_lengths()))
    room, count = served.max_tokens - added_tokens(served.family.special_tokens, pairs=False), tf.shape(lengths)[0]
    windows = told_in(lengths, room, task.together)
    passes = tf.ragged.range(tf.minimum(windows.step, windows.high - windows.low))
    window, turn = tf.cast(passes.value_rowids(), tf.int32), passes.flat_values
    most = tf.clip_by_value(tf.reduce_max(lengths), 1, room)
    hidden_at_once = tf.where(tf.reduce_any(lengths > room), -(-room // task.together), 1)
    at_once = at_a_time(most, hidden_at_once * vocabulary.size)
    unknown = -1 if vocabulary.unknown is None else vocabulary.unknown

    def some(n, sums):
        here = Told(*(tf.gather(each, window[n : n + at_once]) for each in windows))
        length = tf.minimum(tf.gather(lengths, here.row) - here.begin, most)
        batch = windows_of(flat, tf.gather(starts, here.row) + here.begin, length, most, vocabulary.pad)
        packed = served.model.pack(batch)
        place = packed["place"]
        hidden = (place >= here.low[:, None]) & (place < here.high[:, None])
        hidden &= (place - here.low[:, None]) % here.step[:, None] == turn[n : n + at_once, None]
        encoded = served.model.read({**packed, "ids": tf.where(hidden, vocabulary.mask, packed["ids"])})
        wanted = tf.boolean_mask(packed["ids"], hidden)
        logits = scorer(tf.boolean_mask(encoded.sequence, hidden))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits)
        found = tf.stack([losses, tf.ones_like(losses), tf.cast(wanted == unknown, tf.float32)], axis=1)
        owner = tf.gather(here.row, tf.where(hidden)[:, 0])
        return n + at_once, sums + tf.math.unsorted_segment_sum(found, owner, count)

    _, sums = tf.while_loop(lambda n, _: n < tf.size(window), some, (tf.constant(0), tf.zeros([count, 3])))
    return summed(sums)


def told_in(lengths: tf.Tensor, room: int, together: int) -> Told:
    """The windows, `room` tokens wide or less, of texts of so many tokens <int32>[N]."""
    stride = max(room // 2, 1)
    last = tf.maximum(lengths - room, 0)  # where a text's last window begins
    more = -(-last // stride)
    number = tf.ragged.range(more + 1)
    row, n = tf.cast(number.value_rowids(), tf.int32), number.flat_values
    last, more, length = (tf.gather(each, row) for each in (last, more, lengths))
    begin = tf.minimum(n * stride, last)

    def border(other):
        """The middle of what a window shares with another one, in places of the window."""
        return (begin + tf.minimum(other * stride, last) + room) // 2 - begin

    low = tf.where(n == 0, 0, border(n - 1))
    high = tf.where(n == more, length - begin, border(n + 1))
    return Told(row, begin, low, high, tf.where(more > 0, together, room))
