"""Which weights a training run changes, when, and how fast: a frozen spec, Keras-free."""

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from data.errors import ConfigError

if TYPE_CHECKING:
    import keras


class FineTuning(BaseModel):
    """How the layers of an encoder are trained, counted from the input up; the word vectors are the first.

    What mixes the layers (elmo), pooling and the task's head are above the highest one, and always train.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    frozen: NonNegativeInt | Literal["all"] = Field(0, description="so many of the lowest layers stay as they are")
    unfreeze_every: PositiveInt | None = Field(
        None,
        description="gradual unfreezing (Howard and Ruder 2018): the head trains alone, then every so many epochs the "
        "next lower layer joins in",
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="learning rate of a layer, as a share of that of the next one above it"
    )

    def trained(self, model: "keras.Model", epoch: int | None = None) -> list["keras.Variable"]:
        """The weights that train in an epoch, from 0; by default all that ever do, in the model's order.

        Raises ConfigError when there are fewer layers than are to stay frozen, or nothing is left to train.
        """
        levels, layers = self._levels(model)
        lowest = layers if self.frozen == "all" else self.frozen
        if lowest > layers:
            raise ConfigError(
                f"trainer.fine_tuning.frozen: got {lowest}, wanted at most {layers}, the layers of this family"
            )
        if self.unfreeze_every and epoch is not None:
            lowest = max(lowest, layers - epoch // self.unfreeze_every)
        weights = [w for w, level in zip(model.trainable_variables, levels, strict=True) if level >= lowest]
        if not weights:
            raise ConfigError("trainer.fine_tuning: got all layers frozen, wanted some to train: nothing is above them")
        return weights

    def rates(self, model: "keras.Model") -> list[float]:
        """The share of the learning rate that each of `trained(model)` has."""
        levels, layers = self._levels(model)
        share = {
            id(w): self.layer_decay ** (layers - n) for w, n in zip(model.trainable_variables, levels, strict=True)
        }
        return [share[id(w)] for w in self.trained(model)]

    def _levels(self, model) -> tuple[list[int], int]:
        """Each trainable variable's layer, from 0, and how many there are: the layer of what is above them all."""
        if self == FineTuning():
            return [0] * len(model.trainable_variables), 0
        ladder = model.encoder.ladder
        if not ladder:
            raise ConfigError("trainer.fine_tuning: got it with a family without layers; wanted none, it has no effect")
        level = {id(w): n for n, layers in enumerate(ladder) for layer in layers for w in layer.weights}
        return [level.get(id(w), len(ladder)) for w in model.trainable_variables], len(ladder)
