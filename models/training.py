"""What a training run may set: a frozen spec, Keras-free, so that a config is checked without TensorFlow."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator

from data.errors import ConfigError, DataError, did_you_mean
from models.evaluation import JUDGES
from models.fine_tuning import FineTuning
from models.optimizer import Optimizer
from models.options import Precision

if TYPE_CHECKING:
    from data.store import TokenStore

FALLING = {"loss"}.union(*(judge.lower for judge in JUDGES.values()))  # metrics that are better when lower
METRICS = FALLING.union(*(judge.higher for judge in JUDGES.values()))


class EarlyStopping(BaseModel):
    """When to stop before the last epoch; the best epoch's weights are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str = Field("loss", description="of the valid split, measured after each epoch")
    patience: int = Field(3, ge=1, description="epochs without a better value before it stops")
    mode: Literal["min", "max"] | None = Field(
        None, description="what is better; if not given, min for loss and what `at_most` takes, as mae, else max"
    )

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"no task has such a metric{did_you_mean(metric, sorted(METRICS))}")
        return metric

    def best_epoch(self, values: Sequence[float]) -> int:
        """The epoch, from 1, with the best of these values; the first of equals. NaN is never the better one."""
        sign = -1 if (self.mode or ("min" if self.metric in FALLING else "max")) == "min" else 1
        scores = [-math.inf if math.isnan(value) else sign * value for value in values]
        return scores.index(max(scores)) + 1


class Training(BaseModel):
    """How a model is trained.

    batch_tokens: padded tokens of a global batch, over all replicas.
    max_tokens: longer rows are cut.
    buckets: at most so many lengths that rows are padded to; under XLA each costs a compilation.
    fine_tuning: which layers train, when, and how fast.
    accumulate: pieces of a replica's part of a batch whose gradients are added up one after the other: memory of one
      piece, the same step (but for the draw of dropout).
    ema: decay of a running mean of the weights, which then is what is measured, watched and returned; 0: none.
    steps_per_call: training steps between two returns to Python; more than 1 pays on fast devices.
    deterministic: uses only operations that give the same bits every time, on GPUs at some cost.
    frozen_cache_gb: most disk that the vectors of frozen layers may take; where they would take more, they are computed
      in every epoch.
    checkpoint_seconds: a checkpoint is written this often, after each epoch, and on SIGTERM.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: PositiveInt = 5
    batch_tokens: PositiveInt = 8192
    max_tokens: PositiveInt = 128
    buckets: Annotated[int, Field(ge=1, le=64)] = 12
    optimizer: Optimizer = Optimizer()
    fine_tuning: FineTuning = FineTuning()
    accumulate: PositiveInt = 1
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    early_stopping: EarlyStopping | None = None
    precision: Precision = "float32"
    seed: int = 0
    deterministic: bool = False
    steps_per_call: PositiveInt = 1
    jit_compile: bool = False
    frozen_cache_gb: Annotated[float, Field(ge=0)] = 10
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 300

    def check(self, replicas: int, train_store: "TokenStore", valid_store: "TokenStore | None") -> None:
        """Raises DataError where a split has no rows, ConfigError where this cannot be done with these."""
        for name, store in (("train", train_store), ("valid", valid_store)):
            if store is not None and not len(store):
                dropped = f"{sum(store.dropped.values())} rows of unknown label were dropped"
                raise DataError(
                    f"trainer: got no rows in split '{name}' ({dropped}); wanted at least one; check the labels"
                )
        if valid_store is None and self.early_stopping is not None:
            raise ConfigError("trainer.early_stopping: got no valid split to watch; wanted one; set example_gen.splits")
        if self.jit_compile and replicas > 1:
            raise ConfigError(
                "trainer.jit_compile: got true on several devices; wanted one (a TPU compiles in any case)"
            )
