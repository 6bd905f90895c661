"""How answers are judged, by the name of the task."""

from models.evaluation.base import Judgement
from models.evaluation.classification import ClassificationJudgement
from models.evaluation.tagging import TaggingJudgement

JUDGES: dict[str, type[Judgement]] = {"classification": ClassificationJudgement, "tagging": TaggingJudgement}
