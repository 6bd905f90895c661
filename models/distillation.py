"""Distillation (Hinton et al. 2015; Sanh et al. 2019): a model learns from what another one answers, beside the labels.

The spec is Keras-free; only what builds or computes imports Keras and TensorFlow.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from data.errors import ConfigError
from data.schema import TEACHER

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from models.families.base import Family
    from models.tasks.base import Task

LEAST = 1e-30  # a probability below has this logarithm: the exported model's float32 may have rounded it to 0


class Distillation(BaseModel):
    """What a trained model of any family teaches another one on the same task.

    The loss of a row is soft * T^2 * KL(teacher, student), both at temperature T, plus hard * the task's own loss, plus
    cosine * (1 - cosine of the two models' last vectors of a token), a mean over the tokens of a batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    teacher: str = Field(
        "", description="a model artifact, a served model, a SavedModel or a pipeline's home, as `predict` takes it"
    )
    temperature: float = Field(2.0, gt=0, description="what both models' logits are divided by in the soft part")
    soft: float = Field(0.7, ge=0, description="weight of the teacher's answers")
    hard: float = Field(0.3, ge=0, description="weight of the labels")
    cosine: float = Field(
        0.0, ge=0, description="weight of the vectors' direction: a teacher of the same width and tokenizer"
    )
    copy_layers: bool = Field(
        False, description="begin with the teacher's word vectors and evenly chosen layers: bert, roberta, distilbert"
    )

    @property
    def inside(self) -> bool:
        """Whether it looks into the teacher, not only at its answers."""
        return self.copy_layers or self.cosine > 0


class Lesson:
    """A task with the teacher's part in its loss: what the training loop asks of a task.

    Without `teacher` in the batch, as on the valid split, the loss is the task's.
    """

    def __init__(self, task: "Task", spec: Distillation):
        self.task, self.spec = task, spec

    def loss(self, outputs: "tf.Tensor", batch: Mapping[str, "tf.Tensor"]) -> "tf.Tensor":
        """Loss <float32>[B]. outputs: as the model gives them. teacher <float32>[B, C]: the teacher's logits."""
        logits, hard = self._logits(outputs), self.task.loss(self._logits(outputs), batch)
        if TEACHER not in batch:
            return hard
        soft = softened(logits, batch[TEACHER], self.spec.temperature)
        loss = self.spec.soft * soft + self.spec.hard * hard
        return loss + self.spec.cosine * outputs[:, -1] if self.spec.cosine else loss

    def outcome(self, outputs: "tf.Tensor", batch: Mapping[str, "tf.Tensor"]) -> Any:
        return self.task.outcome(self._logits(outputs), batch)

    def metrics(self, outcome: Any, batch: Mapping[str, "np.ndarray"]) -> dict[str, float]:
        return self.task.metrics(outcome, batch)

    def _logits(self, outputs):
        return outputs[:, :-1] if self.spec.cosine else outputs


def softened(ours: "tf.Tensor", theirs: "tf.Tensor", temperature: float) -> "tf.Tensor":
    """T^2 * KL(theirs, ours) <float32>[N] of logits <float32>[N, C] at a temperature T (Hinton et al. 2015)."""
    import tensorflow as tf

    ours, theirs = (tf.nn.log_softmax(each / temperature) for each in (ours, theirs))
    return temperature**2 * tf.reduce_sum(tf.exp(theirs) * (theirs - ours), axis=1)


def apart(ours: "tf.Tensor", theirs: "tf.Tensor") -> "tf.Tensor":
    """1 - cosine <float32>[B, T] of vectors <float>[B, T, width]."""
    import tensorflow as tf

    ours, theirs = (tf.math.l2_normalize(tf.cast(each, tf.float32), axis=-1) for each in (ours, theirs))
    return 1.0 - tf.reduce_sum(ours * theirs, axis=-1)


def as_logits(scores: "np.ndarray") -> "np.ndarray":
    """Logits <float32>[N, C] of probabilities <float32>[N, C]; a softmax of them gives the probabilities."""
    import numpy as np

    return np.log(np.maximum(scores, LEAST)).astype(np.float32)


def build_pupil(
    build: Callable[[], Any],
    family: "Family",
    build_teacher: Callable[[], Any],
    teacher: "Family",
    weights: Sequence["np.ndarray"],
    spec: Distillation,
) -> "keras.Model":
    """The model that `build` makes, begun with the teacher's layers; with `cosine`, inside one that compares them.

    weights: of the model that build_teacher makes, in its order. Raises ConfigError when the two cannot be compared.
    """
    student, model = build(), build_teacher()
    got, wanted = [each.shape for each in weights], [tuple(each.shape) for each in model.weights]
    if got != wanted:
        raise ConfigError(
            f"trainer.distill.teacher: its weights.npz has {len(got)} arrays that are not the {len(wanted)} of its "
            "family; wanted a model that this version trained; train it again"
        )
    for variable, array in zip(model.weights, weights, strict=True):
        variable.assign(array)
    if spec.copy_layers:
        from models.families.kin import copy_layers

        copy_layers(student.encoder, family, model.encoder, teacher)
    return _pupil(student, model.encoder) if spec.cosine else student


def student_of(model: "keras.Model") -> Any:
    """The model to export of what was trained."""
    return getattr(model, "student", model)


def _pupil(student, teacher) -> "keras.Model":
    import keras
    import tensorflow as tf

    class Pupil(keras.Model):
        """Gives the student's logits, and behind them how far its vectors are from the teacher's <float32>[B, C + 1].

        That is the sum of 1 - cosine over a row's tokens, divided by the mean number of tokens a row: so its mean
        over rows is one over tokens.
        """

        def __init__(self):
            super().__init__()
            self.student = student
            # In a closure, since what Keras tracks goes into every checkpoint.
            self.taught = lambda packed: teacher(packed, training=False).sequence

        encoder = property(lambda self: self.student.encoder)
        pack = property(lambda self: self.student.pack)

        def build(self, _):
            """Nothing to do: the student is built."""

        def call(self, batch, training=False):
            packed, encoded = self.student.encode(batch, training=training)
            real = tf.cast(encoded.mask, tf.float32)
            away = tf.reduce_sum(apart(encoded.sequence, self.taught(packed)) * real, axis=1)
            tokens = tf.reduce_mean(tf.reduce_sum(real, axis=1))
            return tf.concat([self.student.answer(encoded, packed, batch), (away / tokens)[:, None]], axis=1)

    model = Pupil()
    model.built = True
    return model
