"""A bucket for tests: `gs://` paths kept in a local folder, by TensorFlow's own files, with an object store's manners.

An object is there once its file is closed, is written from its beginning to its end, and is never renamed.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from etils.epath import backend


class Bucket:
    """Every `gs://` path is a file below `root`."""

    def __init__(self, root: Path):
        self.root, self.uploads = root / "objects", root / "uploads"
        self.root.mkdir()
        self.uploads.mkdir()
        self.files = backend._TfBackend()

    def __getattr__(self, name: str) -> Callable:
        call = getattr(self.files, name)
        return lambda path, *args, **kwargs: call(self.file(path), *args, **kwargs)

    def file(self, path: Any) -> str:
        assert os.fspath(path).startswith("gs://"), path
        return os.fspath(path).replace("gs://", f"{self.root}/", 1)

    @contextlib.contextmanager
    def open(self, path: Any, mode: str) -> Iterator[Any]:
        if mode[0] == "r":
            with self.files.open(self.file(path), mode) as file:
                yield file
            return
        upload = self.uploads / uuid.uuid4().hex
        with self.files.open(str(upload), mode) as file:
            yield file
        shutil.copyfile(upload, self.file(path))

    def glob(self, path: Any) -> list[str]:
        return [found.replace(f"{self.root}/", "gs://", 1) for found in self.files.glob(self.file(path))]

    def copy(self, path: Any, dst: Any, overwrite: bool = False) -> None:
        self.files.copy(self.file(path), self.file(dst), overwrite=overwrite)

    def rename(self, path: Any, dst: Any) -> None:
        raise PermissionError(f"{path}: an object cannot be renamed")

    replace = rename


@pytest.fixture
def bucket(tmp_path_factory, monkeypatch) -> Path:
    """Makes `gs://` a local folder for a test, and gives that folder."""
    store = Bucket(tmp_path_factory.mktemp("bucket"))
    monkeypatch.setattr(backend, "tf_backend", store)
    monkeypatch.setattr("etils.epath.gpath._is_zonal_gcs_bucket", lambda name: False)
    return store.root
