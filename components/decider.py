"""What a new span asks for: to keep the champion, to train it on, or to train anew. By numbers, all written down."""

import json
from typing import Annotated, Any

from pydantic import Field

from components import splits
from components.artifacts import Decision, Examples, Model, Statistics, Tokens
from components.base import Input, Output, Runtime, component
from components.compared import SURE, label_shift, length_shift, pool, read_span, words_distance
from data import schema

KEEP, FINE_TUNE, FULL = "keep", "fine_tune", "full"
CALIBRATION = "ece"  # of the metrics, where a task has it


@component(version=3, tensorflow=True)
def decider(
    statistics: list[Input[Statistics]],
    tokens: list[Input[Tokens]],
    examples: list[Input[Examples]],
    champion: Input[Model],
    decision: Output[Decision],
    runtime: Runtime,
    *,
    steady_words: Annotated[
        float, Field(ge=0, le=1, description="distance of the words, Jensen-Shannon, up to which nothing has moved")
    ] = 0.25,
    steady_labels: Annotated[
        float, Field(ge=0, le=1, description="shift of a label's share up to which nothing has moved")
    ] = 0.05,
    steady_length: Annotated[
        float, Field(ge=0, description="change of the mean length, as a share, up to which nothing has moved")
    ] = 0.1,
    steady_score: Annotated[
        float, Field(ge=0, description="how much worse the champion may be on the new rows than on the old")
    ] = 0.01,
    keep_steady: Annotated[
        bool, Field(description="keep the champion where nothing has moved; else new rows always train")
    ] = True,
    full_words: Annotated[
        float, Field(ge=0, le=1, description="distance of the words from which a model is trained anew")
    ] = 0.6,
    full_rows: Annotated[
        float, Field(ge=0, le=1, description="share of new rows among all from which a model is trained anew")
    ] = 0.5,
    grow_unknown: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="how much larger the share of unknown tokens may be among the new than in the span that is "
            "known best, before the vocabulary is grown",
        ),
    ] = 0.1,
    grow_by: Annotated[
        float, Field(gt=0, description="how much larger a grown vocabulary may be, as a share of the champion's")
    ] = 0.2,
    score_rows: Annotated[int, Field(gt=0, description="rows, new and old, that the champion is scored on")] = 2000,
    seed: Annotated[int, Field(ge=0, description="of the rows that are drawn, and of the intervals")] = 0,
) -> None:
    """Compares the spans that the champion has not learnt with those it has, and decides."""
    learnt = set(champion.manifest["inputs"]["tokens"])
    new = [place for place, each in enumerate(tokens) if each.fingerprint not in learnt]
    old = [place for place in range(len(tokens)) if place not in new]
    spans = [tokens[place].properties["span"] for place in new]
    numbers: dict[str, Any] = {"new_spans": spans}
    if not new:
        decision.properties.update(
            decision=KEEP, grow=False, grow_by=grow_by, reasons=["there is nothing new"], numbers=numbers
        )
    else:
        numbers |= _counted(statistics, tokens, champion, old, new, seed)
        if old:
            numbers |= _scored(examples, champion, old, new, score_rows, seed, runtime)
        steady = {"words": steady_words, "label_shift": steady_labels, "length": steady_length, "score": steady_score}
        what, reasons = decide(numbers, steady, keep_steady, full_words, full_rows)
        unknown, before = numbers["unknown_tokens"], numbers["unknown_tokens_before"]
        grow = bool(old) and unknown - before > grow_unknown
        if grow:
            shares = f"{unknown:.1%} of the new tokens are unknown, {before:.1%} of the span that is known best"
            reasons.append(
                f"{shares}, which differ by more than grow_unknown = {grow_unknown:g}: the vocabulary is to grow"
            )
            what = FINE_TUNE if what == KEEP else what
        if numbers["gone_labels"]:
            reasons.append(f"labels that no new row has: {', '.join(numbers['gone_labels'])}")
        decision.properties.update(decision=what, grow=grow, grow_by=grow_by, reasons=reasons, numbers=numbers)
    (decision.path / "decision.json").write_text(json.dumps(decision.properties, indent=1, ensure_ascii=False))


def _counted(
    statistics: list[Statistics], tokens: list[Tokens], champion: Model, old: list[int], new: list[int], seed: int
) -> dict[str, Any]:
    """What the counts of the training splits tell."""
    trains = [read_span(one)["train"] for one in statistics]
    after = pool([trains[place] for place in new])
    known = set(champion.properties["labels"])
    unknown = [(part["tokens"] * part["unknown"], part["tokens"]) for part in (_train(tokens[place]) for place in new)]
    # Words that are met once are unknown in every span: only what comes on top is for want of a larger vocabulary.
    least = min((_train(tokens[place])["unknown"] for place in old), default=0.0)
    numbers = {
        "new_rows": after.count,
        "old_rows": sum(trains[place].count for place in old),
        "new_labels": sorted(set(after.stats["labels"]) - known),
        "gone_labels": sorted(known - set(after.stats["labels"])),
        "unknown_tokens": sum(part for part, _ in unknown) / max(sum(whole for _, whole in unknown), 1),
        "unknown_tokens_before": least,
    }
    if not old:
        return numbers
    before = pool([trains[place] for place in old])
    label, shift, shift_error = label_shift(before, after)
    length, length_error = length_shift(before, after, schema.TEXT)
    words, words_by_chance = words_distance(before, after, seed)
    return {
        **numbers,
        "words": words,
        "words_by_chance": words_by_chance,
        "length": length,
        "length_by_chance": SURE * length_error,
        "label": label,
        "label_shift": shift,
        "label_shift_by_chance": SURE * shift_error,
    }


def _train(tokens: Tokens) -> dict[str, Any]:
    return tokens.properties["splits"].get("train", {"tokens": 0, "unknown": 0.0})


def _scored(
    examples: list[Examples], champion: Model, old: list[int], new: list[int], most: int, seed: int, runtime: Runtime
) -> dict[str, Any]:
    """The champion's own first metric, and calibration, on held-out rows of the old spans and of the new."""
    import numpy as np

    from models.evaluation import JUDGES

    judge = JUDGES[champion.properties["task"]]
    names = [(*judge.higher, *judge.lower)[0], *(name for name in (CALIBRATION,) if name in judge.lower)]
    train = splits.read_split(examples, "train", judge.truth)
    found: dict[str, Any] = {"metric": names[0], "metric_is_better_lower": names[0] in judge.lower}
    for which, places in (("old", old), ("new", new)):
        rows = splits.read_split(
            [examples[place] for place in places], "test", (schema.KEY, *judge.texts, *judge.truth, schema.WEIGHT)
        )
        if not len(rows):
            continue
        rows = rows.take(np.sort(np.random.default_rng(seed).permutation(len(rows))[:most]))
        answers = splits.answers_to(rows, champion, runtime.progress)
        measured = judge(answers, rows, train, champion.properties["labels"]).measure(200, seed)
        found[f"{which}_score"] = {name: measured[name] for name in names if name in measured}
    return found


def decide(
    numbers: dict[str, Any], steady: dict[str, float], keep_steady: bool, full_words: float, full_rows: float
) -> tuple[str, list[str]]:
    """The decision, and a sentence for each number that led to it."""
    if not numbers["old_rows"]:
        return FULL, ["none of the spans is one that the champion has learnt"]
    share = numbers["new_rows"] / (numbers["new_rows"] + numbers["old_rows"])
    full = []
    if numbers["words"] > max(full_words, numbers["words_by_chance"]):
        full.append(f"the words are {numbers['words']:.3f} from those learnt, over full_words = {full_words:g}")
    if share > full_rows:
        full.append(f"{share:.1%} of the rows are new, over full_rows = {full_rows:g}")
    if full:
        return FULL, full
    moved = []
    told = {
        "words": ("the words' distance is", "steady_words"),
        "length": ("the change of the mean length is", "steady_length"),
        "label_shift": (f"the share of '{numbers['label']}' moved by", "steady_labels"),
    }
    for name, (what, bound) in told.items():
        if numbers[name] > max(steady[name], numbers[f"{name}_by_chance"]):
            moved.append(f"{what} {numbers[name]:.3f}, over {bound} = {steady[name]:g}")
    if numbers["new_labels"]:
        moved.append(f"labels that the champion does not know: {', '.join(numbers['new_labels'])}")
    if worse := _worse(numbers, steady["score"]):
        moved.append(worse)
    if moved or not keep_steady:
        return FINE_TUNE, moved or ["nothing has moved, and keep_steady is false"]
    return KEEP, ["words, labels, lengths and the champion's own score are where they were"]


def _worse(numbers: dict[str, Any], tolerated: float) -> str:
    """A sentence where the champion is surely worse on the new rows: by more than is tolerated, intervals apart."""
    name, sign = numbers.get("metric", ""), -1 if numbers.get("metric_is_better_lower") else 1
    pair = [numbers.get(f"{which}_score", {}).get(name) for which in ("old", "new")]
    if None in pair:
        return ""
    old, new = pair
    apart = new["high"] < old["low"] if sign > 0 else new["low"] > old["high"]
    if apart and sign * (old["value"] - new["value"]) > tolerated:
        return f"the champion's {name} is {new['value']:.4f} on the new rows, {old['value']:.4f} on the old"
    return ""
