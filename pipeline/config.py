"""The config: TOML, checked against the stages' signatures, every problem in one error with its path."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data.errors import ConfigError, did_you_mean
from models.tasks import TASKS
from pipeline.graph import GRAPH, STAGES
from pipeline.together import FOLDERS, check_together

TOP = ("name", "task", "beam", "warm_start")
OPTIONAL = {node.name for node in GRAPH if node.optional}
SHORT = ("family", "format", "optimizer", "objective")  # `family = "lstm"` is short for `family = { name = "lstm" }`


@dataclass(frozen=True)
class Config:
    """A checked config. `sections[stage]` holds what the config sets, with defaults filled in.

    warm: the config of a training that goes on from another model, as `[warm_start]` changes `[trainer]` for it.
    """

    name: str
    task: str
    sections: dict[str, dict[str, Any]]
    beam: dict[str, Any] = field(default_factory=dict)
    given: frozenset[str] = frozenset()  # the sections that the config has
    path: str = ""  # of its file
    warm: "Config | None" = None


def load_config(path: str | None, overrides: Sequence[str] = ()) -> Config:
    """Reads and checks a config with `section.key=value` overrides. Raises ConfigError with every problem."""
    raw = _read(path) if path else {}
    for override in overrides:
        set_value(raw, override)
    return replace(check_config(raw), path=path or "")


def check_config(raw: dict[str, Any]) -> Config:
    """Checks a config given as nested dicts. Raises ConfigError with every problem found."""
    problems: list[str] = []
    for key in raw:
        if key not in TOP and key not in STAGES:
            kind = "section" if isinstance(raw[key], dict) else "key"
            problems.append(f"{key}: unknown {kind}{did_you_mean(key, (*TOP, *STAGES))}")
    problems += _check_top(raw)
    sections = {name: _check_section(name, raw, problems) for name in STAGES}
    problems += check_together(raw, sections)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    beam, given = dict(raw.get("beam", {})), frozenset(set(raw) & set(STAGES))
    return Config(raw["name"], raw["task"], sections, beam, given, warm=_check_warm(raw))


def _check_warm(raw: dict[str, Any]) -> Config | None:
    """The config with the keys of `[warm_start]` in its `[trainer]`. Raises ConfigError with all that is wrong."""
    warm = raw.get("warm_start")
    if warm is None:
        return None
    if not isinstance(warm, dict):
        raise ConfigError(f"warm_start: got {warm!r}; wanted a section with keys of [trainer]")
    if "family" in warm:
        raise ConfigError("warm_start.family: a model that goes on from another is of its family; drop it")
    trainer = dict(raw["trainer"])
    for key, value in warm.items():
        both = isinstance(value, dict) and isinstance(trainer.get(key), dict)
        trainer[key] = {**trainer[key], **value} if both else value
    try:
        return check_config({**{key: value for key, value in raw.items() if key != "warm_start"}, "trainer": trainer})
    except ConfigError as error:
        raise ConfigError(*(p.replace("trainer.", "warm_start.", 1) for p in error.problems)) from None


def _read(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `polisemia new DATA` writes a config for a file of yours") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; wanted a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def set_value(raw: dict[str, Any], override: str) -> None:
    """`section.key=value`: the value is read as TOML, else as a string; dots reach into inline tables."""
    path, sign, text = override.partition("=")
    keys = path.strip().split(".")
    if not sign or not all(keys):
        raise ConfigError(f"--set {override}: wanted section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table = raw
    for i, key in enumerate(keys[:-1]):
        inner = table.setdefault(key, {})
        if isinstance(inner, str) and key in SHORT:
            inner = table[key] = {"name": inner}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {'.'.join(keys[: i + 1])} is {inner!r}, not a table")
        table = inner
    table[keys[-1]] = value


def field_column(text: str) -> tuple[str, str]:
    """The two sides of `--field FIELD=COLUMN`."""
    return _sides("--field", text, "FIELD=COLUMN, such as text=opinion")


def input_text(text: str) -> tuple[str, str]:
    """The two sides of `--given INPUT=TEXT`."""
    return _sides("--given", text, "INPUT=TEXT, such as question='Who came?'")


def _sides(option: str, text: str, wanted: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigError(f"{option} {text}: wanted {wanted}")
    return name, value


def _check_top(raw: dict[str, Any]) -> list[str]:
    problems = []
    name, task = raw.get("name"), raw.get("task")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        problems.append(f"name: got {name!r}; wanted letters, digits, - and _ (it names a folder)")
    if not isinstance(task, str) or task not in TASKS:
        problems.append(f"task: got {task!r}{did_you_mean(str(task), TASKS)}")
    if not isinstance(raw.get("beam", {}), dict):
        problems.append("beam: wanted a section")
    return problems


def _check_section(name: str, raw: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    stage, values = STAGES[name], raw.get(name, {})
    if not isinstance(values, dict):
        problems.append(f"{name}: got {values!r}; wanted a section, [{name}]")
        return {}
    known = [key for key in stage.params.model_fields if key not in stage.shared | {"span", "teacher", *FOLDERS}]
    values = {key: value for key, value in values.items() if key in known or _unknown(name, key, known, problems)}
    shared = {key: raw.get(key, "") for key in stage.shared}
    if name not in raw and name in OPTIONAL:
        return {}
    try:
        return stage.params.model_validate({**values, **shared}).model_dump()
    except ValidationError as error:
        problems += [_problem(name, e) for e in error.errors() if e["loc"][0] not in stage.shared]
        return {}


def _unknown(section: str, key: str, known: list[str], problems: list[str]) -> bool:
    problems.append(f"{section}.{key}: unknown key{did_you_mean(key, known)}")
    return False


def _problem(section: str, error: Mapping[str, Any]) -> str:
    """One line for a pydantic error: path, what was wanted, what was got."""
    path = ".".join(str(part) for part in (section, *error["loc"]) if part not in ("str", "dict[str,str]"))
    if error["type"] == "missing":
        return f"{path}: missing; it has no default"
    if error["type"] == "value_error":
        return f"{path}: {error['ctx']['error']}"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{path}: {message}, got {error['input']!r}"
