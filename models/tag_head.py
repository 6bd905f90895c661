"""The head of tagging: scores of the tags of each token, and between neighbours, and the best sequence of them."""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from models import crf
from models.crf import Chain


class TagHead(keras.layers.Layer):
    """From vectors of tokens <float>[B, L, width] and which there are <bool>[B, L], the first of each row, to

    scores <float32>[B, L, K], length <int32>[B], chain <float32>[B, K + 2, K] (transitions from and to, start, end: the
    same in every row, so that rows can be dealt to devices, as is outside <int32>[B], the tag of what is in no span),
    and when it does not train tags <int32>[B, L], the best.
    """

    def __init__(
        self, tags: int, learns_chain: bool, dropout: float, allowed: Sequence | None, outside: int = -1, **options
    ):
        """allowed: which tag may follow which <bool>[K, K], start, end a row <bool>[K]; None: any. outside: -1 where no
        tag means that."""
        super().__init__(**options)
        self.tags, self.learns_chain, self.outside = tags, learns_chain, outside
        self.dropout, self.scores = keras.layers.Dropout(dropout), keras.layers.Dense(tags, dtype="float32")
        self.allowed = None if allowed is None else Chain(*(tf.constant(part) for part in allowed))

    def build(self, shapes):
        self.scores.build(shapes[0])
        if self.learns_chain:
            names = {"transitions": [self.tags, self.tags], "start": [self.tags], "end": [self.tags]}
            self.weights_of_chain = [
                self.add_weight(shape=shape, name=name, dtype="float32", initializer="zeros")
                for name, shape in names.items()
            ]

    def call(self, inputs, training=False):
        sequence, keep = inputs
        scores = self.scores(self.dropout(sequence, training=training))
        length = tf.reduce_sum(tf.cast(keep, tf.int32), axis=1)
        chain = (
            Chain(*(tf.convert_to_tensor(weight) for weight in self.weights_of_chain)) if self.learns_chain else None
        )
        chain = chain or Chain(tf.zeros([self.tags, self.tags]), tf.zeros([self.tags]), tf.zeros([self.tags]))
        table = tf.concat([chain.transitions, chain.start[None], chain.end[None]], axis=0)
        table = tf.broadcast_to(table, [tf.shape(scores)[0], self.tags + 2, self.tags])
        outside = tf.fill(tf.shape(length), self.outside)
        found = {"scores": scores, "length": length, "chain": table, "outside": outside}
        if not training:
            found["tags"] = crf.viterbi(scores, length, chain if self.allowed is None else chain.only(self.allowed))
        return found


def chain_of(logits: Mapping[str, tf.Tensor]) -> Chain:
    """The chain that TagHead gave, of a batch of at least one row."""
    table = logits["chain"][0]
    return Chain(table[:-2], table[-2], table[-1])


def marginals(logits: Mapping[str, tf.Tensor], learns_chain: bool) -> tf.Tensor:
    """Probability of each tag at each token <float32>[B, L, K]: the gradient of the log-partition by the scores."""
    scores = logits["scores"]
    if not learns_chain:
        return tf.nn.softmax(scores)
    table = tf.pad(logits["chain"], [[0, 1], [0, 0], [0, 0]])[0]  # there may be no row
    with tf.GradientTape() as tape:
        tape.watch(scores)
        total = crf.log_partition(scores, logits["length"], Chain(table[:-2], table[-2], table[-1]))
    return tape.gradient(total, scores)
