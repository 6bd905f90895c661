"""`polisemia retrain`: from a new span of data to a decision, and to a better model or a reason why not.

The champion is the model that is served. Its tokenizer stays, so that the spans it has learnt need not be read again.
What the decider says decides how a challenger is trained; the comparator, whether it takes the champion's place.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from etils import epath

from components.artifacts import Model, TokenizerFiles
from components.base import Runtime
from components.decider import FULL, KEEP
from components.versions import ORIGIN, REPLACES, lineage, served_now
from data.errors import StageError
from pipeline.config import Config
from pipeline.graph import CHAMPION, WARM
from pipeline.history import latest, unfinished, used
from pipeline.runner import Run
from pipeline.served import served_folder


def retrain(
    config: Config,
    home: epath.Path,
    runtime: Runtime,
    on_stage: Callable[[str, str], None] = lambda stage, span: None,
) -> dict[str, Any]:
    """Decides, trains and compares as the new spans ask for, and writes and returns the run's record.

    Its `retrain` says what was decided, by which numbers, what the comparison found and, in one sentence, what came of
    it. Where nothing is served yet this is a first run. Raises what stages raise, StageError where the champion's
    artifact is gone.
    """
    job = Run(config, home, runtime, on_stage)
    champion = find_champion(job.root, config.path)
    if champion is None:
        first = job.to(write=False).record()
        told = {"decision": "first", "reasons": ["nothing was served before"], "pushed": first["served"] is not None}
        record = {**first, "retrain": told}
        job.finish(record)
        return record
    tokenizer = tokenizer_of(job.root, champion)
    job.given[CHAMPION] = champion
    job.pinned["tokenizer_gen"] = tokenizer
    job.to("decider", write=False)
    (decided,) = job.artifacts("decider")
    decision = decided.artifact.properties
    told = {"champion": champion.fingerprint, **{name: decision[name] for name in ("decision", "grow", "reasons")}}
    if decision["decision"] == KEEP:
        told |= {"pushed": False, "verdict": "the champion stays: " + "; ".join(decision["reasons"])}
        record = {**job.record(), "served": served_now(_served(job.root)), "retrain": told}
        job.finish(record)
        return record
    published = any(config.sections["tokenizer_gen"][name] for name in ("files", "preset"))
    told["grow"] = grow = decision["grow"] and not published
    if decision["grow"] and published:
        told["reasons"] = [*decision["reasons"], "it is a published one, which stays as it is"]
    anew = decision["decision"] == FULL
    again = Run(config, home, runtime, on_stage, {CHAMPION: champion}, made=_shared(job, anew or grow))
    if not anew:
        again.config = replace(config.warm, path=config.path) if config.warm else config
        again.given[WARM] = champion
        if grow:
            again.config = with_room(again.config, tokenizer, decision["grow_by"])
        else:
            again.pinned["tokenizer_gen"] = tokenizer
    again.to(write=False)
    (compared,) = again.artifacts("comparator")
    found = compared.artifact.properties
    told |= {"comparison": {name: found[name] for name in ("takes_over", "metric", "metrics", "reasons")}}
    record = again.record()
    served = record["served"] or served_now(_served(again.root))
    told["pushed"] = served[ORIGIN] == found["challenger"]
    reasons = found["reasons"]
    if found["takes_over"] and not told["pushed"]:
        own = served.get("pushed")
        withdrawn = f"the challenger was served before, as version {own}, and is not pushed again"
        reasons = [withdrawn] if own else record["evaluation"]["reasons"]
    told["verdict"] = f"the {'challenger takes over' if told['pushed'] else 'champion stays'}: {'; '.join(reasons)}"
    record = {**record, "served": served, "retrain": told}
    again.finish(record)
    return record


def find_champion(root: epath.Path, config: str) -> Model | None:
    """The artifact of the model that is served; None where nothing is. Raises StageError where it is gone.

    Where a retrain of this config was killed when it had pushed and had no record yet, it is the model before that one:
    the same command then ends as it would have.
    """
    served = served_folder(root) if root.exists() else None
    if served is None:
        return None
    versions = {version.number: version for version in lineage(served)}
    version = versions[served_now(served)["version"]]
    going_on = unfinished(root).get(config, {"stages": {}})
    pushed = "comparator" in going_on["stages"] and ("trainer", version.origin) in used(going_on)
    if pushed and ("trainer", version.origin) not in used(latest(root)):  # else it was killed with its record written
        version = versions[version.record[REPLACES]]
    champion = Model.load(root / "trainer" / version.origin)
    if champion is None:
        raise StageError(
            f"retrain: {served} serves a model whose artifact {root / 'trainer' / version.origin} is gone; wanted it, "
            "to start from and to compare with; `polisemia run` trains and serves anew"
        )
    return champion


def tokenizer_of(root: epath.Path, champion: Model) -> TokenizerFiles:
    (fingerprint,) = champion.manifest["inputs"]["tokenizer"]
    tokenizer = TokenizerFiles.load(root / "tokenizer_gen" / fingerprint)
    if tokenizer is None:
        raise StageError(
            f"retrain: the champion's tokenizer {root / 'tokenizer_gen' / fingerprint} is gone; wanted it, to read new "
            "spans as it reads; `polisemia run` trains and serves anew"
        )
    return tokenizer


def _served(root: epath.Path) -> epath.Path:
    folder = served_folder(root)
    assert folder is not None
    return folder


def with_room(config: Config, tokenizer: TokenizerFiles, grow_by: float) -> Config:
    """The config with a vocabulary as large as it says, but at least larger by `grow_by` than this tokenizer's."""
    section = config.sections["tokenizer_gen"]
    size = max(section["vocabulary_size"], math.ceil(tokenizer.properties["size"] * (1 + grow_by)))
    return replace(config, sections={**config.sections, "tokenizer_gen": {**section, "vocabulary_size": size}})


def _shared(job: Run, tokens_anew: bool) -> list:
    """The stages of the first half that the second need not do again: all, or those before the tokenizer."""
    stages = [run.stage for run in job.made]
    before = stages.index("tokenizer_gen") if tokens_anew else len(stages)
    return [run for run in job.made[:before] if run.stage != "decider"] + job.artifacts("decider")
