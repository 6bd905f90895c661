"""TensorFlow's import as a command wants it: without its first words, and without libraries that nothing here uses.

TensorFlow prints a dozen lines before it reads its own log level. Keras, which it loads, and KerasHub take scikit-learn
and matplotlib along where they are there, for wrappers and plots that nothing here uses: a third of the time of the
import, and 90 MB in every process.
"""

import os
import sys
import tempfile
import threading
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

LOADED = ("tensorflow", "keras", "keras_hub")
NOT_NEEDED = ("sklearn", "matplotlib")


class _LeanImport(MetaPathFinder):
    """Finds TensorFlow and Keras as Python would; while they load, what only they would use is not found."""

    def __init__(self, quiet: bool):
        self._quiet = quiet
        self._now = threading.local()  # other threads find everything

    def find_spec(self, name, path=None, target=None):
        loading = getattr(self._now, "loading", False)
        if loading and name in NOT_NEEDED:
            raise ModuleNotFoundError(f"{name}: not loaded along with Keras", name=name)
        if loading or name not in LOADED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: self._load(load, module)  # type: ignore[method-assign]
        return spec

    def _load(self, load, module) -> None:
        self._now.loading = True
        try:
            _held(load, module) if self._quiet else load(module)
        finally:
            self._now.loading = False


def _held(load, module) -> None:
    """Calls `load` with standard error held back, C++'s included; where it fails, what was held is told."""
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            load(module)
        except BaseException:
            held.seek(0)
            os.write(before, held.read())
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)


def prepare_imports() -> None:
    """Sets what the environment does not: the log levels of TensorFlow and gRPC, Arrow's allocator; TensorFlow's import
    becomes quiet and lean. To be called before pyarrow is imported."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    quiet = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
    sys.meta_path.insert(0, _LeanImport(quiet))
