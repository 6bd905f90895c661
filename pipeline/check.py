"""`check` and `new`: what can be said of a config and of a file before anything runs."""

import json
from pathlib import Path
from typing import Any

from etils import epath

from components.artifacts import MANIFEST, Model
from components.records import check_columns, plan_blocks
from components.relevance import check_asked, read_qrels
from components.saved_model import PROPERTIES
from components.search_rows import plan_rows, queries_of
from components.sources import find_files, find_spans
from components.specs import family_of, with_sources
from components.versions import lineage
from data.errors import ConfigError, StageError, did_you_mean
from data.formats import format_for
from models.families import FAMILIES
from pipeline.config import Config
from pipeline.graph import STAGES
from pipeline.served import served_folders

TEXT_NAMES = ("text", "texto", "sentence", "review", "opinion", "content", "body", "comment", "question", "article")
LABEL_NAMES = ("label", "etiqueta", "class", "category", "sentiment", "sentimiento", "topic", "target", "y")


def check_data(config: Config) -> list[str]:
    """Finds the files and reads their heads. Raises ConfigError or DataError with what is wrong."""
    section = config.sections["example_gen"]
    pattern = section["input"] if isinstance(section["input"], str) else section["input"]["train"]
    lines = []
    for span in find_spans(pattern):
        plans = plan_blocks(section["input"], section["format"], section["splits"], span)
        check_columns(plans, config.task, section)
        files = {plan.block.path for plan in plans}
        lines.append(f"{f'span {span}: ' if span else ''}{len(files)} file(s), {len(plans)} block(s) of data")
    trainer = config.sections["trainer"]
    family = with_sources(trainer["family"], trainer)
    if "preset" in family:
        lines.append(f"preset {family_of(family).find_preset()}")
    tokenizer = config.sections["tokenizer_gen"]["kind"] or "taken as published"
    lines.append(f"task {config.task}, family {family['name']}, tokenizer {tokenizer}")
    if "search" in config.given:
        lines.append(_check_search(config.sections["search"]))
    lines.append("the config is right")
    return lines


def _check_search(section: dict[str, Any]) -> str:
    """Reads the heads of the documents, and all queries and judgements, which are few."""
    read = plan_rows(section["documents"], section["format"], section["fields"], "search.documents")
    told = f"search: {len(read.paths)} file(s) of documents"
    if not section["relevance"]:
        return told
    judged = read_qrels(section["relevance"], section["relevance_format"], section["binary"], "search.relevance")
    options = section["query_format"], section["query_fields"], "search.queries", section["numbered"]
    check_asked(queries_of(section["queries"], *options), judged)
    return f"{told}, {len(judged)} judged queries"


def check_artifacts(root: epath.Path) -> list[str]:
    """Reads every whole artifact and every served version of a pipeline. Raises StageError with all that is damaged.

    A served version is compared with the model artifact it is a copy of, while that is there.
    """
    problems: list[str] = []
    artifacts = versions = size = 0
    for stage in STAGES.values():
        for path in sorted((root / stage.name).glob(f"*/{MANIFEST}")):
            try:
                artifact = stage.kind.load(path.parent)
                json.loads(path.read_text())  # half a manifest is none to a run, which makes it again
            except (StageError, ValueError) as error:
                problems.append(f"{path}: {error}")
                continue
            if artifact:
                problems += artifact.damage()
                artifacts, size = artifacts + 1, size + sum(f["bytes"] for f in artifact.manifest["files"].values())
    for served in served_folders(root):
        for version in (each for each in lineage(served) if each.here):
            if trained := Model.load(root / "trainer" / version.origin):
                problems += trained.damage("saved_model/", served / str(version.number), but=PROPERTIES)
                versions += 1
    if problems:
        todo = "put them back, or remove the artifact's folder and run the same command: it is made again"
        raise StageError("\n".join([*problems, f"{len(problems)} damaged files; {todo}"]))
    return [f"{artifacts} artifacts ({size / 1e6:.1f} MB) and {versions} served versions are as they were written"]


def new_config(data: str, name: str, family: str, text: str, label: str) -> str:
    """A TOML config for a file, its text and label columns guessed from their names."""
    if family not in FAMILIES:
        raise ConfigError(f"new --family {family}: unknown family{did_you_mean(family, FAMILIES, listed=True)}")
    files = find_files(data)
    columns = (*format_for(files[0].path).columns(files[0].path), *files[0].captures)
    fields = {"text": _guess("text", text, TEXT_NAMES, columns), "label": _guess("label", label, LABEL_NAMES, columns)}
    mapped = ", ".join(f"{field} = {_quote(column)}" for field, column in fields.items() if field != column)
    name = name or "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(data).name.split(".")[0]).strip("-*")
    return "\n".join(
        (
            f"name = {_quote(name or 'model')}",
            'task = "classification"',
            "",
            "[example_gen]",
            f"input = {_quote(data)}",
            *([f"fields = {{ {mapped} }}"] if mapped else []),
            "",
            "[trainer]",
            f"family = {_quote(family)}",
            "",
            "[evaluator]",
            "at_least = { accuracy = 0.7 }",
            "",
        )
    )


def _guess(field: str, given: str, names: tuple[str, ...], columns: tuple[str, ...]) -> str:
    if given and given not in columns:
        raise ConfigError(f"new --{field} {given}: no such column{did_you_mean(given, columns)}")
    lower = {column.lower(): column for column in columns}
    found = given or next((lower[name] for name in names if name in lower), "")
    if not found:
        raise ConfigError(f"new: which column is the {field}? give --{field} NAME; the file has: {', '.join(columns)}")
    return found


def _quote(value: Any) -> str:
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
