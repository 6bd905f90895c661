"""From a config's tables to the frozen specs they describe, with every problem in one message."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationError

from data.errors import did_you_mean


def spec_of(kind: type[BaseModel], values: dict[str, Any]) -> Any:
    """A frozen spec from a config's table. Raises ValueError with every problem in one message."""
    problems = [
        f"unknown key '{key}'{did_you_mean(key, kind.model_fields, listed=True)}"
        for key in values
        if key not in kind.model_fields
    ]
    try:
        made = kind(**{key: value for key, value in values.items() if key in kind.model_fields})
    except ValidationError as error:
        problems += [
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}, got {e['input']!r}".lstrip(": ")
            for e in error.errors()
        ]
    if problems:
        raise ValueError("; ".join(problems))
    return made


def _named(what: str, kinds: Mapping[str, type[BaseModel]], value: dict[str, Any]) -> Any:
    """What a table with a name in it describes. Raises ValueError."""
    name = value.get("name")
    if not isinstance(name, str):
        got = f"got {name!r}" if "name" in value else "missing"
        raise ValueError(f"name: {got}; wanted one of {', '.join(sorted(kinds))}")
    if name not in kinds:
        raise ValueError(f"unknown {what} '{name}'{did_you_mean(name, kinds, listed=True)}")
    return spec_of(kinds[name], {key: option for key, option in value.items() if key != "name"})


def family_of(value: dict[str, Any]) -> Any:
    """The family that `{ name = "lstm", width = 64 }` describes. Raises ValueError."""
    from models.families import FAMILIES

    return _named("family", FAMILIES, value)


SOURCES = ("vectors", "preset", "weights", "hub")  # parameters of families that are files or folders


def with_sources(family: dict[str, Any], sources: dict[str, Any]) -> dict[str, Any]:
    """The family's table with the files and folders that the config keeps apart, since their content counts.

    sources: by the names in SOURCES, empty where there is none; what else is in it is left alone.
    """
    return family | {name: sources[name] for name in SOURCES if sources[name]}


def objective_of(value: dict[str, Any]) -> Any:
    """The objective that `{ name = "skip_gram", window = 5 }` describes. Raises ValueError."""
    from models.objectives import OBJECTIVES

    return _named("objective", OBJECTIVES, value)


def mixture_of(value: dict[str, Any]) -> Any:
    from components.mixture import Mixture

    return spec_of(Mixture, value)


def optimizer_of(value: dict[str, Any]) -> Any:
    from models.optimizer import Optimizer

    return spec_of(Optimizer, value)


def early_stopping_of(value: dict[str, Any]) -> Any:
    from models.training import EarlyStopping

    return spec_of(EarlyStopping, value)


def fine_tuning_of(value: dict[str, Any]) -> Any:
    from models.fine_tuning import FineTuning

    return spec_of(FineTuning, value)


def distillation_of(value: dict[str, Any]) -> Any:
    from models.distillation import Distillation

    return spec_of(Distillation, value)


def checked(make: Any, required: bool = False) -> AfterValidator:
    """Checks a table by making what it describes, an empty one too where `required`; the table itself goes on, into
    the fingerprint."""
    return AfterValidator(lambda value: (make(value), value)[1] if value or required else value)


def _table(value: Any) -> Any:
    """`"lstm"` is short for `{ name = "lstm" }`."""
    return {"name": value} if isinstance(value, str) else value


Table = Annotated[dict[str, Any], BeforeValidator(_table)]


def plan_of(
    recommended: dict[str, Any], epochs: int | None, batch_tokens: int | None, optimizer: dict
) -> dict[str, Any]:
    """epochs, batch_tokens and optimizer of a run: what the config gives, else what is recommended."""
    given = {name: value for name, value in (("epochs", epochs), ("batch_tokens", batch_tokens)) if value}
    return {**recommended, **given, "optimizer": recommended["optimizer"] | optimizer}
