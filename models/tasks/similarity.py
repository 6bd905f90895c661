"""Similarity: how alike two texts are, as a number; and the vectors of texts that a search compares."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from data.schema import NEGATIVE, SCORE, TEXT, TEXT_PAIR, WEIGHT
from models.options import unread
from models.tasks.base import Task

OF_OBJECTIVE = {  # options that only some objectives read; setting one for another objective is an error
    "temperature": ("ranking", "contrastive"),
    "margin": ("triplet",),
    "low": ("regression",),
    "high": ("regression",),
}
OTHERS = -1e9  # a logit that no softmax chooses


class Similarity(Task):
    """The cosine of two texts that are encoded apart (`bi`), or a score of both read together (`cross`).

    A bi-encoder's vectors (signature `vector`) can be kept and searched; a cross-encoder sees every pair itself.
    """

    encoder: Literal["bi", "cross"] = Field(
        "bi", description="bi: each text has a vector of its own (Reimers and Gurevych 2019); cross: read as one"
    )
    objective: Literal["regression", "ranking", "contrastive", "triplet"] = Field(
        "regression",
        description="regression: towards `score`. ranking: the text's own pair before those of the batch's other rows, "
        "and before `negative` where there is one (multiple negatives ranking, Henderson et al. 2017); contrastive: "
        "the same from both sides (InfoNCE, van den Oord et al. 2018). triplet: nearer to its pair than to "
        "`negative` by a margin (Schroff et al. 2015). Only regression is for cross",
    )
    temperature: float = Field(0.05, gt=0, description="of ranking and contrastive: cosines are divided by it")
    margin: float = Field(0.2, gt=0, description="of triplet: how much nearer, in cosine")
    low: float | None = Field(
        None, description="of regression: score of what has nothing in common; the lowest of train if silent"
    )
    high: float | None = Field(
        None, description="of regression: score of what means the same; the highest of train if silent"
    )

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    required: ClassVar[tuple[str, ...]] = (TEXT, TEXT_PAIR)
    optional: ClassVar[tuple[str, ...]] = (SCORE, NEGATIVE, WEIGHT)
    inputs: ClassVar[tuple[str, ...]] = (TEXT, TEXT_PAIR)
    takes_logits: ClassVar[bool] = False

    @model_validator(mode="after")
    def _together(self) -> "Similarity":
        if self.encoder == "cross" and self.objective != "regression":
            raise ValueError(f"got objective = '{self.objective}' with encoder = 'cross', wanted 'regression'")
        if wrong := unread(self, "objective", OF_OBJECTIVE):
            raise ValueError("; ".join(wrong))
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"got low = {self.low} and high = {self.high}, wanted low below high")
        return self

    @property
    def apart(self) -> bool:  # type: ignore[override]
        return self.encoder == "bi"

    def check(self, fields):
        if self.objective == "regression" and SCORE not in fields:
            return [
                "example_gen.fields: no 'score', which trainer.head.objective = 'regression' learns; name its column"
            ]
        if self.objective == "triplet" and NEGATIVE not in fields:
            return [
                "example_gen.fields: no 'negative', which trainer.head.objective = 'triplet' wants; name its column"
            ]
        return []

    def settled(self, scores):
        """With the range of the training split's scores, where the config gives none."""
        if scores is None or self.objective != "regression":
            return self
        low = float(scores.min()) if self.low is None else self.low
        high = float(scores.max()) if self.high is None else self.high
        return self.model_copy(update={"low": low, "high": high if high > low else low + 1.0})

    @property
    def range(self) -> tuple[float, float]:
        return (0.0 if self.low is None else self.low), (1.0 if self.high is None else self.high)

    def encode(self, examples, labels: Sequence[str], places):
        """score <float>, where the examples have one."""
        import pyarrow as pa

        return {SCORE: examples.column(SCORE).cast(pa.float32())} if SCORE in examples.schema.names else {}

    def n_outputs(self, labels: Sequence[str]) -> int:
        return 1

    def head(self, family, n_outputs: int, labels: Sequence[str]):
        import keras

        from models.similarity_head import Cosine, Together

        if self.apart:
            return Cosine()
        return Together(None if family.linear else keras.layers.Dense(n_outputs, dtype="float32", name="score"))

    def loss(self, logits, batch):
        """<float32>[B]: squared error of the cosine, or cross-entropy of a cross-encoder's score, towards the score in
        its range; or what the loss by its name says of a row among the batch's others of weight above 0."""
        import tensorflow as tf

        if self.objective == "regression":
            low, high = self.range
            wanted = (tf.cast(batch[SCORE], tf.float32) - low) / (high - low)
            if self.apart:
                return tf.square(logits["score"] - wanted)
            return tf.nn.sigmoid_cross_entropy_with_logits(tf.clip_by_value(wanted, 0.0, 1.0), logits["score"])
        if self.objective == "triplet":
            far = tf.reduce_sum(logits["text"] * logits["negative"], axis=1)
            return tf.nn.relu(far - logits["score"] + self.margin)
        own = tf.range(tf.shape(logits["score"])[0])
        towards = tf.nn.sparse_softmax_cross_entropy_with_logits(own, self._candidates(logits, batch))
        if self.objective == "ranking":
            return towards
        swapped = {"text": logits["pair"], "pair": logits["text"]}
        back = tf.nn.sparse_softmax_cross_entropy_with_logits(own, self._candidates(swapped, batch))
        return (towards + back) / 2.0

    def _candidates(self, logits, batch):
        """What each text may choose from <float32>[B, candidates]: all pairs, its own in its own place, and negatives.

        Rows of weight 0 only fill the batch: they are no negatives of others.
        """
        import tensorflow as tf

        rows = tf.shape(logits["text"])[0]
        real = tf.broadcast_to((batch[WEIGHT] > 0)[None, :], [rows, rows])
        found = []
        for name in ("pair", "negative"):
            if name in logits:
                scores = tf.matmul(logits["text"], logits[name], transpose_b=True) / self.temperature
                found.append(tf.where(real | tf.eye(rows, dtype=tf.bool), scores, OTHERS))
        return tf.concat(found, axis=1)

    def outcome(self, logits, batch):
        """score <float32>[B]; of losses without a score also rank <float32>[B], one over the place of a text's own
        pair among the candidates of its batch (of a triplet: 1 or 1/2)."""
        import tensorflow as tf

        if self.objective == "regression":
            return {"score": logits["score"]}
        if self.objective == "triplet":
            far = tf.reduce_sum(logits["text"] * logits["negative"], axis=1)
            return {"score": logits["score"], "rank": tf.where(far < logits["score"], 1.0, 0.5)}
        candidates = self._candidates(logits, batch)
        better = candidates > tf.linalg.diag_part(candidates[:, : tf.shape(candidates)[0]])[:, None]
        return {"score": logits["score"], "rank": 1.0 / (1.0 + tf.reduce_sum(tf.cast(better, tf.float32), axis=1))}

    def answer(self, logits, labels: Sequence[str]):
        """score <float32>[N]: in the range of the scores that were learned, or, where none were, the cosine."""
        import tensorflow as tf

        if self.objective != "regression":
            return {"score": logits["score"]}
        low, high = self.range
        share = logits["score"] if self.apart else tf.sigmoid(logits["score"])
        return {"score": low + (high - low) * share}

    def signatures(self, served):
        """Beside the score, of a bi-encoder, `vector`: text <string>[N] to vector <float32>[N, width], of length 1 (0
        for a text without anything known): their products are the cosines."""
        own = super().signatures(served)
        return (
            {**own, "vector": served.function(lambda text: self._vector(served, text), [TEXT])} if self.apart else own
        )

    def _vector(self, served, text):
        from models.similarity_head import unit

        model = served.model
        packed = model.pack(served.batch([text], [served.tokenizer.graph(text)]))
        return {"vector": served.rows(unit(model.encoder(packed, training=False).pooled), text)}

    def metrics(self, outcome, batch):
        """spearman and pearson of the scores, where the split has some; without them mrr, the mean of `rank`."""
        from models.correlation import pearson, spearman

        found = {}
        if SCORE in batch:
            arguments = outcome["score"], batch[SCORE], batch[WEIGHT]
            found = {"spearman": spearman(*arguments), "pearson": pearson(*arguments)}
        if "rank" in outcome:
            found["mrr"] = float(np.average(outcome["rank"], weights=batch[WEIGHT]))
        return {name: value if np.isfinite(value) else 0.0 for name, value in found.items()}
