"""The exported model against the test split: metrics with intervals, slices, a baseline, and a blessing or not."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field

from components import saved_model, splits
from components.artifacts import Evaluation, Examples, Model
from components.base import Input, Output, Runtime, component
from components.slices import MADE, groups_of
from data import schema
from data.errors import ConfigError, did_you_mean

WORST_TEXT = 2000  # characters of a text in worst.jsonl


@component(version=3, tensorflow=True)
def evaluator(
    examples: list[Input[Examples]],
    model: Input[Model],
    evaluation: Output[Evaluation],
    runtime: Runtime,
    *,
    at_least: Annotated[dict[str, float], Field(description="metrics the model must reach to be served")] = {},
    at_most: Annotated[dict[str, float], Field(description="metrics it must not pass: log_loss, ece")] = {},
    slices: Annotated[
        list[str] | None,
        Field(
            description="measured apart: length (thirds), unknown_words (by the share of words that no training text "
            "has), negation (English and Spanish), span, a column of example_gen.keep, or what the task can make; what "
            "the task suggests if silent, such as label"
        ),
    ] = None,
    few_rows: Annotated[int, Field(ge=0, description="slices with fewer rows are marked")] = 30,
    resamples: Annotated[int, Field(gt=0, description="bootstrap resamples behind each 95 % interval")] = 1000,
    seed: Annotated[int, Field(ge=0, description="of the resamples")] = 0,
    batch_tokens: Annotated[
        int, Field(gt=0, description="tokens of a batch, padding included")
    ] = saved_model.BATCH_TOKENS,
    worst: Annotated[int, Field(ge=0, description="how many of the worst answers worst.jsonl lists")] = 50,
) -> None:
    """Asks the exported model, as a server would, about every row of the test split, and judges its answers."""
    from models.evaluation import JUDGES

    task = model.properties["task"]
    columns = list(dict.fromkeys(name for part in examples for name in part.properties["columns"]))
    judge = JUDGES[task]
    slices = list(judge.slices) if slices is None else slices
    problems = check_thresholds(task, at_least, at_most) + check_slices(slices, (*columns, *judge.slices))
    if problems:
        raise ConfigError(*problems)
    test = splits.read_split(examples, "test", (schema.KEY, *judge.texts, *judge.truth, schema.WEIGHT, *slices))
    train = splits.read_split(examples, "train", judge.truth)
    splits.check_rows(test, examples)
    answers = splits.answers_to(test, model, runtime.progress, batch_tokens)
    judged = judge(answers, test, train, model.properties["labels"])

    metrics = judged.measure(resamples, seed)
    blessed, reasons = _against_thresholds(metrics, at_least, at_most)
    baseline, says = judged.baseline()
    evaluation.properties.update(
        rows=len(test),
        metrics=metrics,
        baseline=baseline,
        baseline_says=says,
        slices={
            name: _sliced(groups_of(name, judged, test, examples), judged, resamples, seed, few_rows) for name in slices
        },
        blessed=blessed,
        reasons=reasons,
        remarks=judged.remarks(),
    )
    _write(evaluation, judged, judged.details(resamples, seed), worst)


def check_thresholds(task: str, at_least: Mapping[str, float], at_most: Mapping[str, float]) -> list[str]:
    """One line for each threshold that makes no sense for the task. Loads nothing heavy."""
    from models.evaluation import JUDGES

    higher, lower = JUDGES[task].higher, JUDGES[task].lower
    problems = []
    for section, names, right, wrong in (("at_least", at_least, higher, lower), ("at_most", at_most, lower, higher)):
        for name in names:
            if name in wrong:
                other = "at_most" if section == "at_least" else "at_least"
                better = "lower" if section == "at_least" else "higher"
                problems.append(
                    f"evaluator.{section}.{name}: {name} is better when {better}; wanted evaluator.{other}.{name}"
                )
            elif name not in right:
                problems.append(
                    f"evaluator.{section}.{name}: {task} has no such metric{did_you_mean(name, (*higher, *lower))}"
                )
    return problems


def check_slices(slices: Iterable[str], columns: Iterable[str], stage: str = "evaluator") -> list[str]:
    """One line for each slice that a stage asks for and the examples, with these columns, do not have."""
    texts = (schema.KEY, *schema.TEXTS, schema.WEIGHT)
    known = sorted({*columns, *MADE} - {*texts})
    return [
        f"{stage}.slices: the examples have no '{name}'{did_you_mean(name, known)} (example_gen.keep keeps columns)"
        for name in slices
        if name not in known
    ]


def _against_thresholds(
    metrics: dict, at_least: Mapping[str, float], at_most: Mapping[str, float]
) -> tuple[bool, list[str]]:
    """Whether every threshold is met, and a sentence for each that is not (for each, when all are)."""
    held: list[str] = []
    broken: list[str] = []
    for section, limits in (("at_least", at_least), ("at_most", at_most)):
        for name, limit in limits.items():
            if name not in metrics:
                broken.append(
                    f"{name} cannot be measured on this test split, but evaluator.{section} asks for {limit:g}"
                )
                continue
            value, low, high = (metrics[name][k] for k in ("value", "low", "high"))
            fine = value >= limit if section == "at_least" else value <= limit
            where = "within" if fine else "below" if section == "at_least" else "above"
            found = f"{name} is {value:.4f} (95 % interval {low:.4f} to {high:.4f})"
            (held if fine else broken).append(f"{found}, {where} evaluator.{section} = {limit:g}")
    return not broken, broken or held or [
        "no threshold is set in evaluator.at_least or at_most, so any model may be served"
    ]


def _sliced(groups: list, judged: Any, resamples: int, seed: int, few_rows: int) -> dict[str, dict]:
    """Metrics and rows of each value of a slice; `few` marks those whose figures say little."""
    measured = {}
    for value, rows in groups:
        few = {"few": True} if len(rows) < few_rows else {}
        measured[value] = {**judged.measure(resamples, seed, rows), "rows": len(rows), **few}
    return measured


def _write(evaluation: Evaluation, judged: Any, details: dict[str, Any], worst: int) -> None:
    import numpy as np
    import pyarrow.parquet as pq

    from models.plots import save

    table = judged.table()
    with (evaluation.path / "predictions.parquet").open("wb") as file:
        pq.write_table(table, file, compression="lz4")
    order = np.lexsort((table.column(schema.KEY).to_numpy(), -judged.loss))[:worst]
    rows = table.take(order).to_pylist()
    texts = (
        judged.examples.take(order).select([n for n in judged.texts if n in judged.examples.column_names]).to_pylist()
    )
    lines = [
        {**row, **{name: text[:WORST_TEXT] for name, text in full.items()}}
        for row, full in zip(rows, texts, strict=True)
    ]
    (evaluation.path / "worst.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    for name, figure in judged.figures().items():
        save(figure, evaluation.path / name)
    text = json.dumps({**evaluation.properties, **details}, indent=1, ensure_ascii=False)
    (evaluation.path / "metrics.json").write_text(text)
