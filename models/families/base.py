"""What a family is: a frozen, Keras-free description that can build an encoder.

A family turns token ids into vectors and says what it offers; a task says what it needs.
`models/build.py` is the only place that joins them.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import keras
    import numpy as np

    from data.tokenizers.base import Tokenizer

COVERAGE = "coverage"  # of a decoder's state: how much attention each token of the source got so far <float32>[B, S]


class Encoded(NamedTuple):
    """What an encoder gives for packed ids <int32>[B, T].

    sequence: <float>[B, T, width] one vector a token, or None.
    pooled: <float>[B, width] one vector a text (width is n_outputs for a linear family), or None.
    layers: every layer's <float>[B, T, width], embeddings first, for the scalar mix, distillation and probes.
    mask: <bool>[B, T], True means keep.
    """

    sequence: Any
    pooled: Any
    layers: tuple
    mask: Any


class Vocabulary(NamedTuple):
    """What a family needs to know of the tokenizer: its size and special ids (None where it has none)."""

    size: int
    pad: int = 0
    unknown: int | None = None
    start: int | None = None
    end: int | None = None
    mask: int | None = None
    words: Sequence[str] = ()  # by id; for families that look words up elsewhere, or read their bytes

    @classmethod
    def of(cls, tokenizer: "Tokenizer") -> Self:
        special = tokenizer.special
        ids = special.pad, special.unknown, special.start, special.end, special.mask
        return cls(len(tokenizer.vocabulary), *ids, tokenizer.vocabulary)

    @property
    def first(self) -> int:
        """What a decoder reads before the first token of a target; pad where there is no start, as in T5."""
        return self.pad if self.start is None else self.start

    @property
    def between(self) -> int:
        """What stands before a text of a language model: an end token, as between texts in a block, or what there is
        of the kind."""
        return next(each for each in (self.end, self.start, self.pad) if each is not None)

    @property
    def special(self) -> frozenset[int]:
        """The ids that are no tokens of a text."""
        return frozenset(i for i in (self.pad, self.unknown, self.start, self.end, self.mask) if i is not None)


class Family(BaseModel):
    """Parameters of a family, with what it offers. Only `build` and what it builds may import Keras."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    offers: ClassVar[frozenset[str]]  # of: pooled, sequence, masked, bidirectional, causal, encoder_decoder
    default_tokenizer: ClassVar[dict[str, Any]]  # params of `[tokenizer_gen]` when the config has none
    recommended: ClassVar[dict[str, Any]]  # params of `[trainer]` for training from scratch; see `defaults`
    linear: ClassVar[bool] = False  # pooled has one value an output and is the logits: no head is added
    special_tokens: ClassVar[str] = ""  # around and between texts: a key of models/packing.py's SCHEMES
    word_bytes: ClassVar[int] = 0  # above 0, packed has word_bytes <uint8>[B, T, word_bytes]: it reads whole words
    embeds_layers: ClassVar[bool] = False  # the signature `embed` gives every layer's vectors too
    objective: ClassVar[str] = ""  # of `[pretrainer]` where the config names none
    settled: ClassVar[tuple[str, ...]] = ()  # parameters that pretraining depends on
    endless: ClassVar[bool] = False  # its decoder goes on for more tokens than max_tokens
    refuses_tpu: ClassVar[str] = ""  # why, where the train step cannot compile at static shapes

    @property
    def tokenizer(self) -> dict[str, Any]:
        """Params of `[tokenizer_gen]` where the config is silent."""
        return self.default_tokenizer

    @property
    def longest(self) -> int:
        """`[transform] max_tokens` where the config is silent."""
        return 128

    def defaults(self) -> dict[str, Any]:
        """Params of `[trainer]` where the config is silent: epochs, batch_tokens, optimizer."""
        return dict(self.recommended)

    def check_offer(self, offer: str) -> list[str]:
        """One line for each parameter that does not go with one of `offers`; what builds it need not ask again."""
        return []

    @abstractmethod
    def build(
        self, vocabulary: Vocabulary, max_tokens: int, n_outputs: int, adapted: "Mapping[str, np.ndarray]"
    ) -> "keras.layers.Layer":
        """An encoder: called with {ids <int32>[B, T], mask <bool>[B, T], segment_ids <int32>[B, T]}, where it asks for
        them {word_bytes <uint8>[B, T, word_bytes]} too, and `training`, it returns Encoded. T may be anything up to
        max_tokens.

        adapted: what `adapt` gave; it sets the sizes of counted tables, so it is kept beside the weights.
        """

    def build_decoder(self, vocabulary: Vocabulary, max_tokens: int, memory: bool) -> "keras.layers.Layer":
        """What reads no later token, for the tasks that need `causal` or `encoder_decoder`: a models.layers.Decoder.

        Other tasks get `build`, which may look both ways. max_tokens: the longest sequence, of source and target.
        memory: also reads a source, `encoder_decoder`; without it the decoder stands alone, `causal`.
        """
        raise NotImplementedError(f"{type(self).__name__} offers {set(self.offers)}")

    def build_masked(
        self, vocabulary: Vocabulary, max_tokens: int, adapted: "Mapping[str, np.ndarray]"
    ) -> "tuple[keras.layers.Layer, keras.layers.Layer]":
        """What tells a hidden token from those on both sides of it, for the tasks that need `masked`: an encoder as
        `build` gives, whose vectors in a place know of the token there no more than its id, and the head that scores
        tokens by such a vector (models/masked_head.py, `head_of`)."""
        raise NotImplementedError(f"{type(self).__name__} offers {set(self.offers)}")

    def build_bidirectional(self, vocabulary: Vocabulary) -> "tuple[keras.layers.Layer, keras.layers.Layer]":
        """Two language models, one of each direction, for the tasks that need `bidirectional`: an encoder whose vectors
        <float>[B, T, 2 * width] of rows start w_1 ... w_n end know in their first half no later token, and in their
        second half no earlier one; and the softmax of both, from a half to logits <float>[..., size]."""
        raise NotImplementedError(f"{type(self).__name__} offers {set(self.offers)}")

    def report(self, encoder: "keras.layers.Layer") -> dict[str, Any]:
        """What of a trained encoder a user would want to read, as JSON values, for the model artifact's properties."""
        return {}

    def start_from(self, path: str) -> "Family":
        """The family that starts from a file or folder of weights, its sizes being theirs; see models/objectives."""
        raise NotImplementedError(f"{type(self).__name__} starts from nothing")

    def adapt(self, batches: "Iterable[Mapping[str, np.ndarray]]", vocabulary: Vocabulary) -> "dict[str, np.ndarray]":
        """What is counted rather than learned (n-gram vocabulary, document frequencies), as arrays.

        batches: the packed training split ({ids, mask, segment_ids}, as the encoder is called with), each
          example once; may be iterated more than once. The answer must not depend on order or batch size.
        """
        return {}
