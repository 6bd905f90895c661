"""What no section of a config can know alone: family, task and tokenizer against each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from components.comparator import check_metric
from components.evaluator import check_slices, check_thresholds
from components.records import field_columns, shares_of
from components.saved_model import find_model
from components.search import check_judged
from components.specs import family_of, objective_of, spec_of
from components.teaching import check_task, find_pretrained
from components.tokenizer_gen import check_options
from data.errors import ConfigError
from data.remote import is_folder
from data.tokenizers import TOKENIZERS
from models.build import check_fit, misfits
from models.evaluation import JUDGES
from models.tasks import TASKS

FOLDERS = ("preset", "weights", "hub")  # parameters of families that may be one


def check_together(raw: dict[str, Any], sections: dict[str, dict[str, Any]]) -> list[str]:
    """What one section alone cannot know: family, task and tokenizer against each other, metrics against the task."""
    task, trainer, tokenizer = raw.get("task"), sections["trainer"], sections["tokenizer_gen"]
    problems = []
    if task in TASKS and (evaluator := sections["evaluator"]) and (comparator := sections["comparator"]):
        problems += check_thresholds(task, evaluator["at_least"], evaluator["at_most"])
        problems += check_metric(task, comparator["metric"])
        with _collecting(problems):
            examples = sections["example_gen"] or {"fields": {}, "keep": []}
            columns = [field for field, _ in field_columns(task, examples["fields"])] + examples["keep"]
            columns += [examples["mixture"]["by"]] if examples.get("mixture") else []
            for stage in ("evaluator", "comparator"):
                problems += check_slices(sections[stage]["slices"] or (), (*columns, *JUDGES[task].slices), stage)
    if examples := sections["example_gen"]:
        with _collecting(problems):
            shares_of(examples["input"], examples["splits"])
        if examples["mixture"] and task in TASKS and TASKS[task].rows != "examples":
            able = ", ".join(name for name, kind in TASKS.items() if kind.rows == "examples")
            problems.append(
                f"example_gen.mixture: '{task}' cuts its rows from all texts together; wanted one of {able}"
            )
    if task in TASKS and (sections["transform"] or {}).get("stride") and not TASKS[task].windowed:
        able = ", ".join(name for name, kind in TASKS.items() if kind.windowed)
        problems.append(f"transform.stride: '{task}' reads no windows; tasks that do: {able}")
    if task in TASKS and trainer:
        with _collecting(problems):
            check_fit(trainer["family"]["name"], task)
        problems += misfits(family_of(trainer["family"]), TASKS[task])
        problems += _check_head(task, trainer["head"], sections["example_gen"], sections["transform"])
    if search := sections["search"]:
        problems += check_judged(search["queries"], search["relevance"])
        if trainer and "pooled" not in family_of(trainer["family"]).offers:
            problems.append(
                f"search: family '{trainer['family']['name']}' gives no vector a text to search by; wanted one that "
                "offers `pooled`, or drop this section"
            )
    if trainer and tokenizer:
        family = family_of(trainer["family"])
        problems += _fill_tokenizer(raw.get("tokenizer_gen", {}), tokenizer, family)
        if sections["transform"]:
            sections["transform"]["word_bytes"] = family.word_bytes
            if "max_tokens" not in raw.get("transform", {}):
                sections["transform"]["max_tokens"] = family.longest
            problems += _check_places(task, trainer["head"], family, sections["transform"]["max_tokens"])
        if "pretrainer" in raw and sections["pretrainer"]:
            with _collecting(problems):
                _fill_pretrainer(sections["pretrainer"], trainer["family"], family, tokenizer)
                if task in TASKS:
                    _check_start(trainer["family"]["name"], family, task)
                _check_room(sections["pretrainer"], family, sections["transform"])
        if path := getattr(family, "vectors", ""):  # a source of the stage: what is in it counts, not where it lies
            trainer["vectors"] = tokenizer["vectors"] = path
            tokenizer["vectors_encoding"] = family.vectors_encoding
            trainer["family"] = {key: value for key, value in trainer["family"].items() if key != "vectors"}
        for name in FOLDERS:
            problems += _fill_folder(trainer, name)
        with _collecting(problems):
            _fill_teacher(task, trainer)
    return problems


def _check_head(task: str, head: dict[str, Any], examples: dict[str, Any], transform: dict[str, Any]) -> list[str]:
    """What is wrong with the parameters of the task, by themselves, for the examples' fields and for their windows."""
    try:
        spec = spec_of(TASKS[task], head)
    except ValueError as error:
        return [f"trainer.head: {error}"]
    problems = []
    if "windows" in head and transform and not transform["stride"]:
        problems.append(
            f"trainer.head.windows: got '{head['windows']}' without windows to merge; set transform.stride, or drop it"
        )
    try:
        fields = [field for field, _ in field_columns(task, examples["fields"])] if examples else None
    except ConfigError:  # told already
        fields = None
    return problems if fields is None else problems + spec.check(fields)


def _check_places(task: Any, head: dict[str, Any], family: Any, max_tokens: int) -> list[str]:
    try:
        return spec_of(TASKS[task], head).check_places(family, max_tokens)
    except (KeyError, ValueError):  # told already
        return []


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


def _check_start(name: str, family: Any, task: str) -> None:
    """Raises ConfigError when the family, started from what is pretrained, contradicts itself or does not go with the
    task."""
    told = misfits(family, TASKS[task])
    try:
        problems = [each for each in misfits(family.start_from("pretrained"), TASKS[task]) if each not in told]
    except ValidationError as error:
        problems = [each["msg"] for each in error.errors()]
    if problems:
        raise ConfigError(*(f"pretrainer: family '{name}' cannot start from what this leaves: {p}" for p in problems))


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


def _fill_teacher(task: Any, trainer: dict[str, Any]) -> None:
    """The SavedModel that teaches, a source of the stage. Raises ConfigError when there is none, or it teaches
    another task."""
    if not trainer["distill"]:
        return
    if not (path := trainer["distill"].get("teacher")):
        raise ConfigError("trainer.distill.teacher: missing; wanted a trained model, as `polisemia predict` takes it")
    try:
        place, properties = find_model(path)
    except ConfigError as error:
        raise ConfigError(*(f"trainer.distill.teacher: {problem}" for problem in error.problems)) from None
    check_task(properties["task"], task)
    trainer["teacher"] = str(place)
    trainer["distill"] = {key: value for key, value in trainer["distill"].items() if key != "teacher"}


def _is_path(value: str) -> bool:
    return "://" not in value and "/" in value
