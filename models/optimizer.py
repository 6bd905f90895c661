"""Optimizers and learning-rate schedules: a frozen spec, built into a Keras optimizer."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import keras

NOT_DECAYED = {"bias", "gamma", "beta", "scale"}  # names of biases and normalisation weights in Keras


class Optimizer(BaseModel):
    """How weights are updated, and how far.

    adamw decays weights apart from the gradient (Loshchilov and Hutter 2019), adafactor keeps one row and one
    column of moments a matrix (Shazeer and Stern 2018), inverse_sqrt is equation 3 of Vaswani et al. 2017.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["adam", "adamw", "sgd", "adafactor", "rmsprop", "adagrad"] = Field("adamw", description="the rule")
    learning_rate: float = Field(1e-3, gt=0, description="the highest rate, reached after the warm-up")
    weight_decay: float = Field(0.01, ge=0, description="of adamw, but for biases, norms and tables updated by rows")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd and rmsprop; beta_1 of adam and adamw")
    schedule: Literal["constant", "linear", "cosine", "inverse_sqrt"] = Field(
        "constant", description="after the warm-up: linear and cosine fall to 0 at the last step"
    )
    warmup: float = Field(0, ge=0, description="steps over which the rate rises from 0; below 1, a share of all steps")
    clip_norm: float | None = Field(1.0, gt=0, description="most that the norm of all gradients together may be")

    def build(
        self,
        weights: list["keras.Variable"],
        steps: int,
        loss_scaling: bool = False,
        rates: Sequence[float] | None = None,
    ) -> "keras.Optimizer":
        """A Keras optimizer of these weights for a run of `steps` steps, made in the scope of the run's strategy.

        It takes gradients that are already summed over replicas: Keras would sum them itself after
        clipping each replica's part, which clips another gradient than one device would.
        loss_scaling: for mixed_float16, whose small gradients would vanish otherwise.
        rates: the share of the learning rate that each of the weights has, weight decay included; all of it if None.
        """
        import keras

        from models.rows import is_row_sparse, row_wise

        kinds: dict[str, tuple[Any, dict[str, Any]]] = {
            "adam": (keras.optimizers.Adam, {"beta_1": self.momentum}),
            "adamw": (keras.optimizers.AdamW, {"beta_1": self.momentum, "weight_decay": self.weight_decay}),
            "sgd": (keras.optimizers.SGD, {"momentum": self.momentum}),
            "rmsprop": (keras.optimizers.RMSprop, {"momentum": self.momentum}),
            "adagrad": (keras.optimizers.Adagrad, {}),
            "adafactor": (keras.optimizers.Adafactor, {"relative_step": False}),
        }
        kind, options = kinds[self.name]
        kind = row_wise(kind, weights)
        if rates is not None and set(rates) != {1.0}:
            kind = _with_rates(kind, rates)
        optimizer = kind(self._rate(steps), global_clipnorm=self.clip_norm, **options)
        optimizer._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars
        not_decayed = [w for w in weights if w.name in NOT_DECAYED or len(w.shape) < 2 or is_row_sparse(w)]
        optimizer.exclude_from_weight_decay(not_decayed)
        if loss_scaling:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(weights)
        return optimizer

    def _rate(self, steps: int):
        if self.schedule == "constant" and not self.warmup:
            return self.learning_rate  # a plain variable, which callbacks such as ReduceLROnPlateau can set
        warmup = math.ceil(self.warmup * steps) if self.warmup < 1 else int(self.warmup)
        return schedule(self.schedule, self.learning_rate, warmup, steps)


def _with_rates(kind: type["keras.Optimizer"], rates: Sequence[float]) -> type["keras.Optimizer"]:
    """The optimizer with a rate of its own for each weight, in the order it is built with, which Keras lacks."""

    from keras import ops

    class WithRates(kind):  # type: ignore[misc, valid-type]
        def update_step(self, gradient, variable, learning_rate):
            rate = learning_rate * rates[self._get_variable_index(variable)]
            if self.weight_decay and self._use_weight_decay(variable):
                self.assign_sub(variable, variable * ops.cast(self.weight_decay * rate, variable.dtype))
            super().update_step(gradient, variable, rate)

        def _apply_weight_decay(self, variables):
            """In `update_step` instead, where the weight's rate is known."""

    return WithRates


def schedule(kind: str, peak: float, warmup: int, steps: int) -> "keras.optimizers.schedules.LearningRateSchedule":
    """Learning rate by step: rises by `peak` / `warmup` a step, then goes as `Optimizer.schedule` says."""
    import keras
    from keras import ops

    def after(step):
        done = ops.clip((step - warmup) / max(steps - warmup, 1), 0.0, 1.0)
        return {
            "constant": lambda: ops.ones_like(step),
            "linear": lambda: 1.0 - done,
            "cosine": lambda: 0.5 * (1.0 + ops.cos(math.pi * done)),
            "inverse_sqrt": lambda: ops.sqrt(max(warmup, 1) / ops.maximum(step + 1.0, max(warmup, 1))),
        }[kind]()

    class Schedule(keras.optimizers.schedules.LearningRateSchedule):
        start = 0  # step that it begins at: an optimizer that goes on has counted others before

        def __call__(self, step):
            step = ops.cast(step - self.start, "float32")
            return peak * ops.minimum((step + 1.0) / max(warmup, 1), after(step))

        def get_config(self):
            return {"kind": kind, "peak": peak, "warmup": warmup, "steps": steps}

    return Schedule()
