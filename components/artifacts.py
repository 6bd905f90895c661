"""Artifacts: directories that are whole only when their `manifest.json`, written last, says so.

A file the manifest does not name does not exist, so a killed run leaves nothing that looks whole.
Paths go through `etils.epath`, so a home on gs:// works as a local one does: nothing is renamed.
"""

import json
from typing import Any, Self

import xxhash
from etils import epath

import data.remote  # noqa: F401  (every stage and every worker comes by here: remote paths open as Python files)

MANIFEST = "manifest.json"
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
    def scratch(self) -> epath.Path:
        return self.path / SCRATCH

    def files(self, prefix: str, suffix: str = "") -> list[str]:
        """Full paths of the manifest's files below `prefix`, sorted by name."""
        names = sorted(n for n in self.manifest["files"] if n.startswith(prefix) and n.endswith(suffix))
        return [str(self.path / name) for name in names]

    @classmethod
    def load(cls, path: epath.PathLike) -> "Self | None":
        """The artifact at `path`, or None where there is no whole one (or what it put elsewhere is gone).

        Property `external`: lists of paths, one of which must exist in each list.
        """
        try:
            manifest = json.loads((epath.Path(path) / MANIFEST).read_text())
        except (FileNotFoundError, json.JSONDecodeError):  # half a manifest is no manifest
            return None
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
        text = json.dumps(self.manifest, indent=1, sort_keys=True, ensure_ascii=False)
        (self.path / MANIFEST).write_text(text)


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
    """`signatures.parquet` of a span's test rows, `leaks/*.parquet`: keys of rows too like earlier test rows."""


class Validation(Artifact):
    """`infra.json`: whether the exported model loads and answers where it will be served."""


class Pushed(Artifact):
    """Where the model was put to be served. Properties: model, version, path."""


class Predictions(Artifact):
    """Answers for a whole file, as JSONL or Parquet shards."""


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
