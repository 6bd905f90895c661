"""The objectives of pretraining, by the name a config gives them."""

from models.objectives.base import Objective
from models.objectives.bidirectional import Bidirectional
from models.objectives.causal import Causal
from models.objectives.cbow import Cbow
from models.objectives.distillation import MaskedDistillation
from models.objectives.glove import GloveObjective
from models.objectives.masked import Masked
from models.objectives.next_sentence import NextSentence
from models.objectives.sentence_order import SentenceOrder
from models.objectives.skip_gram import SkipGram
from models.objectives.span_corruption import SpanCorruption

OBJECTIVES: dict[str, type[Objective]] = {
    "skip_gram": SkipGram,
    "cbow": Cbow,
    "glove": GloveObjective,
    "bidirectional": Bidirectional,
    "masked": Masked,
    "next_sentence": NextSentence,
    "sentence_order": SentenceOrder,
    "distillation": MaskedDistillation,
    "causal": Causal,
    "span_corruption": SpanCorruption,
}
