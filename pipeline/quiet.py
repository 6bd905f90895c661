"""TensorFlow's first words, kept from the user: a dozen lines at import, printed before it reads its own log level."""

import os
import sys
import tempfile
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder


class _QuietImport(MetaPathFinder):
    """Finds TensorFlow as Python would, and holds standard error while it loads."""

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: _held(load, module)  # type: ignore[method-assign]
        return spec


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


def hush_tensorflow() -> None:
    """Sets the log levels of TensorFlow and gRPC where the user has not, and quiets TensorFlow's import."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
        sys.meta_path.insert(0, _QuietImport())
