"""Tagging: a label for each word of a text (named entities, parts of speech)."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from data import tags as schemes
from data.errors import DataError
from data.schema import IDS, LABEL, TAGS, TEXT, WEIGHT
from models.tasks.base import Task

TOKENS, WORD_TAGS = "tokens", "tags"
PREFIXED = ("B", "I", "E", "S", "L", "U")
SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"  # scripts without spaces
LETTER = rf"[^\P{{L}}{SPACELESS}]|[\p{{M}}\p{{N}}\p{{Cf}}]"  # or what is in words beside letters


class Tagging(Task):
    """A tag for each token of the tokenizer; a word has that of its first, and spans of words' BIO tags are entities.

    Tags of IOB1, BIO and BIOES (BILOU) come in, BIO is what is learned and answered; other tags, such as parts of
    speech, stay as they are.
    """

    decoder: Literal["crf", "softmax"] = Field(
        "crf", description="linear-chain CRF over the tags (Lample et al. 2016), or each token by itself"
    )
    constrained: bool = Field(
        True, description="answer only tags that may follow one another: no I-X but after B-X, I-X"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="on the tokens' vectors")

    needs: ClassVar[frozenset[str]] = frozenset({"sequence"})
    required: ClassVar[tuple[str, ...]] = (TOKENS, WORD_TAGS)
    optional: ClassVar[tuple[str, ...]] = (WEIGHT,)
    kinds: ClassVar = {TOKENS: "tokens", WORD_TAGS: "tags"}
    aligned: ClassVar[tuple[str, ...]] = (TEXT,)

    @classmethod
    def complete(cls, columns):
        """The tokens as a text, one space between them, and as its label their tags in BIO."""
        import pyarrow as pa

        columns = dict(columns)
        tokens, tags = columns.pop(TOKENS).to_pylist(), columns.pop(WORD_TAGS).to_pylist()
        texts = [None if row is None else " ".join(word or "" for word in row) for row in tokens]
        columns[LABEL] = pa.array([row and _bio(row) for row in tags], pa.list_(pa.string()))
        different = [len(words or ()) != len(row or ()) for words, row in zip(tokens, tags, strict=True)]
        return {TEXT: pa.array(texts, pa.string()), **columns}, [
            (pa.array(different, pa.bool_()), "tags: not one a token")
        ]

    def encode(self, examples, labels, places):
        """tags <int32>, one a token: the word's at its first token, its inside at the others."""
        index = {label: n for n, label in enumerate(labels)}
        inside = np.array(
            [index.get(f"I-{label[2:]}", n) if _is_bio(label) else n for n, label in enumerate(labels)] + [-1]
        )
        splits, starts, ends = places[TEXT]
        last = np.maximum(ends - 1, starts)  # a token may begin with the space before its word
        tags = np.full(len(starts), -1, np.int32)
        rows = zip(
            examples.column(TEXT).to_pylist(), examples.column(LABEL).to_pylist(), splits, splits[1:], strict=False
        )
        for text, row, start, end in rows:
            word = words_of(text, last[start:end])
            own = np.array([index.get(tag, -1) for tag in row], np.int32)[word]
            first = np.diff(word, prepend=-1) > 0
            tags[start:end] = np.where(first, own, inside[own])
        return {TAGS: (tags, splits)}

    def n_outputs(self, labels):
        """Raises DataError when there is nothing to choose between."""
        if len(labels) < 2:
            raise DataError(
                f"field 'tags': got {len(labels)} tag(s) in the training split ({', '.join(labels) or 'none'}), "
                f"wanted at least 2; check `fields.tags` and the input files"
            )
        return len(labels)

    def unpack(self, encoded, packed, batch):
        """The vectors of the text's tokens <float>[B, L, width], and which there are <bool>[B, L]."""
        from models.packing import tokens_of

        return tokens_of(encoded.sequence, packed, 0, _width(batch[IDS]))

    def head(self, family, n_outputs, labels):
        from models.tag_head import TagHead

        allowed = schemes.allowed(labels) if self.constrained else None
        outside = labels.index(schemes.OUTSIDE) if schemes.OUTSIDE in labels else -1
        return TagHead(n_outputs, self.decoder == "crf", self.dropout, allowed, outside)

    def loss(self, logits, batch):
        """Mean over a row's tokens <float32>[B] of the negative log-likelihood of its tags. A CRF counts no row in
        which a token has none of the labels."""
        import tensorflow as tf

        from models.crf import log_likelihood
        from models.tag_head import chain_of

        scores, length = logits["scores"], logits["length"]
        known, inside = batch[TAGS] >= 0, tf.sequence_mask(length, tf.shape(scores)[1])
        tags, tokens = tf.maximum(batch[TAGS], 0), tf.cast(tf.maximum(length, 1), tf.float32)
        if self.decoder == "crf":
            whole = tf.reduce_all(known | ~inside, axis=1)
            return -log_likelihood(scores, tags, length, chain_of(logits)) / tokens * tf.cast(whole, tf.float32)
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(tags, scores)
        return tf.reduce_sum(tf.where(known & inside, each, 0.0), axis=1) / tokens

    def outcome(self, logits, batch):
        """tags and truth <int32>[B, L], length and outside <int32>[B]."""
        return {name: logits[name] for name in ("tags", "length", "outside")} | {"truth": batch[TAGS]}

    def answer(self, logits, labels):
        """tag <string>[N, T], score <float32>[N, T], its probability, and length <int32>[N]; "" behind it."""
        import tensorflow as tf

        from models.tag_head import marginals

        inside = tf.sequence_mask(logits["length"], tf.shape(logits["tags"])[1])
        score = tf.gather(marginals(logits, self.decoder == "crf"), logits["tags"], batch_dims=2)
        tags = tf.gather(tf.constant(list(labels)), logits["tags"])
        return {
            "tag": tf.where(inside, tags, ""),
            "score": tf.where(inside, score, 0.0),
            "length": logits["length"],
        }

    def signatures(self, served):
        """`serving_default`: the entities of each text; `tags`: the tag of each token; `words`: the tag of each word.
        For tags without spans the first is as the second."""
        default = self._entities if any(map(_is_bio, served.labels)) else self._tags
        asked = {"serving_default": default, "tags": self._tags, "words": self._words}
        return {name: served.function(partial(ask, served), served.inputs) for name, ask in asked.items()}

    def _tags(self, served, text):
        """`answer`, and start and end <int32>[N, T], code points of the text as it was sent (end exclusive), -1 behind
        a row's length."""
        import tensorflow as tf

        ids, starts, ends = served.tokenizer.graph_with_offsets(text)
        logits = served.model(served.batch([text], [ids]), training=False)
        found = self.answer(served.rows(logits, text), served.labels)
        shape = tf.shape(found["tag"])
        inside = tf.sequence_mask(found["length"], shape[1])
        start, end = (tf.where(inside, each[:, : shape[1]].to_tensor(-1, shape=shape), -1) for each in (starts, ends))
        return {**found, "start": start, "end": end}

    def _words(self, served, text):
        """For texts whose words have a space between them, as those of a corpus: tag <string>[N, W] and score
        <float32>[N, W] of the token that begins a word (outside and 0 where there is none, or max_tokens cuts it off),
        and length <int32>[N], how many words a text has."""
        import tensorflow as tf

        asked, text = text, tf.pad(text, [[0, tf.maximum(1 - tf.size(text), 0)]])  # a search in no row is an error
        found = self._tags(served, text)
        words = tf.strings.split(tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace"), " ")
        sizes = tf.strings.length(words.to_tensor(""), unit="UTF8_CHAR")
        begin = tf.cumsum(sizes + 1, axis=1, exclusive=True)
        ends = tf.where(found["end"] >= 0, found["end"], tf.int32.max)
        token = tf.minimum(tf.searchsorted(ends, begin, side="right"), tf.shape(ends)[1] - 1)
        tag, score, start, end = (
            tf.gather(found[name], token, batch_dims=1) for name in ("tag", "score", "start", "end")
        )
        length = tf.cast(words.row_lengths(), tf.int32)
        inside, has = tf.sequence_mask(length, tf.shape(begin)[1]), (begin < end) & (start < begin + sizes)
        answered = {
            "tag": tf.where(inside, tf.where(has, tag, schemes.OUTSIDE), ""),
            "score": tf.where(inside & has, score, 0.0),
            "length": length,
        }
        return served.rows(answered, asked)

    def _entities(self, served, text):
        """type and text <string>[N, E], score <float32>[N, E], the mean of its tokens' (see `_of_words`), start and end
        <int32>[N, E], code points of the text as it was sent (end exclusive), and length <int32>[N], how many entities
        it has."""
        import tensorflow as tf

        from models.span_text import cut

        found = self._tags(served, text)
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        tag, score, inner = _of_words(found, text)
        inside = tag != ""
        entity, kind = inside & (tag != schemes.OUTSIDE), tf.strings.regex_replace(tag, "^[BI]-", "")
        before = tf.pad(kind, [[0, 0], [1, 0]])[:, : tf.shape(kind)[1]]
        follows = tf.pad(entity, [[0, 0], [1, 0]])[:, : tf.shape(kind)[1]] & (kind == before)
        first = entity & ~inner & ~(tf.strings.regex_full_match(tag, "I-.*") & follows)
        of = tf.ragged.boolean_mask(tf.cumsum(tf.cast(first, tf.int32), axis=1) - 1, entity)  # which of its row's
        counts = tf.reduce_sum(tf.cast(first, tf.int32), axis=1)
        offset = tf.gather(tf.cumsum(counts, exclusive=True), of.value_rowids())
        segment, total = of.flat_values + offset, tf.reduce_sum(counts)

        def per_entity(values, reduce):
            return tf.RaggedTensor.from_row_lengths(reduce(tf.boolean_mask(values, entity), segment, total), counts)

        start = per_entity(found["start"], tf.math.unsorted_segment_min)
        end = per_entity(found["end"], tf.math.unsorted_segment_max)
        whole = tf.gather(text, start.value_rowids())
        parts, starts, ends = cut(whole, start.flat_values, end.flat_values)
        return {
            "type": tf.RaggedTensor.from_row_lengths(tf.boolean_mask(kind, first), counts).to_tensor(""),
            "text": start.with_flat_values(parts).to_tensor(""),
            "score": per_entity(score, tf.math.unsorted_segment_mean).to_tensor(0.0),
            "start": start.with_flat_values(starts).to_tensor(-1),
            "end": end.with_flat_values(ends).to_tensor(-1),
            "length": counts,
        }

    def metrics(self, outcome, batch):
        """accuracy of tags, and f1 of tokens that are not outside (accuracy where no tag means that), by token of the
        tokenizer; the evaluator counts words and whole spans. The loss beside them is a token's."""
        inside = np.arange(outcome["tags"].shape[1]) < outcome["length"][:, None]
        inside &= (outcome["truth"] >= 0) & (batch[WEIGHT] > 0)[:, None]
        tags, truth = outcome["tags"][inside], outcome["truth"][inside]
        outside = np.broadcast_to(outcome["outside"][:, None], inside.shape)[inside]
        right, spans = tags == truth, np.sum(tags != outside) + np.sum(truth != outside)
        return {
            "accuracy": float(right.mean()) if right.size else 0.0,
            "f1": float(2 * np.sum(right & (truth != outside)) / max(spans, 1)),
        }


def words_of(text: str, last: np.ndarray) -> np.ndarray:
    """Which word <int64>[tokens] each token belongs to whose last code point is this one; words have a space between,
    which is of the one before it."""
    begins = np.cumsum([0, *(len(word) + 1 for word in text.split(" "))])[:-1]
    return np.searchsorted(begins, last, side="right") - 1


def _of_words(found, text):
    """The tag <string>[N, T] and score <float32>[N, T] of the token that begins each token's word, and which tokens
    begin none <bool>[N, T].

    Words are runs of letters and digits, and what else there is a token each, since texts that are sent may have no
    space before a comma. A token of spaces is of the word before it, as in training, and outside where there is none.
    """
    import tensorflow as tf

    from models.span_text import SPACES

    start, last = found["start"], tf.maximum(found["end"] - 1, found["start"])
    before = tf.pad(last, [[0, 0], [1, 0]], constant_values=-1)[:, :-1]
    characters = tf.strings.unicode_split(text, "UTF-8")

    def matches(pattern, place):
        found = characters.with_flat_values(tf.strings.regex_full_match(characters.flat_values, pattern))
        return tf.gather(tf.pad(found.to_tensor(), [[0, 0], [1, 0]]), place + 1, batch_dims=1)  # -1: no place

    places = tf.zeros_like(start) + tf.range(tf.shape(start)[1])
    blank = matches(SPACES, last)
    inner = blank | (matches(LETTER, before) & matches(LETTER, start) & (start <= before + 1))
    inner &= places > 0
    firsts = tf.ragged.boolean_mask(places, ~inner).to_tensor()
    first = tf.gather(firsts, tf.cumsum(tf.cast(~inner, tf.int32), axis=1) - 1, batch_dims=1)
    tag, score, blank = (tf.gather(each, first, batch_dims=1) for each in (found["tag"], found["score"], blank))
    return tf.where(blank, schemes.OUTSIDE, tag), score, inner


def _bio(row: Sequence[str | None]) -> list[str]:
    """The tags in BIO, where they tell of spans."""
    tags = [tag or "" for tag in row]
    spans = all(tag == schemes.OUTSIDE or (tag[:1] in PREFIXED and tag[1:2] == "-" and tag[2:]) for tag in tags)
    return schemes.to_bio(tags, "bio" if spans else "plain")


def _is_bio(label: str) -> bool:
    return label[:2] in ("B-", "I-")


def _width(ids):
    import tensorflow as tf

    return ids.shape[1] or tf.shape(ids)[1]
