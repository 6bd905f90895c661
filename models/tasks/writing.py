"""What the tasks share that write text: a decoder's own logits, and how text is generated."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from data.errors import ConfigError
from models.generation import Generation
from models.tasks.telling import Telling

if TYPE_CHECKING:
    from models.families.base import Family


class Writing(Telling):
    """Tokens told one after another by a decoder."""

    generation: Generation | None = Field(
        None, description="table of how the exported model writes; see Generation below. Greedy if silent"
    )
    stop: tuple[str, ...] = Field((), description="texts that end what is written, and are cut from it")

    def unpack(self, encoded, packed, batch):
        return encoded.sequence

    @abstractmethod
    def told(self, batch: Mapping[str, Any]) -> tuple:
        """The tokens that a batch's rows tell <int32>[B, U] and where there is one <bool>[B, U]."""

    def asked(self, logits, batch):
        import tensorflow as tf

        return logits, *(each[:, : tf.shape(logits)[1]] for each in self.told(batch))

    def check_places(self, family, max_tokens):
        try:
            self.generation_of(family, max_tokens)
        except ConfigError as error:
            return list(error.problems)
        return []

    def generation_of(self, family: "Family", max_tokens: int) -> Generation:
        """How the exported model writes: of tokens as many as the config says, or as there are places for. Raises
        ConfigError where it says more."""
        chosen, places = self.generation or Generation(), max(max_tokens - 1, 1)
        if family.endless or chosen.max_tokens <= places:
            return chosen
        for name, most in (("max_tokens", places), ("min_tokens", places - 1)):
            if name in chosen.model_fields_set and getattr(chosen, name) > most:
                raise ConfigError(
                    f"trainer.head.generation.{name}: got {getattr(chosen, name)}, wanted {most} at most: the model "
                    f"has no places for more; raise transform.max_tokens = {max_tokens}"
                )
        return Generation(**chosen.model_dump(exclude_unset=True) | {"max_tokens": places})
