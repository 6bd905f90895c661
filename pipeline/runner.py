"""Runs the graph: finds what is whole already, makes what is not, and writes down what happened."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version as installed
from typing import Any

import xxhash
from etils import epath

from components.artifacts import Artifact
from components.base import Runtime
from components.sources import find_spans, in_window
from components.versions import ORIGIN, served_now
from data.errors import StageError
from pipeline.config import Config
from pipeline.graph import CHAMPION, GRAPH, WARM, Node
from pipeline.history import begin, end, write_record
from pipeline.home import disk_errors
from pipeline.sources import SourceHashes

JUDGED = ("documents", "rejected", "queries", "metrics")  # of an index, what a record tells


@dataclass
class StageRun:
    """What became of one stage (of one span) in a run."""

    stage: str
    span: str
    artifact: Artifact
    seconds: float
    cached: bool

    def entry(self) -> dict[str, Any]:
        return {
            "artifact": str(self.artifact.path),
            "fingerprint": self.artifact.fingerprint,
            "span": self.span,
            "seconds": round(self.seconds, 3),
            "cached": self.cached,
        }


@dataclass
class Run:
    """A run of a config under a home. `made` fills up stage by stage, in graph order.

    given: what no stage makes, CHAMPION and WARM. pinned: what stands for stages that are not run, by their names.
    """

    config: Config
    home: epath.Path
    runtime: Runtime
    on_stage: Callable[[str, str], None] = lambda stage, span: None
    given: dict[str, Artifact] = field(default_factory=dict)
    pinned: dict[str, Artifact] = field(default_factory=dict)
    made: list[StageRun] = field(default_factory=list)
    verified: set[str] = field(default_factory=set)  # artifacts whose bytes are known to be as they were written

    @property
    def root(self) -> epath.Path:
        return self.home / self.config.name

    def artifacts(self, stage: str) -> list[StageRun]:
        return [run for run in self.made if run.stage == stage]

    def to(self, until: str = "", write: bool = True) -> "Run":
        """Makes every stage up to `until` (all of them when empty) and writes the run's record, if asked to."""
        with disk_errors(self.root):
            self._to(until)
            if write:
                self.finish(self.record())
        return self

    def finish(self, record: dict[str, Any]) -> None:
        """Writes the record: the run is at its end."""
        if self.runtime.is_chief:
            write_record(self.root, record)
            end(self.root, self.config.path)

    def _to(self, until: str) -> None:
        hashes = SourceHashes(self.home)
        done = {(run.stage, run.span) for run in self.made}  # of the same run, as far as it was asked for before
        for node in GRAPH:
            if not self._skips(node):
                spans = (self.window if node.windowed else self.spans) if node.by_span else [""]
                for span in spans:  # one by one: a span's stage may read what it has made of the spans before
                    if (node.name, span) not in done:
                        self.made.append(self._stage(node, span, hashes))
            if node.name == until:
                break
        hashes.save()

    def _skips(self, node: Node) -> bool:
        asked = not node.optional or node.name in self.config.given
        return not asked or (node.guards and self.spans == [""]) or (node.against and CHAMPION not in self.given)

    @cached_property
    def spans(self) -> list[str]:
        """Every span of the input, oldest first; [""] where it has none."""
        pattern = self.config.sections["example_gen"]["input"]
        return find_spans(pattern if isinstance(pattern, str) else pattern["train"])

    @cached_property
    def window(self) -> list[str]:
        """The spans that are trained on."""
        return in_window(self.spans, self.config.sections["example_gen"]["spans"])

    def _stage(self, node: Node, span: str, hashes: SourceHashes) -> StageRun:
        started = time.monotonic()
        if node.name in self.pinned:
            return StageRun(node.name, span, self.pinned[node.name], 0.0, True)
        params = self._params(node, span)
        inputs = self._inputs(node, span)
        facts = _facts(node, params, inputs, hashes, span)
        path = self.root / node.name / _fingerprint(facts, inputs)
        try:
            artifact = node.stage.kind.load(path)
        except OSError as error:
            raise StageError(f"{node.name}: cannot read {path}: {error.strerror or error}") from error
        if artifact:
            return StageRun(node.name, span, artifact, time.monotonic() - started, True)
        self._claim_devices()
        self.on_stage(node.name, span)
        if not self.runtime.is_chief and node.name != "trainer":
            artifact = _wait_for(node, path)
        else:
            paths = {name: hashes.paths(params[name], span) for name in facts["sources"]}
            artifact = self._make(node, path, params, inputs, facts | {"recorded": {"paths": paths}})
        return StageRun(node.name, span, artifact, time.monotonic() - started, False)

    def _claim_devices(self) -> None:
        """Makes a strategy that must exist before TensorFlow's first operation; the trainer gets the same one."""
        params = self.config.sections["trainer"]
        early = params["strategy"] in ("multi_worker", "tpu") or params["cpu_devices"] > 1
        if early or (params["strategy"] == "auto" and os.environ.get("TF_CONFIG")):
            from models.strategy import create

            create(params["strategy"], params["cpu_devices"])

    def _make(self, node: Node, path: epath.Path, params: dict, inputs: dict, facts: dict) -> Artifact:
        stage, artifact = node.stage, node.stage.kind(path)
        if self.runtime.is_chief:
            begin(self.root, self.config.path, self._stages({node.name: [{"fingerprint": artifact.fingerprint}]}))
            artifact.clear()
        runtime = {"runtime": self.runtime} if stage.takes_runtime else {}
        try:
            for value in inputs.values():
                for each in _each(value):
                    self._verify(node.name, each)
            stage.function(**inputs, **{stage.output: artifact}, **runtime, **params)
        except OSError as error:
            place = error.filename2 or error.filename or path
            raise StageError(f"{node.name}: {error.strerror or error} ({place})") from error
        except Exception as error:
            if type(error).__module__.startswith("tensorflow.") and str(path) in str(error):  # of its own file system
                raise StageError(f"{node.name}: {' '.join(str(error).split())[:500]}") from error
            raise
        if not self.runtime.is_chief:
            return artifact
        recorded = {name: params[name] for name in stage.recorded} | {"beam": dict(self.runtime.beam)}
        artifact.commit(**{**facts, "recorded": recorded | facts["recorded"]})
        return artifact

    def _verify(self, stage: str, artifact: Artifact) -> None:
        """Raises StageError when an input is not as it was written; one that this run has read or made already is."""
        if str(artifact.path) in self.verified:
            return
        try:
            artifact.verify()
        except StageError as error:
            raise StageError(f"{stage}: an input of it is damaged\n{error}") from error
        self.verified.add(str(artifact.path))

    def _params(self, node: Node, span: str) -> dict[str, Any]:
        params = dict(self.config.sections[node.name])
        if "span" in node.stage.params.model_fields:
            params["span"] = span
        return params

    def _inputs(self, node: Node, span: str) -> dict[str, Any]:
        inputs: dict[str, Any] = {}
        for name, spec in node.stage.inputs.items():
            if node.inputs[name] in (CHAMPION, WARM):
                inputs[name] = self.given.get(node.inputs[name])
                continue
            runs = self.artifacts(node.inputs[name])
            if not node.by_span:
                found = [run.artifact for run in runs if not run.span or run.span in self.window]
            elif spec.many:
                found = [run.artifact for run in runs if self.spans.index(run.span) < self.spans.index(span)]
            else:
                found = [run.artifact for run in runs if run.span in ("", span)]
            inputs[name] = found if spec.many else found[0] if found else None
        return inputs

    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = {"name": self.config.name, "task": self.config.task, "config": self.config.path}
        if leaks := {run.span: _leaks(run.artifact) for run in self.artifacts("split_guard") if _leaks(run.artifact)}:
            record["leaks"] = leaks
        for run in self.artifacts("evaluator"):
            record["evaluation"] = run.artifact.properties
        for run in self.artifacts("pusher"):
            record["served"] = self._served(run.artifact.properties.get("served"))
        for run in self.artifacts("search"):
            judged = {name: run.artifact.properties[name] for name in JUDGED if name in run.artifact.properties}
            record["search"] = {"path": str(run.artifact.path), **judged}
        return {**record, "stages": self._stages({})}

    def _stages(self, more: dict[str, list]) -> dict[str, list]:
        """The entries of what is made so far, and `more` behind them."""
        stages: dict[str, list] = {}
        for run in self.made:
            stages.setdefault(run.stage, []).append(run.entry())
        return stages | {stage: stages.get(stage, []) + entries for stage, entries in more.items()}

    def _served(self, pushed: dict[str, Any] | None) -> dict[str, Any] | None:
        """The newest version: after a rollback it is not the one that this run's model was pushed as (`pushed`)."""
        if pushed is None:
            return None
        served = served_now(epath.Path(pushed["path"]).parent)
        (trained,) = self.artifacts("trainer")
        other = served.get(ORIGIN) != trained.artifact.fingerprint
        return {**served, "pushed": pushed["version"]} if other else served


def _leaks(guard: Artifact) -> dict[str, int]:
    """How many rows of a span are not trained on, since an earlier test split has them, or nearly."""
    return {name: guard.properties[name] for name in ("exact", "near") if guard.properties[name]}


def _fingerprint(facts: dict[str, Any], inputs: dict[str, Any]) -> str:
    """The hash of all that decides what a stage makes."""
    identities = {name: [artifact.identity for artifact in _each(value)] for name, value in inputs.items()}
    return xxhash.xxh3_128_hexdigest(json.dumps(facts | {"inputs": identities}, sort_keys=True).encode())[:16]


def _each(value: Artifact | list[Artifact] | None) -> list[Artifact]:
    return value if isinstance(value, list) else [value] if value else []


def _facts(node: Node, params: dict, inputs: dict, hashes: SourceHashes, span: str) -> dict[str, Any]:
    """All that decides what the stage makes."""
    stage = node.stage
    defaults = {name: info.default for name, info in stage.params.model_fields.items()}
    counted = {
        n: v for n, v in params.items() if n not in stage.recorded and n not in stage.sources and v != defaults[n]
    }
    facts: dict[str, Any] = {"stage": stage.name, "version": stage.version, "params": counted}
    facts["inputs"] = {name: [artifact.fingerprint for artifact in _each(value)] for name, value in inputs.items()}
    facts["sources"] = {
        name: hashes.of(params[name], span, f"{stage.name}.{name}") for name in sorted(stage.sources) if params[name]
    }
    if stage.tensorflow:
        facts["libraries"] = {name: ".".join(installed(name).split(".")[:2]) for name in ("tensorflow", "keras")}
    return facts


def _wait_for(node: Node, path: epath.Path) -> Artifact:
    """What a training worker that is not the chief does: it lets worker 0 make the stage."""
    while not (artifact := node.stage.kind.load(path)):
        time.sleep(0.5)
    return artifact
