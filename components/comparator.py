"""The champion, which is served, against the challenger, which is new: both answer the test split, and a rule decides.

Never a point estimate alone: what is looked at is the interval of the difference on the same resamples of the rows.
"""

import json
import math
from typing import Annotated, Any, Literal

from pydantic import Field

from components import splits
from components.artifacts import Comparison, Examples, Model
from components.base import Input, Output, Runtime, component
from components.slices import groups_of
from data import schema
from data.errors import ConfigError, did_you_mean

SHOWN = 3  # slices that a sentence names
SHARP = 5  # the smallest p-value that resamples can give is so many times below what the correction asks for


def check_metric(task: str, metric: str) -> list[str]:
    """What is wrong with the metric that decides, before anything runs."""
    from models.evaluation import JUDGES

    known = ("", *JUDGES[task].higher, *JUDGES[task].lower)
    return (
        [] if metric in known else [f"comparator.metric: '{task}' has no '{metric}'{did_you_mean(metric, known[1:])}"]
    )


@component(version=3, tensorflow=True)
def comparator(
    examples: list[Input[Examples]],
    model: Input[Model],
    champion: Input[Model],
    comparison: Output[Comparison],
    runtime: Runtime,
    *,
    rule: Annotated[
        Literal["not_worse", "better"],
        Field(description="what the new model must surely be, for the metric and, as not_worse, in every slice"),
    ] = "not_worse",
    metric: Annotated[str, Field(description="that decides; if empty the task's first one that can be measured")] = "",
    margin: Annotated[
        float,
        Field(ge=0, description="not_worse: how much worse it may be at most; better: how much better at least"),
    ] = 0.01,
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="of the decision")] = 0.95,
    slices: Annotated[
        list[str] | None,
        Field(description="in which it must not surely be worse, as for the evaluator; the task's own if silent"),
    ] = None,
    few_rows: Annotated[int, Field(ge=1, description="slices with fewer rows decide nothing")] = 30,
    resamples: Annotated[int, Field(gt=0, description="bootstrap resamples behind each interval")] = 1000,
    seed: Annotated[int, Field(ge=0, description="of the resamples")] = 0,
) -> None:
    """Writes `comparison.json`, and whether the challenger may take the champion's place, in sentences."""
    from models.evaluation import JUDGES
    from models.evaluation.paired import differences, mcnemar

    judge = JUDGES[model.properties["task"]]
    slices = list(judge.slices) if slices is None else slices
    test = splits.read_split(examples, "test", (schema.KEY, *judge.texts, *judge.truth, schema.WEIGHT, *slices))
    splits.check_rows(test, examples)
    train = splits.read_split(examples, "train", judge.truth)
    # A mean over classes would forgive a model the labels that it alone has never heard of: both have them all.
    labels = list(dict.fromkeys([*model.properties["labels"], *champion.properties["labels"]]))
    old, new = (_judged(judge, each, labels, test, train, runtime) for each in (champion, model))
    options: dict[str, Any] = {"resamples": resamples, "seed": seed, "confidence": confidence}
    allowed = margin if rule == "not_worse" else 0.0
    names = [*judge.higher, *judge.lower]
    whole = differences(old, new, names, margin=allowed, **options)
    metric = metric or next((name for name in names if name in whole), names[0])
    if metric not in whole:
        raise ConfigError(f"comparator.metric: '{metric}' cannot be measured on this test split; wanted one that can")
    rows = {
        f"{name} = {value}": rows
        for name in slices
        for value, rows in groups_of(name, new, test, examples)
        if len(rows) >= few_rows
    }
    parts = _in_slices(old, new, metric, rows, {**options, "margin": margin})
    takes, reasons, worse = _verdict(whole[metric], parts, rule, metric, margin, confidence)
    comparison.properties.update(
        champion=champion.fingerprint,
        challenger=model.fingerprint,
        rows=len(test),
        metric=metric,
        metrics={name: each._asdict() for name, each in whole.items()},
        takes_over=takes,
        reasons=reasons,
    )
    right = old.right(), new.right()
    exact = {"mcnemar_p": mcnemar(*right)} if all(each is not None for each in right) else {}
    slices_found = {name: {**each._asdict(), "p_worse_corrected": worse[name]} for name, each in parts.items()}
    text = json.dumps({**comparison.properties, **exact, "slices": slices_found}, indent=1, ensure_ascii=False)
    (comparison.path / "comparison.json").write_text(text)


def _in_slices(old: Any, new: Any, metric: str, rows: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The difference in each slice where it can be measured.

    A p-value is no smaller than 1 / resamples, which corrected for many slices may be above any bound: where there are
    more of them than the resamples can tell apart, those that look worse are drawn again, often enough.
    """
    from models.evaluation.paired import differences

    bound = 1 - options["confidence"]
    enough = math.ceil(SHARP * len(rows) / bound)
    parts: dict[str, Any] = {}
    for name, part in rows.items():
        found = differences(old, new, [metric], rows=part, **options)
        if metric in found and found[metric].p_worse < bound and options["resamples"] < enough:
            found = differences(old, new, [metric], rows=part, **{**options, "resamples": enough})
        parts |= {name: found[metric]} if metric in found else {}
    return parts


def _judged(judge: Any, model: Model, labels: list[str], test: Any, train: Any, runtime: Runtime) -> Any:
    """A model's answers beside the truth, its scores in the places of these labels, 0 for those it does not know."""
    import numpy as np

    answers = splits.answers_to(test, model, runtime.progress)
    own = model.properties["labels"]
    if own != labels and "scores" in answers:
        scores = np.zeros([len(test), len(labels)], answers["scores"].dtype)
        scores[:, [labels.index(label) for label in own]] = answers["scores"]
        answers = {**answers, "scores": scores}
    return judge(answers, test, train, labels)


def _verdict(
    found: Any, parts: dict[str, Any], rule: str, metric: str, margin: float, confidence: float
) -> tuple[bool, list[str], dict[str, float]]:
    """Whether the challenger takes over, why, and the corrected p-value that each slice is surely worse."""
    from models.evaluation.paired import holm

    least = -margin if rule == "not_worse" else margin
    fine = found.low >= least if rule == "not_worse" else found.low > least
    sure = f"{100 * confidence:g} %"
    moved = f"{metric} goes from {found.old:.4f} to {found.new:.4f}: {found.value:+.4f} for the better"
    interval = f"({found.low:+.4f} to {found.high:+.4f} with {sure} on each side)"
    wanted = f"at least {least:+g}" if rule == "not_worse" else f"more than {least:+g}"
    reasons = [f"{moved} {interval}; the rule '{rule}' wants {wanted} at the lower end: {'met' if fine else 'missed'}"]
    worse = holm({name: each.p_worse for name, each in parts.items()})
    bad = [name for name, p in worse.items() if p < 1 - confidence]
    if bad:
        listed = "; ".join(f"{name}: {parts[name].old:.4f} to {parts[name].new:.4f}" for name in bad[:SHOWN])
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        reasons.append(f"surely worse by more than {margin:g} in {len(bad)} of {len(parts)} slices: {listed}{more}")
    elif parts:
        reasons.append(f"in none of {len(parts)} slices surely worse by more than {margin:g}")
    return fine and not bad, reasons, worse
