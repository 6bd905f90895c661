"""What a training run may set: a frozen spec, Keras-free, so that a config is checked without TensorFlow."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from models.optimizer import Optimizer

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]


class EarlyStopping(BaseModel):
    """Stops when `metric` of the valid split has not improved for `patience` epochs; the best weights are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str = "loss"
    patience: PositiveInt = 3
    mode: Literal["min", "max"] | None = None  # None: min for loss, perplexity and bits_per_byte, else max


class Training(BaseModel):
    """How a model is trained.

    batch_tokens: padded tokens of a global batch, over all replicas.
    max_tokens: longer rows are cut.
    buckets: at most so many lengths that rows are padded to; under XLA each costs a compilation.
    steps_per_call: training steps between two returns to Python; more than 1 pays on fast devices.
    deterministic: uses only operations that give the same bits every time, on GPUs at some cost.
    checkpoint_seconds: a checkpoint is written this often, after each epoch, and on SIGTERM.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: PositiveInt = 5
    batch_tokens: PositiveInt = 8192
    max_tokens: PositiveInt = 128
    buckets: Annotated[int, Field(ge=1, le=64)] = 12
    optimizer: Optimizer = Optimizer()
    early_stopping: EarlyStopping | None = None
    precision: Precision = "float32"
    seed: int = 0
    deterministic: bool = False
    steps_per_call: PositiveInt = 1
    jit_compile: bool = False
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 300
