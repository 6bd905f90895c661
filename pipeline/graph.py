"""Which stage feeds which. Read this file first.

A stage by span runs once a span of data (`{span}` in the input's path); the others take what all spans made, of those
that are trained on (`example_gen.spans`). A list that a stage by span takes is of the spans before its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.base import Component
from components.bulk_inferrer import bulk_inferrer
from components.comparator import comparator
from components.decider import decider
from components.evaluator import evaluator
from components.example_gen import example_gen
from components.example_validator import example_validator
from components.infra_validator import infra_validator
from components.pretrainer import pretrainer
from components.pusher import pusher
from components.schema_gen import schema_gen
from components.search import search
from components.split_guard import split_guard
from components.statistics_gen import statistics_gen
from components.tokenizer_gen import tokenizer_gen
from components.trainer import trainer
from components.transform import transform

# What no stage of the run makes: the model that is served, where a run is to find a better one, and that model again
# where training starts from it.
CHAMPION, WARM = "champion", "warm"


@dataclass(frozen=True)
class Node:
    """A stage with the stages that feed its inputs. An optional one runs only when the config has its section.

    windowed: of stages by span, it runs only for the spans that are trained on. guards: it runs only where there are
    spans. against: it runs only against a champion (`polisemia retrain`).
    """

    stage: Component
    inputs: Mapping[str, str] = field(default_factory=dict)  # parameter -> stage
    by_span: bool = False
    optional: bool = False
    windowed: bool = False
    guards: bool = False
    against: bool = False

    @property
    def name(self) -> str:
        return self.stage.name


GRAPH = (
    Node(example_gen, by_span=True),
    Node(statistics_gen, {"examples": "example_gen"}, by_span=True),
    Node(split_guard, {"examples": "example_gen", "earlier": "split_guard"}, by_span=True, guards=True),
    Node(schema_gen, {"statistics": "statistics_gen"}),
    Node(example_validator, {"statistics": "statistics_gen", "schema": "schema_gen"}),
    Node(tokenizer_gen, {"examples": "example_gen"}),
    Node(
        transform,
        {"examples": "example_gen", "tokenizer": "tokenizer_gen", "guard": "split_guard"},
        by_span=True,
        windowed=True,
    ),
    Node(
        decider,
        {
            "statistics": "statistics_gen",
            "tokens": "transform",
            "examples": "example_gen",
            "champion": CHAMPION,
        },
        against=True,
    ),
    Node(pretrainer, {"tokens": "transform", "tokenizer": "tokenizer_gen"}, optional=True),
    Node(
        trainer,
        {
            "tokens": "transform",
            "tokenizer": "tokenizer_gen",
            "schema": "schema_gen",
            "examples": "example_gen",
            "pretrained": "pretrainer",
            "champion": WARM,
        },
    ),
    Node(evaluator, {"examples": "example_gen", "model": "trainer"}),
    Node(infra_validator, {"model": "trainer"}),
    Node(comparator, {"examples": "example_gen", "model": "trainer", "champion": CHAMPION}, against=True),
    Node(
        pusher,
        {
            "trained": "trainer",
            "evaluation": "evaluator",
            "validation": "infra_validator",
            "comparison": "comparator",
        },
    ),
    Node(search, {"model": "trainer"}, optional=True),
    Node(bulk_inferrer, {"model": "trainer"}, optional=True),
)

STAGES = {node.name: node.stage for node in GRAPH}
