"""What the families on KerasHub's backbones share: sizes of their own, or a preset's; dropout; LoRA."""

from typing import Any, ClassVar

from pydantic import Field, model_validator

from data.errors import ConfigError
from models.families.base import Family


class Pretrained(Family):
    """A KerasHub backbone: of any size from scratch, or a pretrained preset."""

    layers: int = Field(2, ge=1, le=96, description="transformer layers")
    width: int = Field(128, ge=1, description="width of the token vectors; a multiple of heads")
    heads: int = Field(2, ge=1, description="attention heads")
    intermediate: int | None = Field(None, ge=1, description="width of the feed-forward layers; 4 * width if not given")
    dropout: float = Field(0.1, ge=0, lt=1, description="in every layer and on the text's vector")
    preset: str | None = Field(
        None,
        description="KerasHub preset, handle, or folder of KerasHub's or Hugging Face's; then the sizes are its own",
    )
    lora: int | None = Field(
        None,
        ge=1,
        description="with a preset: train only additions of this rank to queries and values, and their biases (LoRA)",
    )

    sizes: ClassVar[tuple[str, ...]] = ("layers", "width", "heads", "intermediate")  # what a preset brings
    backbone: ClassVar[str]  # KerasHub's class
    lora_layers: ClassVar[list[str]] = ["query", "value"]  # Hu et al. 2021, section 4.2, as KerasHub's default
    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 4,
        "batch_tokens": 2048,
        "optimizer": {"learning_rate": 5e-4, "schedule": "linear", "warmup": 0.1},
    }
    fine_tuning: ClassVar[dict[str, Any]] = {  # of a preset; Devlin et al. 2019, appendix A.3
        "epochs": 3,
        "batch_tokens": 4096,
        "optimizer": {"learning_rate": 5e-5, "schedule": "linear", "warmup": 0.1},
    }
    lora_optimizer: ClassVar[dict[str, Any]] = {"learning_rate": 5e-4, "schedule": "linear", "warmup": 0.06}  # table 9

    @model_validator(mode="after")
    def _one_size(self) -> "Pretrained":
        given = [name for name in self.sizes if name in self.model_fields_set]
        if self.preset and given:
            raise ValueError(f"got preset and {', '.join(given)}; a preset has its own size: keep one of them")
        if self.width % self.heads:
            raise ValueError(f"got width {self.width} with {self.heads} heads, wanted a multiple")
        if self.lora and not self.preset:
            raise ValueError("got lora without preset; it leaves all else as it was, so wanted a preset to start from")
        return self

    @property
    def settled(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*self.sizes, "dropout")

    def start_from(self, path: str) -> "Pretrained":
        """path: a preset's folder, which has its own sizes."""
        kept = {name: getattr(self, name) for name in self.model_fields_set.difference(self.sizes)}
        return type(self)(**{**kept, "preset": path})

    def defaults(self):
        if not self.preset:
            return dict(self.recommended)
        return self.fine_tuning | ({"optimizer": self.lora_optimizer} if self.lora else {})

    def arguments(self, max_tokens: int) -> dict[str, Any]:
        """Of the backbone's constructor, from scratch; vocabulary_size and dropout beside them."""
        return {
            "num_layers": self.layers,
            "num_heads": self.heads,
            "hidden_dim": self.width,
            "intermediate_dim": self.intermediate or 4 * self.width,
            "max_sequence_length": max_tokens,
        }

    def find_preset(self) -> str:
        """Where the preset is, or will come from. Raises ConfigError when it is nowhere, or of another family."""
        import keras_hub

        from models.hub import check_preset

        return check_preset(str(self.preset), getattr(keras_hub.models, self.backbone))

    def make_backbone(self, vocabulary, max_tokens: int) -> Any:
        """KerasHub's backbone, built. Raises ConfigError when a preset does not fit tokenizer or max_tokens."""
        import keras_hub

        from models.hub import load_backbone

        kind = getattr(keras_hub.models, self.backbone)
        if not self.preset:
            return kind(vocabulary_size=vocabulary.size, dropout=self.dropout, **self.arguments(max_tokens))
        backbone = load_backbone(self.preset, kind, dropout=self.dropout)
        positions = getattr(backbone, "max_sequence_length", max_tokens)  # T5 has none: any length will do
        if backbone.vocabulary_size < vocabulary.size or positions < max_tokens:
            raise ConfigError(
                f"trainer.family.preset: '{self.preset}' has {backbone.vocabulary_size} tokens and {positions} "
                f"positions; got a tokenizer of {vocabulary.size} and max_tokens = {max_tokens}: use the preset's own "
                f"tokenizer, and a max_tokens within its positions"
            )
        if self.lora:
            backbone.enable_lora(self.lora, self.lora_layers)
        return backbone
