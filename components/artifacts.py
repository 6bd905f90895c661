"""Artifacts: directories that are whole only when their `manifest.json`, written last, says so.

A file the manifest does not name does not exist, so a killed run leaves nothing that looks whole.
Paths go through `etils.epath`, so a home on gs:// works as a local one does: no folder is renamed.

Checksums are compared where an artifact is used, not where it is found: `verify` reads each input of a stage that is
about to run, which reads it anyway, and a run with nothing to do reads manifests alone.
"""

import json
import os
from pathlib import Path
from typing import Any, Self

import xxhash
from etils import epath

import data.remote  # noqa: F401  (every stage and every worker comes by here: remote paths open as Python files)
from data.errors import StageError

MANIFEST = "manifest.json"
SEAL = "seal"  # checksum of all the rest of a manifest
SCRATCH = "scratch"  # inside an artifact that is not whole yet: checkpoints, kept over a crash


class Artifact:
    """A directory that one stage wrote. `properties` is what later stages read of it without opening files."""

    def __init__(self, path: epath.PathLike, manifest: dict[str, Any] | None = None):
        self.path = epath.Path(path)
        self.manifest = manifest or {}
        self.properties: dict[str, Any] = self.manifest.get("properties", {})

    @property
    def fingerprint(self) -> str:
        return self.path.name

    @property
    def identity(self) -> str:
        """What stands for it in the fingerprints of the stages that read it."""
        return self.fingerprint

    @property
    def scratch(self) -> epath.Path:
        return self.path / SCRATCH

    def files(self, prefix: str, suffix: str = "") -> list[str]:
        """Full paths of the manifest's files below `prefix`, sorted by name."""
        names = sorted(n for n in self.manifest["files"] if n.startswith(prefix) and n.endswith(suffix))
        return [str(self.path / name) for name in names]

    @classmethod
    def load(cls, path: epath.PathLike) -> "Self | None":
        """The artifact at `path`, or None where there is no whole one (or what it put elsewhere is gone).

        Property `external`: lists of paths, one of which must exist in each list. Raises StageError when a whole
        manifest is not as it was written.
        """
        try:
            manifest = json.loads((epath.Path(path) / MANIFEST).read_text())
        except (FileNotFoundError, ValueError):  # half a manifest is no manifest, cut inside a letter too
            return None
        if manifest.get(SEAL, "") not in ("", seal(manifest)):
            raise StageError(f"{epath.Path(path) / MANIFEST}: its content is not what was written; {_todo(path)}")
        external = manifest["properties"].get("external", ())
        if not all(any(epath.Path(place).exists() for place in either) for either in external):
            return None
        return cls(path, manifest)

    def clear(self) -> None:
        """Removes what an attempt that did not finish has left, but for its scratch directory."""
        self.path.mkdir(parents=True, exist_ok=True)
        for entry in self.path.iterdir():
            if entry.name != SCRATCH:
                entry.rmtree() if entry.is_dir() else entry.unlink()

    def commit(self, **record: Any) -> None:
        """Lists every file with size and checksum, drops the scratch directory, writes the manifest last."""
        if self.scratch.exists():
            self.scratch.rmtree()
        files = {name: _checksum(path) for name, path in sorted(_walk(self.path))}
        self.manifest = {**record, "properties": self.properties, "files": files}
        self.manifest = json.loads(json.dumps(self.manifest))  # as it will be read: keys are strings
        self.manifest[SEAL] = seal(self.manifest)
        write_whole(self.path / MANIFEST, json.dumps(self.manifest, indent=1, ensure_ascii=False))

    def damage(self, prefix: str = "", copy: epath.Path | None = None, but: str = "") -> list[str]:
        """What is not as it was committed, a sentence each: reads every file that the manifest names.

        copy: where a copy of the files below `prefix` lies, which is read instead of them; but: a file of it that
        may differ.
        """
        problems = []
        for name, wanted in self.manifest["files"].items():
            inside = name.removeprefix(prefix)
            if not name.startswith(prefix) or inside == but:
                continue
            path = (copy or self.path / prefix) / inside
            try:
                got = _checksum(path)
            except FileNotFoundError:
                problems.append(f"{path}: is gone")
                continue
            if got != wanted:
                said, meant = (f"{each['bytes']} bytes with xxh3 {each['xxh3']}" for each in (got, wanted))
                problems.append(f"{path}: got {said}; wanted {meant}, as the manifest says")
        return problems

    def verify(self) -> None:
        """Raises StageError with every damage; costs one read of the artifact."""
        if problems := self.damage():
            raise StageError("\n".join([*problems, _todo(self.path)]))


class Examples(Artifact):
    """Parquet shards `<split>/<file>-<start>.parquet` and `rejects/*.jsonl`. Properties: counts, labels, span."""

    def shards(self, split: str) -> list[str]:
        return self.files(f"{split}/", ".parquet")


class Statistics(Artifact):
    """`statistics.json` and `words/<split>.parquet`: what one pass over the examples of a span counted."""


class Schema(Artifact):
    """`schema.toml`: what an example must look like. Properties: labels."""


class Anomalies(Artifact):
    """`anomalies.json`: where the data differs from the schema or from earlier spans."""


class TokenizerFiles(Artifact):
    """A saved tokenizer, in its published format."""


class Tokens(Artifact):
    """The token store: Arrow IPC shards `<split>/*.arrow`. Properties: labels, lengths, coverage."""

    def shards(self, split: str) -> list[str]:
        return self.files(f"{split}/", ".arrow")


class Pretrained(Artifact):
    """What the trainer starts from, as others publish it, and `report.json`. Properties: start (its name), report."""


class Model(Artifact):
    """`saved_model/`, `weights.npz`, `history.csv`, `tensorboard/`. Properties: all that later stages need."""


class Evaluation(Artifact):
    """`metrics.json`, `predictions.parquet` and plots. Properties: metrics, blessed, reasons."""


class Comparison(Artifact):
    """`comparison.json`: the champion against the challenger. Properties: takes_over, reasons, metrics."""


class Decision(Artifact):
    """`decision.json`: how a new span differs from what the champion learnt. Properties: decision, reasons, numbers."""


class Guard(Artifact):
    """`signatures.parquet` of a span's test rows, `leaks.parquet`: rows too like earlier test rows.

    It is known by its content: where an earlier span changes, those after it are looked through again, but only where
    that finds something else is anything made of it again.
    """

    @property
    def identity(self) -> str:
        return xxhash.xxh3_128_hexdigest(json.dumps(self.manifest["files"], sort_keys=True).encode())[:16]


class Validation(Artifact):
    """`infra.json`: whether the exported model loads and answers where it will be served."""


class Pushed(Artifact):
    """Where the model was put to be served. Properties: model, version, path."""


class Index(Artifact):
    """An index of documents: see search_index.py. Properties: documents, rejected, and metrics where it is judged."""


class Predictions(Artifact):
    """Answers for a whole file, as JSONL or Parquet shards."""


def write_whole(path: epath.Path, text: str) -> None:
    """Writes a small file so that a reader, or who comes after a crash or a full disk, sees the old one or the new."""
    if "://" in str(path):  # an object appears when it is closed
        path.write_text(text)
        return
    part = Path(path).with_name(f".{path.name}.part")
    try:
        part.write_text(text)
        try:
            os.replace(part, path)
        except PermissionError:  # a file system that cannot rename
            path.write_text(text)
    finally:
        part.unlink(missing_ok=True)


def _todo(path: epath.PathLike) -> str:
    return f"put it back as it was, or remove {path} and run the same command: it is made again"


def seal(manifest: dict[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != SEAL}
    return xxhash.xxh3_128_hexdigest(json.dumps(rest, sort_keys=True).encode())


def _walk(directory: epath.Path, prefix: str = ""):
    for entry in directory.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name != MANIFEST:
            yield prefix + entry.name, entry


def _checksum(path: epath.Path) -> dict[str, Any]:
    digest, size = xxhash.xxh3_128(), 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return {"bytes": size, "xxh3": digest.hexdigest()}
