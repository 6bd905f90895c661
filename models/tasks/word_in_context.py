"""Word in context: whether a word means the same in two texts (Pilehvar and Camacho-Collados 2019)."""

import re
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from data.schema import IDS, IDS_PAIR, LABEL, MARKS, MARKS_PAIR, TEXT, TEXT_PAIR, WEIGHT
from models.tasks.labelled import OneLabel

PLACE, PLACE_PAIR = "place", "place_pair"
PLACES = re.compile(r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*")


class WordInContext(OneLabel):
    """One label of the word's two vectors u and v, each the mean of its tokens' in its text: their cosine, |u - v| and
    u * v. A place, `start:end` in code points, says where the word is; an empty one, or one that is none, means all of
    the text.
    """

    features: Literal["all", "cosine"] = Field(
        "all", description="what the answer is made of; the cosine alone learns a threshold and little else"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="on the word's vectors")

    needs: ClassVar[frozenset[str]] = frozenset({"sequence"})
    required: ClassVar[tuple[str, ...]] = (TEXT, TEXT_PAIR, PLACE, PLACE_PAIR, LABEL)
    optional: ClassVar[tuple[str, ...]] = (WEIGHT,)
    kinds: ClassVar = {PLACE: "any", PLACE_PAIR: "any"}
    inputs: ClassVar[tuple[str, ...]] = (TEXT, TEXT_PAIR, PLACE, PLACE_PAIR)
    aligned: ClassVar[tuple[str, ...]] = (TEXT, TEXT_PAIR)

    @classmethod
    def complete(cls, columns):
        """The fields as they are; in examples, where it can be mended, a place that is none is an error of its row."""
        import pyarrow as pa

        rejects = []
        for text, place in ((TEXT, PLACE), (TEXT_PAIR, PLACE_PAIR)):
            rows = zip(columns[text].to_pylist(), columns[place].to_pylist(), strict=True)
            wrong = [bool(span.strip()) and word_at(words or "", span) is None for words, span in rows]
            rejects.append((pa.array(wrong, pa.bool_()), f"{place}: no start:end inside of the text"))
        return columns, rejects

    def encode(self, examples, labels, places):
        """class <int32>; marks and marks_pair <int32>, 1 for the word's tokens; of no place for all."""
        made = super().encode(examples, labels, places)
        for text, place, marks in ((TEXT, PLACE, MARKS), (TEXT_PAIR, PLACE_PAIR, MARKS_PAIR)):
            splits, starts, ends = places[text]
            values = np.zeros(len(starts), np.int32)
            rows = zip(
                examples.column(text).to_pylist(), examples.column(place).to_pylist(), splits, splits[1:], strict=False
            )
            for words, span, low, high in rows:
                here = word_at(words, span)
                if here is not None:
                    values[low:high] = (starts[low:high] < here[1]) & (ends[low:high] > here[0])
                if not values[low:high].any():
                    values[low:high] = 1
            made[marks] = values, splits
        return made

    def unpack(self, encoded, packed, batch):
        """The word's vector in each text, u and v <float>[B, width]."""
        import tensorflow as tf

        return tuple(
            self._word(encoded.sequence, packed, segment, batch.get(marks, tf.ones_like(batch[ids])), batch[ids])
            for segment, marks, ids in ((0, MARKS, IDS), (1, MARKS_PAIR, IDS_PAIR))
        )

    @staticmethod
    def _word(sequence, packed, segment, marks, ids):
        """The mean of the marked tokens' vectors; of all of them where packing cut those, of none zeros."""
        import tensorflow as tf

        from models.packing import tokens_of

        vectors, keep = tokens_of(sequence, packed, segment, ids.shape[1] or tf.shape(ids)[1])
        marked = keep & (marks > 0)
        marked = tf.where(tf.reduce_any(marked, axis=1, keepdims=True), marked, keep)
        share = tf.cast(marked, vectors.dtype)[:, :, None]
        return tf.math.divide_no_nan(tf.reduce_sum(vectors * share, axis=1), tf.reduce_sum(share, axis=1))

    def head(self, family, n_outputs, labels):
        from models.word_pair_head import WordPairHead

        return WordPairHead(n_outputs, self.features == "cosine", self.dropout)

    def loss(self, logits, batch):
        return super().loss(logits["logits"], batch)

    def outcome(self, logits, batch):
        return logits["logits"]

    def answer(self, logits, labels):
        """label <string>[N], scores <float32>[N, C], and the cosine <float32>[N] of the word's two vectors."""
        return {**super().answer(logits["logits"], labels), "cosine": logits["cosine"]}

    def signatures(self, served):
        """`serving_default` and `classify`: text, text_pair, place, place_pair to an answer."""
        import tensorflow as tf

        def ask(text, text_pair, span, span_pair):
            columns = []
            for texts, spans in ((text, span), (text_pair, span_pair)):
                columns.append((*served.tokenizer.graph_with_offsets(texts), _places(spans)))
            batch = served.batch([text, text_pair], [ids for ids, *_ in columns])
            for (_, starts, ends, (first, last)), marks, ids in zip(
                columns, (MARKS, MARKS_PAIR), (IDS, IDS_PAIR), strict=True
            ):
                starts, ends = (each[:, : served.max_tokens].to_tensor(-1) for each in (starts, ends))
                here = tf.cast((starts < last[:, None]) & (ends > first[:, None]), tf.int32)
                shape = tf.shape(batch[ids])  # at least one row and one token
                batch[marks] = tf.pad(here, [[0, shape[0] - tf.shape(here)[0]], [0, shape[1] - tf.shape(here)[1]]])
            return served.rows(served.model(batch, training=False), text)

        return {
            "serving_default": served.function(lambda *texts: self.answer(ask(*texts), served.labels), served.inputs),
            "classify": served.from_examples(self.classify, ask),
        }


def word_at(text: str, span: str) -> tuple[int, int] | None:
    """(start, end) of a span inside of a text, None where it is none."""
    found = PLACES.fullmatch(span)
    if not found:
        return None
    start, end = int(found[1]), int(found[2])
    return (start, end) if start < end <= len(text) else None


def _places(spans):
    """start and end <int32>[N] of spans <string>[N]; an end of 0, before every token, for what is none."""
    import tensorflow as tf

    pattern = r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*"
    is_span = tf.strings.regex_full_match(spans, pattern)
    kept = tf.where(is_span, spans, "0:0")
    start, end = (
        tf.strings.to_number(tf.strings.regex_replace(kept, f"^{pattern}$", rf"\{n}"), tf.int32) for n in (1, 2)
    )
    return start, tf.where(start < end, end, 0)
