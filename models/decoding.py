"""Text from a decoder, token by token: greedy, drawn, contrastive and beam search, one loop for every family.

It uses nothing of a decoder but what `Steps` has (models/layers.py), and plain ops on
states of static shape: the same loop runs eagerly, streams from Python and is exported in a signature that TF Serving,
where XLA is off, can run. Prompts of different lengths share a batch: a row reads its own prompt to its end while
others already write, so what a row gets does not depend on its neighbours.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from models.families.base import Vocabulary
from models.generation import Generation
from models.groups import best_of, grouped, set_column
from models.scores import NEVER, drawn, ends_with, processed

CANDIDATES = 4  # of contrastive search, where top_k says nothing
UNSEEN = 1e-6  # least attention that counts: what got none at all would take everything from a score


class Steps(Protocol):
    """What is read of a decoder: models.layers.Decoder, or one in a SavedModel."""

    def init_state(self, memory: tf.Tensor | None, mask: tf.Tensor, max_tokens: int) -> Any: ...

    def advance(self, ids: tf.Tensor, state: Any) -> Any: ...

    def logits(self, hidden: tf.Tensor) -> tf.Tensor: ...

    def coverage(self, state: Any) -> tf.Tensor: ...

    def reorder(self, state: Any, parents: tf.Tensor) -> Any: ...


class Generated(NamedTuple):
    """ids <int32>[B, n_best, max_tokens], new tokens without the end, padded; lengths <int32>[B, n_best];
    scores <float32>[B, n_best], sums of log-probabilities, end included (beam search: over the length penalty, and
    with the coverage penalty)."""

    ids: tf.Tensor
    lengths: tf.Tensor
    scores: tf.Tensor


class Prompt(NamedTuple):
    """What generation starts from.

    ids <int32>[B, P] and length <int32>[B], 1 to P: what the decoder has read before its first new token.
    memory <float>[B, S, width] and mask <bool>[B, S]: the encoded source, for decoders that read one; else None.
    """

    ids: tf.Tensor
    length: tf.Tensor
    memory: tf.Tensor | None = None
    mask: tf.Tensor | None = None


def generate(
    decoder: Steps, prompt: Prompt, options: Generation, vocabulary: Vocabulary, stops: Sequence[Sequence[int]] = ()
) -> Generated:
    """Generates until every row has ended. stops: sequences of ids that end a text and are cut from it.

    Raises ValueError for a coverage penalty where there is no source.
    """
    if options.coverage_penalty and prompt.memory is None:
        raise ValueError("coverage_penalty: the model reads no source that could be covered; wanted 0")
    search = _Search(decoder, options, vocabulary, stops)
    copies = {"beam": options.beams, "sample": options.n_best}.get(options.method, 1)
    repeated = Prompt(*(None if each is None else tf.repeat(each, copies, axis=0) for each in prompt))
    if options.method == "beam":
        carry = _loop(search.next_beams, search.first_beams(repeated, tf.shape(prompt.ids)[0]))
    else:
        carry = _loop(search.next_tokens, search.first_tokens(repeated))
    return Generated(*(grouped(each, copies)[:, : options.n_best] for each in search.ended(carry, repeated.length)))


def stream(
    decoder: Steps, prompt: Prompt, options: Generation, vocabulary: Vocabulary, stops: Sequence[Sequence[int]] = ()
) -> Iterator[tf.Tensor]:
    """New tokens as they come, <int32>[B] a step; a row that still reads its prompt, or has ended, gives padding. They
    come as much later as the longest of `stops` may still turn out to be one.

    Raises ValueError for beam search, whose first token is known only at the end.
    """
    if options.method == "beam" or options.n_best > 1:
        raise ValueError(
            f"stream: got method '{options.method}' with n_best {options.n_best}, which has no first token before the "
            "last one; wanted another method than 'beam', and one answer"
        )
    search = _Search(decoder, options, vocabulary, stops)
    carry, step = search.first_tokens(prompt), tf.function(search.next_tokens, autograph=False)
    late = max(map(len, search.stops), default=1) - 1
    while not tf.reduce_all(carry.closed):
        carry = step(carry)
        if (place := int(carry.position) - late) > 0:
            yield search.sure(carry, place)
    last = int(carry.position)
    for place in range(max(last - late, 0) + 1, last + 1):
        yield search.sure(carry, place)


def _loop(step, carry):
    (carry,) = tf.while_loop(lambda carry: ~tf.reduce_all(carry.closed), lambda carry: (step(carry),), (carry,))
    return carry


class _Carry(NamedTuple):
    """Between two tokens. N rows: a text, a draw, or a beam each.

    position <int32>[]: of the last token read. ids <int32>[N, T]. length <int32>[N]: of the prompts.
    closed <bool>[N]: nothing more is written. counts <int32>[N]: new tokens kept. scores <float32>[N].
    logits <float32>[N, V] of the next token. state: the decoder's. hidden <float>[N, T, width]: what contrastive search
    compares with. best: the texts of beam search that have ended, (ids, counts, scores) by row.
    """

    position: tf.Tensor
    ids: tf.Tensor
    length: tf.Tensor
    closed: tf.Tensor
    counts: tf.Tensor
    scores: tf.Tensor
    logits: tf.Tensor
    state: Any
    hidden: Any = ()
    best: Any = ()


class _Search:
    def __init__(self, decoder: Steps, options: Generation, vocabulary: Vocabulary, stops: Sequence[Sequence[int]]):
        self.decoder, self.options, self.pad = decoder, options, vocabulary.pad
        self.end = -1 if vocabulary.end is None else vocabulary.end
        specials = vocabulary.pad, vocabulary.unknown, vocabulary.start, vocabulary.mask
        self.banned = sorted({each for each in specials if each is not None and each != self.end})
        self.stops = [list(stop) for stop in stops if len(stop)]
        self.ends = len({self.end, *(stop[-1] for stop in self.stops)})  # tokens that may end a text

    def first_tokens(self, prompt: Prompt) -> _Carry:
        """After the first token of each prompt was read."""
        ids = tf.pad(prompt.ids, [(0, 0), (0, self.options.max_tokens)], constant_values=self.pad)
        rows, places = tf.shape(ids)[0], ids.shape[1] or tf.shape(ids)[1]
        mask = tf.ones_like(prompt.ids, tf.bool) if prompt.mask is None else prompt.mask
        state = self.decoder.init_state(prompt.memory, mask, places)
        hidden, state = self.decoder.advance(ids[:, 0], state)
        earlier: Any = ()
        if self.options.method == "contrastive":
            earlier = tf.concat([hidden[:, None], tf.zeros([rows, places - 1, hidden.shape[-1]], hidden.dtype)], axis=1)
        none = tf.zeros([rows], tf.int32)
        closed, scores = tf.zeros([rows], tf.bool), tf.zeros([rows])
        position = tf.constant(0)
        return _Carry(position, ids, prompt.length, closed, none, scores, self.decoder.logits(hidden), state, earlier)

    def next_tokens(self, carry: _Carry) -> _Carry:
        """One token more in every row: the prompt's own while it lasts, then the chosen one."""
        position, made = carry.position + 1, carry.position + 1 - carry.length
        scores = self._processed(carry, made)
        forced = made < 0
        given = tf.gather(carry.ids, position, axis=1)
        if self.options.method == "contrastive":
            token, hidden, state = self._contrastive(carry, scores, forced, given)
        else:
            draw = self.options.method == "sample"
            choice = drawn(scores, self.options, position) if draw else tf.argmax(scores, axis=1, output_type=tf.int32)
            token = tf.where(forced, given, tf.where(carry.closed, self.pad, choice))
            hidden, state = self.decoder.advance(token, carry.state)
        writes = ~(forced | carry.closed)
        ids = set_column(carry.ids, position, token)
        ended, count = self._ended(ids, position, token, made)
        earlier = carry.hidden
        if self.options.method == "contrastive":
            here = tf.range(tf.shape(earlier)[1])[None, :, None] == position
            earlier = tf.where(here, hidden[:, None], earlier)
        return carry._replace(
            position=position,
            ids=ids,
            closed=carry.closed | (writes & ended),
            counts=tf.where(writes, count, carry.counts),
            scores=carry.scores + tf.where(writes, tf.gather(scores, token, batch_dims=1), 0.0),
            logits=self.decoder.logits(hidden),
            state=state,
            hidden=earlier,
        )

    def sure(self, carry: _Carry, place: int) -> tf.Tensor:
        """The tokens at a place <int32>[B]; padding for those of a prompt, and behind a row's end."""
        made = place - carry.length
        kept = (made >= 0) & (made < tf.where(carry.closed, carry.counts, self.options.max_tokens))
        return tf.where(kept, carry.ids[:, place], self.pad)

    def _contrastive(self, carry: _Carry, scores: tf.Tensor, forced: tf.Tensor, given: tf.Tensor):
        """The candidate of highest probability less likeness to an earlier token (Su et al. 2022, eq. 5)."""
        rows, k = tf.shape(scores)[0], min(self.options.top_k or CANDIDATES, scores.shape[-1])
        likely, candidates = tf.math.top_k(scores, k)
        fixed = forced | carry.closed
        candidates = tf.where(fixed[:, None], tf.where(forced, given, self.pad)[:, None], candidates)
        state = self.decoder.reorder(carry.state, tf.repeat(tf.range(rows), k))
        hidden, state = self.decoder.advance(tf.reshape(candidates, [-1]), state)
        ours = tf.math.l2_normalize(tf.reshape(tf.cast(hidden, tf.float32), [rows, k, hidden.shape[-1]]), axis=-1)
        theirs = tf.math.l2_normalize(tf.cast(carry.hidden, tf.float32), axis=-1)
        alike = tf.einsum("nkw,ntw->nkt", ours, theirs)
        read = tf.range(tf.shape(theirs)[1])[None, None, :] <= carry.position
        alike = tf.reduce_max(tf.where(read, alike, -1.0), axis=2)
        value = (1 - self.options.alpha) * tf.exp(likely) - self.options.alpha * alike
        best = tf.argmax(value, axis=1, output_type=tf.int32)
        places = tf.range(rows) * k + best
        token = tf.gather(candidates, best, batch_dims=1)
        return token, tf.gather(hidden, places), self.decoder.reorder(state, places)

    def first_beams(self, prompt: Prompt, rows: tf.Tensor) -> _Carry:
        """As `first_tokens`; of a text's equal beams only the first one counts yet."""
        carry, beams = self.first_tokens(prompt), self.options.beams
        first = tf.tile(tf.range(beams) == 0, [rows])
        best = carry.ids, carry.counts, tf.fill([rows * beams], NEVER)
        return carry._replace(scores=tf.where(first, 0.0, NEVER), best=best)

    def next_beams(self, carry: _Carry) -> _Carry:
        """One token more in every beam.

        As at most `ends` continuations of a beam have ended, K of the (1 + ends) K likeliest of a text's K beams go on.
        Those that end leave the beams for `best` (as in Wu et al. 2016, section 7), where they cannot change any more.
        """
        beams, size = self.options.beams, carry.logits.shape[-1]
        position, made = carry.position + 1, carry.position + 1 - carry.length
        given = tf.one_hot(tf.gather(carry.ids, position, axis=1), size, 0.0, NEVER)
        scores = tf.where((made < 0)[:, None], given, self._processed(carry, made))
        every = tf.reshape(carry.scores[:, None] + scores, [-1, beams * size])
        wide = beams * min(1 + self.ends, size)
        likeliest, index = tf.math.top_k(every, wide)
        token = tf.reshape(index % size, [-1])
        parent = tf.reshape(tf.range(tf.shape(every)[0])[:, None] * beams + index // size, [-1])
        ids = set_column(tf.gather(carry.ids, parent), position, token)
        made, closed = tf.gather(made, parent), tf.gather(carry.closed, parent)
        ended, count = self._ended(ids, position, token, made)
        ended &= made >= 0
        value = tf.reshape(likeliest, [-1])
        total = value / self._penalty(made + 1)
        if self.options.coverage_penalty:
            total += tf.gather(self._uncovered(carry.state), parent)
        normalised = tf.where(ended & ~closed & (value > NEVER / 2), total, NEVER)
        best = best_of((ids, count, normalised), carry.best, wide, beams)
        going = tf.reshape(tf.where(ended, NEVER, value), [-1, wide])
        kept_scores, kept = tf.math.top_k(going, beams)
        kept = tf.reshape(tf.range(tf.shape(going)[0])[:, None] * wide + kept, [-1])
        hidden, state = self.decoder.advance(
            tf.gather(token, kept), self.decoder.reorder(carry.state, tf.gather(parent, kept))
        )
        return carry._replace(
            position=position,
            ids=tf.gather(ids, kept),
            closed=carry.closed
            | tf.repeat(self._closed(best[2], kept_scores, position + 1 - carry.length[::beams]), beams),
            scores=tf.reshape(kept_scores, [-1]),
            logits=self.decoder.logits(hidden),
            state=state,
            best=best,
        )

    def _closed(self, best: tf.Tensor, going: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
        """Texts <bool>[B] whose beams cannot become better than those that have ended. made <int32>[B], new tokens."""
        worst = tf.reduce_min(tf.reshape(best, [-1, self.options.beams]), axis=1)
        enough = worst > NEVER / 2
        if not self.options.early_stopping:
            # Scores only fall, the penalty divides them by most at full length, and what is not covered only takes
            # from them: no beam can come out above this.
            enough &= tf.reduce_max(going, axis=1) / self._penalty(self.options.max_tokens) <= worst
        return enough | (made >= self.options.max_tokens)

    def _penalty(self, tokens) -> tf.Tensor:
        """Wu et al. 2016, equation 14: lp."""
        return ((5.0 + tf.cast(tokens, tf.float32)) / 6.0) ** self.options.length_penalty

    def _uncovered(self, state: Any) -> tf.Tensor:
        """cp of the same equation <float32>[N], at most 0."""
        seen = tf.clip_by_value(self.decoder.coverage(state), UNSEEN, 1.0)
        return self.options.coverage_penalty * tf.reduce_sum(tf.math.log(seen), axis=1)

    def _processed(self, carry: _Carry, made: tf.Tensor) -> tf.Tensor:
        return processed(carry.logits, carry.ids, carry.position, made, self.options, self.end, self.banned)

    def _ended(self, ids, position, token, made) -> tuple[tf.Tensor, tf.Tensor]:
        """Whether a text ends with its newest token <bool>[N], and its new tokens without what ends it <int32>[N]."""
        stop = ends_with(ids, position, made + 1, self.stops)
        at_end = token == self.end
        count = made + 1 - tf.maximum(stop, tf.cast(at_end, tf.int32))
        return at_end | (stop > 0) | (made + 1 >= self.options.max_tokens), count

    def ended(self, carry: _Carry, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """New tokens <int32>[N, max_tokens], how many <int32>[N], and scores <float32>[N]."""
        ids, counts, scores = carry.best if self.options.method == "beam" else (carry.ids, carry.counts, carry.scores)
        places = tf.range(self.options.max_tokens)[None, :]
        new = tf.gather(ids, length[:, None] + places, batch_dims=1)
        return tf.where(places < counts[:, None], new, self.pad), counts, scores
