"""The config: TOML, checked against the stages' signatures, every problem in one error with its path."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.evaluator import check_slices, check_thresholds
from components.records import field_columns
from components.saved_model import find_model
from components.specs import family_of, objective_of
from components.teaching import find_pretrained
from components.tokenizer_gen import check_options
from data.errors import ConfigError, did_you_mean
from data.remote import is_folder
from data.tokenizers import TOKENIZERS
from models.build import check_fit
from models.evaluation import JUDGES
from models.tasks import TASKS
from pipeline.graph import GRAPH, STAGES

FOLDERS = ("preset", "weights", "hub")  # parameters of families that may be one
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
        _override(raw, override)
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
    problems += _check_together(raw, sections)
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


def _override(raw: dict[str, Any], override: str) -> None:
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


def _check_together(raw: dict[str, Any], sections: dict[str, dict[str, Any]]) -> list[str]:
    """What one section alone cannot know: family, task and tokenizer against each other, metrics against the task."""
    task, trainer, tokenizer = raw.get("task"), sections["trainer"], sections["tokenizer_gen"]
    problems = []
    if task in TASKS and (evaluator := sections["evaluator"]):
        problems += check_thresholds(task, evaluator["at_least"], evaluator["at_most"])
        with _collecting(problems):
            examples = sections["example_gen"] or {"fields": {}, "keep": []}
            columns = [field for field, _ in field_columns(task, examples["fields"])] + examples["keep"]
            problems += check_slices(evaluator["slices"] or (), (*columns, *JUDGES[task].slices))
    if task in TASKS and (sections["transform"] or {}).get("stride") and not TASKS[task].windowed:
        able = ", ".join(name for name, kind in TASKS.items() if kind.windowed)
        problems.append(f"transform.stride: '{task}' reads no windows; tasks that do: {able}")
    if task in TASKS and trainer:
        with _collecting(problems):
            check_fit(trainer["family"]["name"], task)
    if trainer and tokenizer:
        family = family_of(trainer["family"])
        problems += _fill_tokenizer(raw.get("tokenizer_gen", {}), tokenizer, family)
        if sections["transform"]:
            sections["transform"]["word_bytes"] = family.word_bytes
            if "max_tokens" not in raw.get("transform", {}):
                sections["transform"]["max_tokens"] = family.longest
        if "pretrainer" in raw and sections["pretrainer"]:
            with _collecting(problems):
                _fill_pretrainer(sections["pretrainer"], trainer["family"], family, tokenizer)
                _check_room(sections["pretrainer"], family, sections["transform"])
        if path := getattr(family, "vectors", ""):  # a source of the stage: what is in it counts, not where it lies
            trainer["vectors"] = tokenizer["vectors"] = path
            tokenizer["vectors_encoding"] = family.vectors_encoding
            trainer["family"] = {key: value for key, value in trainer["family"].items() if key != "vectors"}
        for name in FOLDERS:
            problems += _fill_folder(trainer, name)
        with _collecting(problems):
            _fill_teacher(trainer)
    return problems


def _fill_pretrainer(section: dict[str, Any], given: dict[str, Any], family: Any, tokenizer: dict[str, Any]) -> None:
    """What pretraining depends on of the family, its objective where the config is silent; its text counts for the
    vocabulary. Raises ConfigError when the family cannot start from what the objective makes."""
    section["family"] = {key: value for key, value in given.items() if key in ("name", *family.settled)}
    section["objective"] = section["objective"] or {"name": family.objective}
    if not section["objective"]["name"]:
        raise ConfigError(f"pretrainer: no objective is for family '{given['name']}'; drop this section")
    goal = objective_of(section["objective"])
    goal.check(family)
    if goal.data == "sentences" and not section["input"]:
        raise ConfigError(
            f"pretrainer.input: missing; objective '{section['objective']['name']}' learns from pairs of sentences of "
            "documents: wanted their files (the examples' own, with `field`, if these are documents)"
        )
    if "teacher" in type(goal).model_fields:
        section["teacher"] = find_pretrained(goal.teacher)
        section["objective"] = {key: value for key, value in section["objective"].items() if key != "teacher"}
    tokenizer.update(corpus=section["input"], corpus_format=section["format"], corpus_field=section["field"])


def _check_room(section: dict[str, Any], family: Any, transform: dict[str, Any]) -> None:
    """Raises ConfigError when rows of pretraining have no room for text, or are shorter than the trainer's."""
    goal, most, least = (
        objective_of(section["objective"]),
        section["max_tokens"],
        (transform or {}).get("max_tokens", 0),
    )
    if (room := goal.room(family, most)) < 2:
        raise ConfigError(
            f"pretrainer.max_tokens: got {most}, which leaves {room} for a text; wanted {most - room + 2}"
        )
    if goal.fixed_length and most < least:
        raise ConfigError(
            f"pretrainer.max_tokens: got {most}, below transform.max_tokens = {least}; wanted as many at least: the "
            "model has no more positions than it was pretrained with"
        )


@contextmanager
def _collecting(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        problems += error.problems


def _fill_tokenizer(given: dict[str, Any], section: dict[str, Any], family: Any) -> list[str]:
    """The tokenizer a family wants where the config is silent; a preset's own, which nothing may contradict."""
    if preset := getattr(family, "preset", None):
        if given:
            return ["tokenizer_gen: a preset brings its own tokenizer; drop this section or trainer.family.preset"]
        section["files" if is_folder(preset) else "preset"] = preset
        return []
    if section["files"]:
        wrong = [key for key in ("kind", "vocabulary_size", "min_count") if key in given]
        return [f"tokenizer_gen.{key}: says how to learn, but `files` says to take what is published" for key in wrong]
    default = family.tokenizer
    if section["kind"] in ("", default["kind"]):
        options = {**default.get("options", {}), **section["options"]}
        section.update({key: value for key, value in default.items() if key not in given}, options=options)
    if family.tokenizer["kind"] == "characters" and section["kind"] != "characters":
        return [f"tokenizer_gen.kind: got '{section['kind']}'; wanted 'characters': the family's analyzer reads them"]
    if family.word_bytes and (known := TOKENIZERS.get(section["kind"])) and not known.whole_words:
        return [f"tokenizer_gen.kind: got '{section['kind']}'; wanted 'words': the family reads the bytes of words"]
    return check_options(section["kind"], section["options"])


def _fill_folder(trainer: dict[str, Any], name: str) -> list[str]:
    """A preset, weights or a module in a folder count by their content: they go where sources do. Names and handles
    stay as they are."""
    value = trainer["family"].get(name)
    if not value or not is_folder(value):
        return [f"trainer.family.{name}: no such folder '{value}'"] if value and _is_path(value) else []
    trainer[name] = value
    trainer["family"] = {key: value for key, value in trainer["family"].items() if key != name}
    return []


def _fill_teacher(trainer: dict[str, Any]) -> None:
    """The SavedModel that teaches, a source of the stage. Raises ConfigError when there is none."""
    if not trainer["distill"]:
        return
    if not (path := trainer["distill"].get("teacher")):
        raise ConfigError("trainer.distill.teacher: missing; wanted a trained model, as `polisemia predict` takes it")
    try:
        place, _ = find_model(path)
    except ConfigError as error:
        raise ConfigError(*(f"trainer.distill.teacher: {problem}" for problem in error.problems)) from None
    trainer["teacher"] = str(place)
    trainer["distill"] = {key: value for key, value in trainer["distill"].items() if key != "teacher"}


def _is_path(value: str) -> bool:
    return "://" not in value and "/" in value
