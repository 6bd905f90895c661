"""What a masked language model is asked about (Devlin et al. 2019, section 3.1): how much is hidden, and behind what.

Keras-free; models/objectives/masking.py has the functions that draw.
"""

from typing import Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

HEAD = "masked_head.npz"  # beside a preset's files: the weights of what tells hidden tokens
CONTINUES = "##"  # of WordPiece: before what goes on with a word
BEGINS = ("Ġ", "▁")  # of byte-level BPE and of SentencePiece: before what begins one


class Hidden(BaseModel):
    """Parameters of hiding, for an objective and a task."""

    share: float = Field(0.15, gt=0, lt=1, description="of a text's tokens that are to be told; one at least")
    hidden: float = Field(0.8, ge=0, le=1, description="of these, the share that the mask token stands for")
    random: float = Field(0.1, ge=0, le=1, description="and that another word stands for; the rest stays as it is")
    whole_words: bool = Field(False, description="choose words, and with one all its pieces")

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.hidden + self.random > 1:
            raise ValueError(f"got hidden {self.hidden} and random {self.random}, wanted 1 or less together")
        return self

    def to_tell(self, lengths: np.ndarray) -> np.ndarray:
        """Tokens to be told of texts of so many <float32>[N]; one at least."""
        return np.maximum(np.round(np.float32(self.share) * lengths.astype(np.float32)), 1)


def begins_word(tokens) -> np.ndarray:
    """Whether each token begins a word <bool>[size], by the mark that most marked tokens of the vocabulary have.

    All do where none has a mark: then tokens are words, or characters.
    """
    marks = {mark: np.array([token.startswith(mark) for token in tokens], bool) for mark in (CONTINUES, *BEGINS)}
    mark, marked = max(marks.items(), key=lambda item: item[1].sum())
    return ~marked if mark == CONTINUES or not marked.any() else marked
