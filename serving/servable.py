"""One version of a SavedModel, loaded as TensorFlow Serving loads it: a graph and a session, no Python functions.

The session runs the same C++ graph executor, with the same errors, as TensorFlow Serving. It is called through a raw
callable: `Session.run` would refuse shapes that TensorFlow Serving accepts.
"""

import ctypes
import glob
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from threading import Condition
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from serving.errors import ServingError, from_tensorflow

CALLABLES = 64  # a signature needs one for each set of outputs that was asked for


class Servable:
    """A loaded SavedModel. `run` may be called from several threads at once.

    signatures: SignatureDefs by name. unbatchable: sets of outputs that do not go with the rows of the inputs.
    """

    def __init__(self, path: str, tags: Sequence[str] = ("serve",), session_config: Any = None):
        """Raises ServingError with TensorFlow's words when it cannot be loaded.

        session_config: a `tf.compat.v1.ConfigProto`, or None for TensorFlow's defaults.
        """
        register_text_ops()
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=session_config)
        try:
            with graph.as_default():
                loaded = tf.compat.v1.saved_model.load(self._session, list(tags), path)
        except tf.errors.OpError as error:
            self._session.close()
            raise from_tensorflow(error) from error
        except Exception as error:  # the loader's own: no such tags, a graph that does not parse, an unknown op
            self._session.close()
            raise ServingError("INVALID_ARGUMENT", f"{path}: {error}") from error
        self.path = path
        self.signatures: dict[str, Any] = dict(loaded.signature_def)
        self.unbatchable: set[tuple[str, ...]] = set()
        self._running, self._closed = 0, False
        self._callables: OrderedDict[tuple, Any] = OrderedDict()
        self._lock = Condition()

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> dict[str, np.ndarray]:
        """Values of the tensors `fetches`, given those of `feeds`; both by tensor name, such as `x:0`.

        Raises ServingError with the status of the op that failed.
        """
        names, wanted = tuple(sorted(feeds)), tuple(sorted(set(fetches)))
        with self._lock:
            if self._closed:
                raise ServingError("UNAVAILABLE", f"{self.path} was unloaded")
            self._running += 1
        try:
            values = self._callable(names, wanted)(*(feeds[name] for name in names))
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        except (
            UnicodeDecodeError
        ) as error:  # a message with a request's bytes in it, of which TensorFlow makes no error
            raise ServingError("INVALID_ARGUMENT", error.object.decode(errors="replace")) from error
        finally:
            with self._lock:
                self._running -= 1
                self._lock.notify_all()
        return dict(zip(wanted, values, strict=True))

    def close(self) -> None:
        """Frees the model's memory, when what runs is done."""
        with self._lock:
            self._closed = True
            self._lock.wait_for(lambda: not self._running)
            self._callables.clear()
        self._session.close()

    def _callable(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Any:
        with self._lock:
            found = self._callables.pop((feeds, fetches), None)
            if found is None:
                options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
                found = self._session._make_callable_from_options(options)
            self._callables[feeds, fetches] = found
            if len(self._callables) > CALLABLES:
                self._callables.popitem(last=False)
        return found


@cache
def register_text_ops() -> None:
    """Makes TF Text's ops known, as TensorFlow Serving does; `import tensorflow_text` would import Keras too."""
    package = find_spec("tensorflow_text")
    for place in (package.submodule_search_locations or ()) if package else ():
        for library in sorted(glob.glob(f"{place}/python/**/_*.so", recursive=True)):
            tf.load_op_library(library)


def disable_xla() -> None:
    """Refuses XLA in this whole process, TensorFlow Serving's default: what runs here must run there."""
    library = glob.glob(f"{tf.sysconfig.get_lib()}/libtensorflow_cc.*")
    if library:
        ctypes.CDLL(library[0])._ZN10tensorflow21DisableXlaCompilationEv()
