"""Extractive question answering: the span of a context that answers a question, or none."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from data.schema import IDS_PAIR, MARKS_PAIR, TEXT, TEXT_PAIR, WEIGHT
from models.tasks.base import Task

QUESTION, CONTEXT, ANSWERS, STARTS = "question", "context", "answers", "answer_starts"
BEGINS, ENDS = 1, 2  # bits of a token's mark


class QuestionAnswering(Task):
    """Scores of each token of the context as the answer's first and last, and of there being no answer, which is
    learned from windows without it (Devlin et al. 2019, sections 4.2 and 4.3).

    Of several gold answers the first is learned; all count in evaluation.
    """

    max_answer_tokens: int = Field(30, ge=1, description="longest span that is answered")
    no_answer: float | None = Field(
        None,
        description="answer nothing where no answer scores higher than the best span by more than this (nats), as "
        "SQuAD v2 wants; when silent a span is always answered. The evaluator tells which value would have been best",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="on the tokens' vectors")

    needs: ClassVar[frozenset[str]] = frozenset({"sequence"})
    required: ClassVar[tuple[str, ...]] = (QUESTION, CONTEXT, ANSWERS, STARTS)
    optional: ClassVar[tuple[str, ...]] = (WEIGHT,)
    kinds: ClassVar = {ANSWERS: "anys", STARTS: "anys"}
    inputs: ClassVar[tuple[str, ...]] = (QUESTION, CONTEXT)
    columns: ClassVar = {QUESTION: TEXT, CONTEXT: TEXT_PAIR}
    split_by: ClassVar[str] = TEXT_PAIR
    windowed: ClassVar[bool] = True
    aligned: ClassVar[tuple[str, ...]] = (TEXT_PAIR,)

    @classmethod
    def complete(cls, columns):
        """The question as text, the context as its pair; a row whose answer is not where it says is of no use."""
        import pyarrow as pa

        columns = dict(columns)
        question, context = columns.pop(QUESTION), columns.pop(CONTEXT)
        rows = zip(*(each.to_pylist() for each in (context, columns[ANSWERS], columns[STARTS])), strict=True)
        reasons = [_wrong(*row) for row in rows]
        found = dict.fromkeys(reason for reason in reasons if reason)
        rejects = [(pa.array([each == reason for each in reasons], pa.bool_()), reason) for reason in found]
        return {TEXT: question, TEXT_PAIR: context, **columns}, rejects

    def encode(self, examples, labels, places):
        """marks_pair <int32>, one a token of the context: 1 where the answer begins, 2 where it ends, both added."""
        splits, starts, ends = places[TEXT_PAIR]
        marks = np.zeros(len(starts), np.int32)
        rows = zip(
            examples.column(ANSWERS).to_pylist(), examples.column(STARTS).to_pylist(), splits, splits[1:], strict=False
        )
        for answers, begins, low, high in rows:
            if answers:
                begin = int(begins[0])
                inside = np.flatnonzero((ends[low:high] > begin) & (starts[low:high] < begin + len(answers[0])))
                if len(inside):
                    marks[low + inside[0]] += BEGINS
                    marks[low + inside[-1]] += ENDS
        return {MARKS_PAIR: (marks, splits)}

    def n_outputs(self, labels):
        return 2

    def unpack(self, encoded, packed, batch):
        """Vectors <float>[B, L, width] and which there are <bool>[B, L], of the context's tokens and the question's."""
        import tensorflow as tf

        from models.packing import tokens_of

        width = batch[IDS_PAIR].shape[1] or tf.shape(batch[IDS_PAIR])[1]
        context = tokens_of(encoded.sequence, packed, 1, width)
        return *context, encoded.sequence, (packed["segment_ids"] == 0) & packed["mask"]

    def head(self, family, n_outputs, labels):
        from models.span_head import SpanHead

        return SpanHead(self.dropout)

    def loss(self, logits, batch):
        """Half the negative log-likelihood <float32>[B] of the answer's first and last token, or of no answer where a
        window does not hold both."""
        import tensorflow as tf

        from models.span_head import place_of

        first, last = place_of(batch[MARKS_PAIR], BEGINS), place_of(batch[MARKS_PAIR], ENDS)
        here = (first > 0) & (last > 0) & reachable(logits["start"], first) & reachable(logits["end"], last)
        each = [
            tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(here, place, 0), logits[name])
            for name, place in (("start", first), ("end", last))
        ]
        return (each[0] + each[1]) / 2

    def outcome(self, logits, batch):
        """Of each row: start and end, answered and wanted <int32>[B, 4]; 0 for no answer, else the place from 1."""
        import tensorflow as tf

        from models.span_head import best_spans, place_of

        best = best_spans(logits, self.max_answer_tokens)
        none = best.margin < -(self.no_answer or 0.0)
        wanted = [place_of(batch[MARKS_PAIR], bit) for bit in (BEGINS, ENDS)]
        here = (wanted[0] > 0) & (wanted[1] > 0)
        answered = [tf.where(none, 0, each + 1) for each in (best.start, best.end)]
        return tf.stack([*answered, *(tf.where(here, each, 0) for each in wanted)], axis=1)

    def answer(self, logits, labels):
        """score <float32>[N], the probability of the span that is answered, or of no answer; no_answer <float32>[N],
        by how much no answer scores above the best span (nats)."""
        from models.span_head import best_spans

        best = best_spans(logits, self.max_answer_tokens)
        return {"score": self._score(best), "no_answer": -best.margin}

    def _score(self, best):
        import tensorflow as tf

        return tf.exp(tf.where(self._none(best), best.null, best.null + best.margin))

    def _none(self, best):
        import tensorflow as tf

        refused = tf.zeros_like(best.empty) if self.no_answer is None else -best.margin > self.no_answer
        return best.empty | refused

    def signatures(self, served):
        """`serving_default`: question, context to answer <string>[N], start and end <int32>[N], code points of the
        context as it was sent (end exclusive; "" and -1 where nothing is answered), score and no_answer."""

        def ask(question, context):
            return self._ask(served, question, context)

        return {"serving_default": served.function(ask, served.inputs)}

    def _ask(self, served, question, context):
        import tensorflow as tf

        from models.span_head import best_of_each, best_spans
        from models.span_text import cut

        ids, starts, ends = served.tokenizer.graph_with_offsets(context)
        logits, windows = served.of_windows([question, context], [served.tokenizer.graph(question), ids])
        rows = tf.shape(context)[0]
        best, window = best_of_each(best_spans(logits, self.max_answer_tokens), windows.owner, rows)
        none, offset = self._none(best), tf.gather(windows.starts, window)
        place = [tf.where(best.empty, 0, each + offset) for each in (best.start, best.end)]

        def character(offsets, tokens):
            padded = offsets.to_tensor(0, shape=[None, None])
            padded = tf.pad(padded, [[0, 0], [0, 1]])  # an empty context has no token
            return tf.where(none, 0, tf.gather(padded, tokens, batch_dims=1))

        start, end = character(starts, place[0]), character(ends, place[1])
        whole = tf.strings.unicode_transcode(context, "UTF-8", "UTF-8", errors="replace")
        text, *places = cut(whole, start, end)
        start, end = (tf.where(none, -1, each) for each in places)
        return {"answer": text, "start": start, "end": end, "score": self._score(best), "no_answer": -best.margin}

    def metrics(self, outcome, batch):
        """exact_match and f1 of spans of tokens, by window; the evaluator has them of texts, by question."""
        start, end, first, last = np.moveaxis(outcome.astype(np.int64), 1, 0)
        weight = batch[WEIGHT].astype(np.float64)
        right = np.maximum(np.minimum(end, last) - np.maximum(start, first) + 1, 0)
        f1 = 2 * right / (end - start + 1 + last - first + 1)
        exact = (start == first) & (end == last)
        return {"exact_match": float(weight @ exact / weight.sum()), "f1": float(weight @ f1 / weight.sum())}


def reachable(scores, place):
    """Whether packing left the token of a place <bool>[B]; places of scores are from 1."""
    import tensorflow as tf

    from models.span_head import NEVER

    return tf.gather(scores, place, batch_dims=1) > NEVER / 2


def _wrong(context: str | None, answers: list | None, starts: list | None) -> str:
    """Why a row cannot be used, or nothing."""
    if context is None or answers is None or starts is None:
        return ""  # it is rejected already
    if len(answers) != len(starts):
        return "answer_starts: not one an answer"
    if not answers:
        return ""
    if not (starts[0] or "").isdecimal():
        return "answer_starts: not a whole number"
    begin = int(starts[0])
    if not answers[0] or context[begin : begin + len(answers[0])] != answers[0]:
        return "answers: the first is not at its place in the context"
    return ""
