"""The shape that examples must have: inferred from the statistics of all spans, or a person's own, frozen."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from components.artifacts import Schema, Statistics
from components.base import Input, Output, Source, component
from data import schema as names
from data.errors import ConfigError, did_you_mean

INFERRED = """\
# What the examples of this pipeline look like, inferred from every span seen so far.
# To freeze it, copy this file, edit the copy and name it in the config (a path from the working directory):
#     [schema_gen]
#     frozen = "configs/schema.toml"
# From then on nothing is inferred: example_validator holds every span against your copy.
"""
FROZEN = """\
# The frozen schema of this pipeline (schema_gen.frozen), as it was read, with its defaults filled in.
"""
_HEADROOM = 2  # an inferred upper bound is this many times the longest text seen


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FieldShape(_Table):
    """One column of the examples. `characters` and `words` are the shortest and the longest text, both allowed."""

    type: str  # Arrow's name: string, double, ...
    required: bool = True
    characters: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)] | None = None
    words: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)] | None = None

    @field_validator("characters", "words")
    @classmethod
    def _in_order(cls, bounds: list[int] | None) -> list[int] | None:
        if bounds and bounds[0] > bounds[1]:
            raise ValueError(f"got {bounds}; wanted [shortest, longest]")
        return bounds


class Tolerated(_Table):
    """Shares of a split's rows, from 0 to 1, that are let pass."""

    missing: Annotated[float, Field(ge=0, le=1)] = 0.0  # rows without a required field
    empty: Annotated[float, Field(ge=0, le=1)] = 0.0  # texts without a word
    duplicates: Annotated[float, Field(ge=0, le=1)] = 0.1  # repeated inside the split
    duplicates_across_splits: Annotated[float, Field(ge=0, le=1)] = 0.01  # in an earlier split too: train, valid, test


class SchemaFile(_Table):
    """`schema.toml`. The order of `labels` is the order of the model's outputs; [] for tasks without labels."""

    labels: list[str]
    tolerated: Tolerated = Tolerated()
    fields: Annotated[dict[str, FieldShape], Field(min_length=1)]

    @field_validator("labels")
    @classmethod
    def _once_each(cls, labels: list[str]) -> list[str]:
        if repeated := [label for label, n in Counter(labels).items() if n > 1]:
            raise ValueError(f"got {repeated} more than once; wanted each label once")
        return labels


@component(version=1)
def schema_gen(
    statistics: list[Input[Statistics]],
    schema: Output[Schema],
    *,
    frozen: Annotated[
        Source[str], Field(description="path of an edited schema.toml to hold the data against; inferred when empty")
    ] = "",
) -> None:
    """Writes `schema.toml`, inferred or frozen."""
    if frozen:
        shape = read_frozen(frozen)
    else:
        spans = [json.loads((one.path / "statistics.json").read_text()) for one in statistics]
        shape = infer([split for span in spans for split in span["splits"].values() if split["rows"]])
    (schema.path / "schema.toml").write_text((FROZEN if frozen else INFERRED) + to_toml(shape))
    schema.properties.update(labels=shape.labels, frozen=bool(frozen))


def infer(splits: list[dict[str, Any]]) -> SchemaFile:
    """The schema of splits, each described as in statistics.json: every label seen, fields no row lacks as required."""
    fields = {}
    for name in sorted({name for split in splits for name in split["fields"]} - {names.KEY}):
        having = [split for split in splits if name in split["fields"]]
        complete = len(having) == len(splits) and not any(split["fields"][name]["missing"] for split in having)
        texts = [split["texts"][name] for split in having if name in split["texts"]]
        bounds = {unit: _bounds([text[unit] for text in texts]) for unit in ("characters", "words")} if texts else {}
        fields[name] = FieldShape(type=having[0]["fields"][name]["type"], required=complete, **bounds)
    return SchemaFile(labels=sorted({label for split in splits for label in split["labels"]}), fields=fields)


def _bounds(lengths: list[dict[str, Any]]) -> list[int]:
    return [min(1, *(one["min"] for one in lengths)), _HEADROOM * max(one["max"] for one in lengths)]


def read_frozen(path: str) -> SchemaFile:
    """Reads a person's schema. Raises ConfigError with every problem in it."""
    from etils import epath

    where = f"schema_gen.frozen: {path}"
    try:
        return SchemaFile.model_validate(tomllib.loads(epath.Path(path).read_text()))
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}; a run without `frozen` writes one to start from") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from None
    except ValidationError as error:
        raise ConfigError(*(f"{where}: {_problem(one)}" for one in error.errors())) from None


def _problem(error: Any) -> str:
    """One line for a pydantic error: key, what was wrong, what was got."""
    *above, key = error["loc"]
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        tables: dict[str, type[_Table]] = {"fields": FieldShape, "tolerated": Tolerated}
        table = tables[above[0]] if above else SchemaFile
        return f"{place}: unknown key{did_you_mean(str(key), table.model_fields)}"
    if error["type"] == "missing":
        return f"{place}: missing; it has no default"
    if error["type"] == "value_error":
        return f"{place}: {error['ctx']['error']}"
    return f"{place}: {error['msg'][0].lower()}{error['msg'][1:]}, got {error['input']!r}"


def to_toml(shape: SchemaFile) -> str:
    """The schema as TOML; what is None is left out."""
    lines = [f"labels = {_list(shape.labels)}", "", "# shares of a split's rows that are let pass", "[tolerated]"]
    lines += _items(shape.tolerated)
    for name, field in shape.fields.items():
        lines += ["", f"[fields.{name if re.fullmatch('[A-Za-z0-9_-]+', name) else _value(name)}]", *_items(field)]
    return "\n".join(lines) + "\n"


def _items(table: BaseModel) -> Iterable[str]:
    return [f"{key} = {_value(value)}" for key, value in table if value is not None]


def _value(value: Any) -> str:
    """JSON's spelling is TOML's too, but for the DEL character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(labels: list[str]) -> str:
    """On one line while it is short, else a label a line, which is easier to edit."""
    line = _value(labels)
    return line if len(line) < 100 else "[\n" + "".join(f"    {_value(label)},\n" for label in labels) + "]"
