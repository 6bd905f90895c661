"""The tasks, by the name a config gives them."""

from models.tasks.base import Task
from models.tasks.bidirectional_language_modeling import BidirectionalLanguageModeling
from models.tasks.classification import Classification
from models.tasks.language_modeling import LanguageModeling
from models.tasks.masked_language_modeling import MaskedLanguageModeling
from models.tasks.multi_label import MultiLabel
from models.tasks.ordinal import Ordinal
from models.tasks.question_answering import QuestionAnswering
from models.tasks.similarity import Similarity
from models.tasks.tagging import Tagging
from models.tasks.text_to_text import TextToText
from models.tasks.word_in_context import WordInContext

TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "tagging": Tagging,
    "multi_label": MultiLabel,
    "ordinal": Ordinal,
    "question_answering": QuestionAnswering,
    "word_in_context": WordInContext,
    "similarity": Similarity,
    "language_modeling": LanguageModeling,
    "masked_language_modeling": MaskedLanguageModeling,
    "bidirectional_language_modeling": BidirectionalLanguageModeling,
    "text_to_text": TextToText,
}
