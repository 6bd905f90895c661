"""Content hashes of source files, with a cache of path, size and time so that a file is read once."""

import json
import os
import time
from typing import Any

import xxhash
from etils import epath

from components.artifacts import write_whole
from components.sources import REMOTE_TABLES, find_files, patterns_of
from data.errors import DataError
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
        except (FileNotFoundError, ValueError):
            self.known = {}
        self.changed = False

    def of(self, value: str | dict[str, str], span: str, where: str) -> Any:
        """Hashes of every file that a path pattern (or a table of them) matches, with what the paths tell; of a
        folder, those of the files in it that can count, by their names in it.

        where: the key that names them, for the message when none matches.
        """
        if isinstance(value, dict):
            read = patterns_of(value, span)
            return {name: self.of(pattern, span, where) for name, pattern in value.items() if pattern in read}
        if value.startswith(REMOTE_TABLES):
            return value
        if is_folder(value):
            return [[str(path.relative_to(value)), self._hash(str(path))] for path in _files(epath.Path(value))]
        return [[file.captures, self._hash(file.path)] for file in find_files(value, span, where)]

    def paths(self, value: str | dict[str, str], span: str) -> list[list[str]]:
        """[path, hash] of every file that `of` has read: where it lay, which decides nothing and is for people."""
        if isinstance(value, dict):
            return [pair for pattern in sorted(patterns_of(value, span)) for pair in self.paths(pattern, span)]
        if value.startswith(REMOTE_TABLES):
            return [[value, ""]]
        paths = map(str, _files(epath.Path(value))) if is_folder(value) else (f.path for f in find_files(value, span))
        return [[path, self._hash(path)] for path in paths]

    def _hash(self, path: str) -> str:
        try:
            entry, modified = _stamp(path)
        except FileNotFoundError:
            raise DataError(f"{path}: was there when the run began, and is gone") from None
        if (known := self.known.get(path)) and known[:-1] == entry:
            return known[-1]
        digest = xxhash.xxh3_128()
        with epath.Path(path).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        if time.time() - modified > _RACY_SECONDS:
            self.known[path] = [*entry, digest.hexdigest()]
            self.changed = True
        return digest.hexdigest()

    def save(self) -> None:
        if self.changed:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, json.dumps(self.known))


def _stamp(path: str) -> tuple[list[int], float]:
    """What tells that a file is still the same, and when it was written. A clock that is put back may give a new
    content an old time: the inode and the nanoseconds of both times are in it."""
    if "://" in path:
        remote = epath.Path(path).stat()
        return [remote.length, int(remote.mtime)], float(remote.mtime)
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino], stat.st_mtime


def _files(folder: epath.Path) -> list[epath.Path]:
    """The files of a published model or tokenizer, without pickles, READMEs and the like, which nothing reads."""
    found: list[epath.Path] = []
    for path in sorted(folder.iterdir()):
        found += _files(path) if path.is_dir() else [path] if path.suffix.startswith(COUNTED) else []
    return found
