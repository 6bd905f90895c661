"""How answers are judged, by the name of the task."""

from models.evaluation.base import Judgement
from models.evaluation.bidirectional_language_modeling import BidirectionalLanguageModelingJudgement
from models.evaluation.classification import ClassificationJudgement
from models.evaluation.language_modeling import LanguageModelingJudgement
from models.evaluation.masked_language_modeling import MaskedLanguageModelingJudgement
from models.evaluation.multi_label import MultiLabelJudgement
from models.evaluation.ordinal import OrdinalJudgement
from models.evaluation.question_answering import QuestionAnsweringJudgement
from models.evaluation.similarity import SimilarityJudgement
from models.evaluation.tagging import TaggingJudgement
from models.evaluation.text_to_text import TextToTextJudgement
from models.evaluation.word_in_context import WordInContextJudgement

JUDGES: dict[str, type[Judgement]] = {
    "classification": ClassificationJudgement,
    "tagging": TaggingJudgement,
    "multi_label": MultiLabelJudgement,
    "ordinal": OrdinalJudgement,
    "question_answering": QuestionAnsweringJudgement,
    "word_in_context": WordInContextJudgement,
    "similarity": SimilarityJudgement,
    "language_modeling": LanguageModelingJudgement,
    "masked_language_modeling": MaskedLanguageModelingJudgement,
    "bidirectional_language_modeling": BidirectionalLanguageModelingJudgement,
    "text_to_text": TextToTextJudgement,
}
