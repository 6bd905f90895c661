"""Content hashes of source files, with a cache of path, size and time so that a file is read once."""

import json
import time
from typing import Any

import xxhash
from etils import epath

from components.sources import REMOTE_TABLES, find_files
from data.remote import is_folder

_RACY_SECONDS = 2  # a file written this shortly before it was hashed may change again within its time stamp
# Files of a folder that are read, by how their suffixes begin: presets, tokenizers, ELMo's weights, SavedModels.
COUNTED = (".json", ".txt", ".model", ".spm", ".safetensors", ".h5", ".hdf5", ".npz", ".pb", ".index", ".data-")


class SourceHashes:
    """Hashes by path, kept in `<home>/source_hashes.json`; a damaged or missing cache only costs reading again."""

    def __init__(self, home: epath.Path):
        self.path = home / "source_hashes.json"
        try:
            self.known: dict[str, list] = json.loads(self.path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            self.known = {}
        self.changed = False

    def of(self, value: str | dict[str, str], span: str, where: str) -> Any:
        """Hashes of every file that a path pattern (or a table of them) matches, with what the paths tell; of a
        folder, those of the files in it that can count, by their names in it.

        where: the key that names them, for the message when none matches.
        """
        if isinstance(value, dict):
            return {name: self.of(pattern, span, where) for name, pattern in value.items()}
        if value.startswith(REMOTE_TABLES):
            return value
        if is_folder(value):
            return [[str(path.relative_to(value)), self._hash(str(path))] for path in _files(epath.Path(value))]
        return [[file.captures, self._hash(file.path)] for file in find_files(value, span, where)]

    def _hash(self, path: str) -> str:
        stat = epath.Path(path).stat()
        entry = [stat.length, stat.mtime]
        if (known := self.known.get(path)) and known[:2] == entry:
            return known[2]
        digest = xxhash.xxh3_128()
        with epath.Path(path).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        if time.time() - stat.mtime > _RACY_SECONDS:
            self.known[path] = [*entry, digest.hexdigest()]
            self.changed = True
        return digest.hexdigest()

    def save(self) -> None:
        if self.changed:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.known))


def _files(folder: epath.Path) -> list[epath.Path]:
    """The files of a published model or tokenizer, without pickles, READMEs and the like, which nothing reads."""
    found: list[epath.Path] = []
    for path in sorted(folder.iterdir()):
        found += _files(path) if path.is_dir() else [path] if path.suffix.startswith(COUNTED) else []
    return found
