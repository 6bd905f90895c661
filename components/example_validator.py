"""Holds every span against the schema, valid and test against train, and the last span against those before it."""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from components.artifacts import Anomalies, Schema, Statistics
from components.base import Input, Output, component
from components.compared import (
    SURE,
    Rows,
    label_shift,
    labels_of,
    length_shift,
    place_of,
    pool,
    read_span,
    unknown_words,
)
from data.errors import DataError


@component(version=1)
def example_validator(
    statistics: list[Input[Statistics]],
    schema: Input[Schema],
    anomalies: Output[Anomalies],
    *,
    on_anomaly: Annotated[Literal["warn", "stop"], Field(description="whether any anomaly stops the run")] = "warn",
    max_label_shift: Annotated[
        float, Field(ge=0, le=1, description="how far the share of any label may move between two sets of rows")
    ] = 0.1,
    max_length_shift: Annotated[
        float, Field(ge=0, description="how far the mean length in words may move, as a share of the earlier mean")
    ] = 0.3,
    max_unknown_words: Annotated[
        float, Field(ge=0, le=1, description="share of running words that the earlier rows do not have")
    ] = 0.2,
) -> None:
    """Writes `anomalies.json`. Raises DataError with all of them when `on_anomaly` is "stop" and there is one."""
    shape = tomllib.loads((schema.path / "schema.toml").read_text())
    spans = [read_span(one) for one in statistics]
    limits = Limits(max_label_shift, max_length_shift, max_unknown_words)
    found: list[Anomaly] = []
    for span in spans:
        for split, rows in span.items():
            if rows.count or split == "train" or not any(other[split].count for other in spans):
                found += check_schema(rows, shape)  # a test split may be given once, for all spans
        for later in (span["valid"], span["test"]):
            found += compare(span["train"], later, limits)
    if len(spans) > 1:
        found += compare(pool([span["train"] for span in spans[:-1]]), spans[-1]["train"], limits)
    report = [{**asdict(anomaly), "message": anomaly.message} for anomaly in found]
    (anomalies.path / "anomalies.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    messages = [anomaly.message for anomaly in found]
    anomalies.properties.update(anomalies=len(found), messages=messages)
    if found and on_anomaly == "stop":
        raise DataError(
            f'example_validator: {len(found)} anomalies, and on_anomaly is "stop":\n'
            + "".join(f"  - {message}\n" for message in messages)
            + "Mend the data; or accept it: edit the schema (see schema_gen.frozen), raise the limit that is named, "
            + 'or set example_validator.on_anomaly = "warn"'
        )


@dataclass(frozen=True)
class Anomaly:
    """severity: "error" where rows cannot be used as they are, "warning" where they may not be what they seem."""

    span: str
    split: str
    what: str
    got: str
    wanted: str
    severity: Literal["error", "warning"]

    @property
    def message(self) -> str:
        return f"{place_of(self.span, self.split)}: {self.what}: got {self.got}; wanted {self.wanted}"


@dataclass(frozen=True)
class Limits:
    label_shift: float
    length_shift: float
    unknown_words: float


def _anomaly(rows: Rows, severity: Literal["error", "warning"], what: str, got: Any, wanted: Any) -> Anomaly:
    return Anomaly(rows.span, rows.split, what, str(got), str(wanted), severity)


def check_schema(rows: Rows, shape: dict[str, Any]) -> Iterator[Anomaly]:
    """A split against the schema."""
    stats, tolerated = rows.stats, shape["tolerated"]
    if not rows.count:
        yield _anomaly(rows, "error" if rows.split == "train" else "warning", "empty split", "0 rows", "at least 1")
        return
    for name, field in shape["fields"].items():
        yield from _check_field(rows, name, field, tolerated)
    if unknown := {label: n for label, n in stats["labels"].items() if label not in shape["labels"]}:
        got = ", ".join(f"'{label}' in {n} rows" for label, n in unknown.items())
        yield _anomaly(rows, "error", "unknown label", got, f"one of {', '.join(shape['labels']) or 'none'}")
    absent = [label for label in shape["labels"] if label not in stats["labels"]]
    if absent and rows.split == "train":
        yield _anomaly(
            rows, "warning", "absent label", f"no row of {', '.join(absent)}", "some of each of the schema's"
        )
    for where, n in stats["duplicates"].items():
        inside = where == "inside"
        limit = "duplicates" if inside else "duplicates_across_splits"
        if n > tolerated[limit] * rows.count:
            what = "duplicates inside the split" if inside else f"rows that {where.removeprefix('in_')} has too"
            yield _anomaly(
                rows, "warning", what, _share(n, rows.count), _at_most(tolerated[limit], f"tolerated.{limit}")
            )


def _check_field(rows: Rows, name: str, field: dict[str, Any], tolerated: dict[str, float]) -> Iterator[Anomaly]:
    seen = rows.stats["fields"].get(name)
    missing = seen["missing"] if seen else rows.count
    if field["required"] and missing > tolerated["missing"] * rows.count:
        wanted = _at_most(tolerated["missing"], "tolerated.missing")
        yield _anomaly(rows, "error", f"no '{name}'", _share(missing, rows.count), wanted)
    if seen and seen["type"] != field["type"]:
        yield _anomaly(rows, "error", f"type of '{name}'", seen["type"], field["type"])
    if not (text := rows.stats["texts"].get(name)):
        return
    if text["empty"] > tolerated["empty"] * rows.count:
        wanted = _at_most(tolerated["empty"], "tolerated.empty")
        yield _anomaly(rows, "warning", f"'{name}' without a word", _share(text["empty"], rows.count), wanted)
    for unit in ("characters", "words"):
        low, high = text[unit]["min"], text[unit]["max"]
        shortest, longest = field.get(unit, (low, high))
        if low < shortest or high > longest:
            wanted = f"{shortest} to {longest} (fields.{name}.{unit})"
            yield _anomaly(rows, "warning", f"length of '{name}' in {unit}", f"{low} to {high}", wanted)


def compare(before: Rows, after: Rows, limits: Limits) -> Iterator[Anomaly]:
    """How far the labels, lengths and words of `after` are from those of `before`."""
    if not before.count or not after.count:
        return
    against = place_of(before.span, before.split)
    label, moved, error = label_shift(before, after)
    if moved > max(limits.label_shift, SURE * error):
        old, new = (rows.stats["labels"].get(label, 0) / labels_of(rows) for rows in (before, after))
        wanted = f"{_percent(old)} as in {against}, give or take {_percent(limits.label_shift)} (max_label_shift)"
        yield _anomaly(after, "warning", f"share of label '{label}'", _percent(new), wanted)
    for text in sorted(set(before.stats["texts"]) & set(after.stats["texts"])):
        moved, error = length_shift(before, after, text)
        if moved > max(limits.length_shift, SURE * error):
            old, new = (rows.stats["texts"][text]["words"] for rows in (before, after))
            wanted = (
                f"{old['mean']:.1f} as in {against}, give or take {_percent(limits.length_shift)} (max_length_shift)"
            )
            yield _anomaly(after, "warning", f"mean length of '{text}' in words", f"{new['mean']:.1f}", wanted)
    unknown = unknown_words(before, after)
    if unknown > limits.unknown_words:
        wanted = _at_most(limits.unknown_words, "max_unknown_words")
        yield _anomaly(after, "warning", f"running words unknown to {against}", _percent(unknown), wanted)


def _share(n: int, rows: int) -> str:
    return f"{n} of {rows} rows ({_percent(n / rows)})"


def _at_most(share: float, limit: str) -> str:
    return f"at most {_percent(share)} ({limit})"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
