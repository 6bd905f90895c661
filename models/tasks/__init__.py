"""The tasks, by the name a config gives them."""

from models.tasks.base import Task
from models.tasks.classification import Classification
from models.tasks.tagging import Tagging

TASKS: dict[str, type[Task]] = {"classification": Classification, "tagging": Tagging}
