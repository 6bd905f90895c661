"""What the objectives share whose outcome is a whole model: a KerasHub preset, which the family starts from."""

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data.errors import ConfigError
from models.families import FAMILIES
from models.families.pretrained import Pretrained
from models.objectives.base import Objective


class BackboneObjective(Objective):
    """For families on KerasHub's backbones, of `kind`. The model it builds holds the one it trains as `backbone`."""

    dropout: float | None = Field(
        None, ge=0, lt=1, description="while it is pretrained, such as 0 on little text; the family's own if silent"
    )

    kind: ClassVar[type[Pretrained] | tuple[type[Pretrained], ...]]
    # Adam of Devlin et al. 2019 with a higher rate and fewer tokens a batch, as small models and texts want it.
    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 10,
        "batch_tokens": 4096,
        "optimizer": {"learning_rate": 1e-3, "schedule": "linear", "warmup": 0.1},
    }

    def check(self, family):
        name = next((name for name, kind in FAMILIES.items() if type(family) is kind), type(family).__name__)
        if not isinstance(family, self.kind):
            fitting = ", ".join(name for name, kind in FAMILIES.items() if issubclass(kind, self.kind))
            own = f"; '{name}' has '{family.objective}'" if family.objective else ""
            raise ConfigError(
                f"pretrainer.objective: got one that family '{name}' cannot be pretrained with; families that can: "
                f"{fitting}{own}"
            )
        if family.preset or family.lora:
            raise ConfigError(
                f"trainer.family.{'preset' if family.preset else 'lora'}: got '{family.preset or family.lora}' and "
                "[pretrainer], which pretrains from scratch; keep one of them"
            )

    def defaults(self, family):
        """Wider ones want a lower rate, in proportion (Yang et al. 2021): 1e-3 up to a width of 128, 1.7e-4 at 768."""
        optimizer = self.recommended["optimizer"]
        rate = optimizer["learning_rate"] * min(1.0, 128 / family.width)
        return {**self.recommended, "optimizer": {**optimizer, "learning_rate": rate}}

    def dropping(self, family: Any) -> Any:
        """The family with the dropout of pretraining."""
        return family if self.dropout is None else family.model_copy(update={"dropout": self.dropout})

    def loss(self, outputs, batch):
        return outputs

    def metrics(self, outputs, batch):
        """perplexity: e to the mean loss of a token that was to be told."""
        return {"perplexity": float(np.exp(np.average(outputs.astype(np.float64), weights=batch["weight"])))}

    def save(self, model, directory):
        """A preset's folder, as KerasHub writes it."""
        from models.hub import save_backbone

        save_backbone(model.backbone, directory / "preset")
        return "preset"
