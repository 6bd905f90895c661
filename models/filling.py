"""What fits into the gaps of a text, in the graph, its tokenizer around it."""

from collections.abc import Callable

import tensorflow as tf

from models.families.base import Vocabulary
from models.packing import added_tokens
from models.scoring import at_a_time, windows_of

MASK = "[MASK]"  # a gap in a text that is sent, whatever the tokenizer's own mask token is


def filling(served, top: int) -> Callable:
    """The signature `fill_mask`: text <string>[N], a gap where it has `[MASK]`, to the best `top` tokens of each gap
    (fewer in a smaller vocabulary), the best one first.

    tokens <string>[N, M, top], as they read in a text, and their probabilities scores <float32>[N, M, top], M the most
    gaps of a text; length <int32>[N], the gaps of each, behind which are "" and 0. Special tokens are no answer, and
    what the model gives them is missing from the sum of all. All of a text's gaps are open at once. In a text longer
    than the model reads at once each is filled from the tokens around it.
    """
    vocabulary = Vocabulary.of(served.tokenizer)
    words = tf.constant([i for i in range(vocabulary.size) if i not in vocabulary.special], tf.int32)
    top = min(top, words.shape[0])
    room = served.max_tokens - added_tokens(served.family.special_tokens, pairs=False)

    def fill(text):
        ids = with_gaps(served.tokenizer, vocabulary.mask, text)
        flat, starts, lengths = (
            tf.cast(each, tf.int32) for each in (ids.flat_values, ids.row_starts(), ids.row_lengths())
        )
        gaps = tf.cast(tf.where(flat == vocabulary.mask)[:, 0], tf.int32)
        row = tf.gather(tf.cast(ids.value_rowids(), tf.int32), gaps)
        first, length = tf.gather(starts, row), tf.gather(lengths, row)
        begin = tf.clip_by_value(gaps - first - room // 2, 0, tf.maximum(length - room, 0))
        most = tf.clip_by_value(tf.reduce_max(lengths), 1, room)
        at_once = at_a_time(most, vocabulary.size)

        def some(n, best, scores):
            some = slice(n, n + at_once)
            start = first[some] + begin[some]
            batch = windows_of(flat, start, tf.minimum(length[some] - begin[some], most), most, vocabulary.pad)
            packed = served.model.pack(batch)
            here = packed["place"] == (gaps[some] - start)[:, None]
            logits = served.model.head.scores(tf.boolean_mask(served.model.read(packed).sequence, here))
            found, index = tf.math.top_k(tf.gather(tf.nn.softmax(logits), words, axis=1), top)
            rows = tf.range(n, tf.minimum(n + at_once, tf.size(gaps)))[:, None]
            update = tf.tensor_scatter_nd_update
            return n + at_once, update(best, rows, tf.gather(words, index)), update(scores, rows, found)

        empty = tf.zeros([tf.size(gaps), top], tf.int32), tf.zeros([tf.size(gaps), top])
        _, best, scores = tf.while_loop(lambda n, *_: n < tf.size(gaps), some, (tf.constant(0), *empty))
        tokens = served.tokenizer.graph_decode(tf.RaggedTensor.from_tensor(tf.reshape(best, [-1, 1])))
        count = tf.shape(text)[0]

        def of_texts(values, filler):
            ragged = tf.RaggedTensor.from_value_rowids(values, row, tf.cast(count, row.dtype))
            return tf.ensure_shape(ragged.to_tensor(filler), [None, None, top])

        return {
            "tokens": of_texts(tf.reshape(tokens, [-1, top]), ""),
            "scores": of_texts(scores, 0.0),
            "length": tf.math.bincount(row, minlength=count, maxlength=count),
        }

    return fill


def with_gaps(tokenizer, mask: int, text: tf.Tensor) -> tf.RaggedTensor:
    """Texts <string>[N] to ids <int32>[N, None], the mask's where they have `[MASK]`.

    What is between gaps is tokenized by itself. White space before a gap belongs to the token that will fill it, unless
    the vocabulary has it as a token.
    """
    pieces = tf.strings.split(text, MASK)
    strings = pieces.flat_values
    if " " not in tokenizer.vocabulary:
        last = tf.scatter_nd((pieces.row_limits() - 1)[:, None], tf.ones_like(pieces.row_limits()), [tf.size(strings)])
        strings = tf.where(last > 0, strings, tf.strings.regex_replace(strings, r"\s+$", ""))
    ids = tokenizer.graph(strings)
    closed = tf.concat([ids, tf.RaggedTensor.from_tensor(tf.fill([tf.size(strings), 1], mask))], axis=1)
    return pieces.with_flat_values(closed).merge_dims(1, 2)[:, :-1]
