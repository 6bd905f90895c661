"""Remote paths (`gs://`, ...) that open as whole Python files; importing this makes `epath.Path` give them.

epath reads Google Cloud Storage through TensorFlow, whose files lack what Arrow, gzip and zipfile ask of one
(`closed`, `readable`, `readinto`, ...) and whose errors are no OSErrors. Local paths stay epath's own.
"""

import contextlib
import errno
import io
from collections.abc import Callable, Iterator
from typing import IO, Any

from etils import epath
from etils.epath import gpath

BUFFER_BYTES = 1 << 20
SCHEMES = ("gs://", "s3://", "az://")


def is_folder(path: str) -> bool:
    """Whether a path, local or remote, is a folder; False for what has another scheme."""
    if "://" in path and not path.startswith(SCHEMES):
        return False
    return epath.Path(path).is_dir()


@epath.register_path_cls(SCHEMES)
class RemotePath(gpath.PosixGPath):
    """A path of epath's whose files are Python's and whose errors are OSErrors."""

    @property
    def _backend(self) -> Any:
        return _Backend(super()._backend)

    def open(self, mode: str = "r", *, encoding: str | None = None, **unsupported: Any) -> IO[Any]:
        """Opens in mode r, rb, w or wb; what is written is there once the file is closed, not before."""
        if mode not in ("r", "rb", "w", "wb") or unsupported:
            raise ValueError(f"{self}: got mode {mode!r} and {unsupported}; wanted r, rb, w or wb of a remote file")
        if mode[0] == "r" and not self.exists():
            raise FileNotFoundError(errno.ENOENT, "no such file", str(self))
        with _os_errors(str(self)):
            raw = _Raw(super().open(mode[0] + "b"), str(self), mode[0] == "w")
        buffered = (io.BufferedWriter if mode[0] == "w" else io.BufferedReader)(raw, BUFFER_BYTES)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8")


class _Backend:
    """epath's backend with every error an OSError."""

    def __init__(self, backend: Any):
        self._wrapped = backend

    def __getattr__(self, name: str) -> Callable:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            with _os_errors(str(path)):
                return getattr(self._wrapped, name)(path, *args, **kwargs)

        return call


class _Raw(io.RawIOBase):
    """The bytes of a file that can read, write, seek and tell, and no more."""

    def __init__(self, opened: Any, path: str, writes: bool):
        self._opened, self._path, self._writes = opened, path, writes
        self._file = opened.__enter__()  # TensorFlow's backend gives a context manager, others a file

    def readable(self) -> bool:
        return not self._writes

    def writable(self) -> bool:
        return self._writes

    def seekable(self) -> bool:
        return not self._writes  # an object is written from its beginning to its end

    def readinto(self, buffer: Any) -> int:
        with _os_errors(self._path):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        with _os_errors(self._path):
            self._file.write(bytes(data))
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _os_errors(self._path):
            self._file.seek(offset, whence)
            return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            super().close()
            with _os_errors(self._path):
                self._opened.__exit__(None, None, None)


@contextlib.contextmanager
def _os_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(errno.EIO, str(error) or type(error).__name__, path) from error
