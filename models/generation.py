"""What a generation may set: a frozen spec, Keras-free, so that a config is checked without TensorFlow."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.options import unread

OF_METHOD = {  # options that only some methods read; setting one for another method is an error
    "beams": ("beam",),
    "length_penalty": ("beam",),
    "coverage_penalty": ("beam",),
    "early_stopping": ("beam",),
    "n_best": ("beam", "sample"),
    "temperature": ("sample",),
    "top_p": ("sample",),
    "seed": ("sample",),
    "top_k": ("sample", "contrastive"),
    "alpha": ("contrastive",),
}


class Generation(BaseModel):
    """How text is made from a model's scores, token by token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["greedy", "beam", "sample", "contrastive"] = Field(
        "greedy", description="likeliest token; likeliest text found by beam search; drawn; or contrastive search"
    )
    max_tokens: int = Field(64, ge=1, description="new tokens at most, the end token included")
    min_tokens: int = Field(0, ge=0, description="new tokens before the end token may come")
    beams: int = Field(4, ge=1, description="hypotheses that beam search keeps")
    n_best: int = Field(1, ge=1, description="answers for each text: the best beams, or so many draws")
    length_penalty: float = Field(
        0.6, ge=0, description="exponent a of ((5 + tokens) / 6)^a, by which a beam's log-likelihood is divided"
    )
    coverage_penalty: float = Field(
        0.0,
        ge=0,
        description="weight b of b * sum of log(min(attention that a token of the source got, 1)), added to a beam's "
        "score: against leaving out parts of the source; for models that read one",
    )
    early_stopping: bool = Field(
        False, description="stop when as many beams have ended as are kept; else when none under way can be better"
    )
    temperature: float = Field(1.0, gt=0, description="scores are divided by it before a token is drawn")
    top_k: int = Field(0, ge=0, description="only the k likeliest tokens are drawn from or compared; 0: all, or 4")
    top_p: float = Field(1.0, gt=0, le=1, description="only the likeliest tokens that together reach this probability")
    alpha: float = Field(0.6, ge=0, le=1, description="weight of the likeness to earlier tokens in contrastive search")
    repetition_penalty: float = Field(
        1.0, ge=1, description="scores of tokens that the text has are divided by it (negative ones multiplied)"
    )
    no_repeat_ngram: int = Field(0, ge=0, description="no n-gram of this many tokens comes twice; 0: any may")
    seed: int = Field(0, ge=0, description="of the draws")

    @model_validator(mode="after")
    def _only_what_is_read(self) -> Self:
        wrong = unread(self, "method", OF_METHOD)
        if self.method == "beam" and self.n_best > self.beams:
            wrong.append(f"n_best: got {self.n_best} with {self.beams} beams; wanted as many beams or more")
        if self.min_tokens >= self.max_tokens and self.min_tokens:
            wrong.append(f"min_tokens: got {self.min_tokens}, wanted less than max_tokens ({self.max_tokens})")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self
