"""docs/config.md, written from the stages' signatures: `make docs`. A test holds the two together."""

import inspect
import json
import types
import typing
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from components.mixture import Mixture
from data.formats import FORMATS
from data.tokenizers import TOKENIZERS
from models.distillation import Distillation
from models.families import FAMILIES
from models.fine_tuning import FineTuning
from models.generation import Generation
from models.objectives import OBJECTIVES
from models.optimizer import Optimizer
from models.tasks import TASKS
from models.training import EarlyStopping
from pipeline.graph import GRAPH

HIDDEN = {  # set by the pipeline, not by a config
    *(
        "span",
        "preset",
        "weights",
        "hub",
        "teacher",
        "word_bytes",
        "vectors",
        "vectors_encoding",
        "corpus",
        "corpus_format",
        "corpus_field",
    )
}
HEAD = """# The config, key by key

Written from the code by `make docs`; do not edit. A config is a TOML file; each stage has a section of
its own name, and a stage whose defaults suit you needs none. `--set section.key=value` overrides.

Top level: `name` (names a folder under the home), `task` ({tasks}) and `[beam]`: `runner` and any of its
options by Apache Beam's own names (`DirectRunner`, threads on this machine, when silent).
`[warm_start]` has keys of `[trainer]`, but for `family`: what a training that goes on from a champion
(`polisemia retrain`) does otherwise.
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD.format(tasks=", ".join(f"`{name}`" for name in TASKS))]
    for node in GRAPH:
        stage = node.stage
        doc = (stage.function.__doc__ or "").strip().splitlines()[0]
        optional = " Runs only when the config has this section." if node.optional else ""
        parts.append(f"## [{stage.name}]\n\n{doc}{optional}\n")
        parts.append(
            _table(stage.params, skip=stage.shared | HIDDEN | ({"family"} if stage.name == "pretrainer" else set()))
        )
    parts.append("## Families: `[trainer] family = { name = ..., ... }`\n")
    for name, family in FAMILIES.items():
        parts.append(f"### {name}\n\n{_doc(family)}\n\nOffers {', '.join(sorted(family.offers))}; ")
        parts[-1] += f"default tokenizer `{family.default_tokenizer['kind']}`.\n"
        parts.append(_table(family))
    parts.append("## Tasks: `[trainer] head = { ... }`\n")
    for name, task in TASKS.items():
        parts.append(f"### {name}\n\n{_doc(task)}\n")
        parts.append(_table(task))
    parts.append("## Generation: `[trainer] head = { generation = { ... } }`\n\n" + _doc(Generation, whole=True) + "\n")
    parts.append(_table(Generation))
    parts.append("## Objectives: `[pretrainer] objective = { name = ..., ... }`\n")
    for name, objective in OBJECTIVES.items():
        parts.append(f"### {name}\n\n{_doc(objective)}\n")
        parts.append(_table(objective))
    parts.append("## Optimizer: `[trainer] optimizer = { name = ..., ... }`\n\n" + _doc(Optimizer, whole=True) + "\n")
    parts.append(_table(Optimizer))
    parts.append("## Fine-tuning: `[trainer] fine_tuning = { ... }`\n\n" + _doc(FineTuning, whole=True) + "\n")
    parts.append(_table(FineTuning))
    parts.append("## Early stopping: `[trainer] early_stopping = { ... }`\n\n" + _doc(EarlyStopping, whole=True) + "\n")
    parts.append(_table(EarlyStopping))
    parts.append("## Distillation: `[trainer] distill = { teacher = ..., ... }`\n\n" + _doc(Distillation, whole=True))
    parts.append("\n" + _table(Distillation))
    parts.append("## Mixture: `[example_gen] mixture = { by = ..., ... }`\n\n" + _doc(Mixture, whole=True) + "\n")
    parts.append(_table(Mixture))
    parts.append("## Formats: `[example_gen] format = { name = ..., ... }`\n")
    for name, kind in FORMATS.items():
        parts.append(f"### {name}\n\n{_doc(kind)}\n")
        parts.append(_table(kind))
    parts.append("## Tokenizers: `[tokenizer_gen] kind = ..., options = { ... }`\n")
    parts += [f"- `{name}`: {_doc(kind)} Options: {_options(kind)}." for name, kind in TOKENIZERS.items()]
    return "\n".join(parts).rstrip() + "\n"


def _doc(kind: type, whole: bool = False) -> str:
    lines = [line.strip() for line in (kind.__doc__ or "").strip().splitlines()]
    return "\n".join(lines if whole else lines[: lines.index("") if "" in lines else None])


def _table(model: type[BaseModel], skip: frozenset[str] | set[str] = frozenset()) -> str:
    rows = [
        f"| `{info.alias or name}` | {_type(info.annotation)} | {_default(info.default)} | {info.description or ''} |"
        for name, info in model.model_fields.items()
        if name not in skip
    ]
    return "\n".join(("| key | type | default | meaning |", "|---|---|---|---|", *rows, "")) if rows else "No keys.\n"


def _options(tokenizer: type) -> str:
    """The options of a kind of tokenizer, with their defaults, from the signature of its `learn`."""
    parameters = inspect.signature(tokenizer.learn).parameters.values()  # type: ignore[attr-defined]
    options = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty]
    return ", ".join(f"`{p.name} = {json.dumps(p.default)}`" for p in options) or "none"


def _type(annotation: Any) -> str:
    """A type as Python writes it, without the bounds."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " \\| ".join(f"`{value}`" for value in arguments)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " \\| ".join(_type(each) for each in arguments)
    if arguments:
        return f"{origin.__name__}[{', '.join(_type(each) for each in arguments)}]"
    return "None" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    return f"`{value!r}`" if value not in ("", None) else ""


if __name__ == "__main__":
    print(reference(), end="")
