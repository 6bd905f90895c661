"""An exported model as its users see it: found by a path, loaded without Keras, asked in batches of strings.

What a user of the model must know (its task, labels and inputs) travels inside it, in `assets.extra`, which TF Serving
carries along unread: a model that was copied elsewhere still answers.
"""

import json
import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from etils import epath

from data.errors import ConfigError, StageError

GRAPH = "saved_model.pb"
PROPERTIES = "assets.extra/polisemia.json"
FINGERPRINT = "fingerprint.pb"  # another each time that a SavedModel is written
SIGNATURE = "serving_default"
VECTOR = "vector"  # signature of bi-encoders, and what it answers
EXAMPLES = ("inputs",)  # of a signature that TF Serving's Classify and Regress ask
BATCH_TOKENS = 8192
BYTES_PER_TOKEN = 4  # of a common text; it only balances batches
MAX_ROWS = 512

_loading = threading.Lock()


def write_properties(saved_model: epath.PathLike, properties: Mapping[str, Any]) -> None:
    """Puts the model's properties beside its graph."""
    path = epath.Path(saved_model) / PROPERTIES
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(properties, indent=1, sort_keys=True, ensure_ascii=False))


def read_properties(saved_model: epath.PathLike) -> dict[str, Any]:
    """The properties inside a SavedModel. Raises ConfigError where it has none."""
    try:
        return json.loads((epath.Path(saved_model) / PROPERTIES).read_text())
    except FileNotFoundError:
        raise ConfigError(
            f"{saved_model}: no {PROPERTIES} inside; wanted a SavedModel that Polisemia exported"
        ) from None


def longest(properties: Mapping[str, Any]) -> int:
    """The most tokens that a text costs: those of a model that reads all of it have no bound."""
    return 1 << 30 if properties.get("stride") else properties["max_tokens"]


def find_model(path: epath.PathLike) -> tuple[epath.Path, dict[str, Any]]:
    """The SavedModel that `path` stands for, with its properties.

    path: a SavedModel; a model artifact; a served model, of which the latest version counts; or a pipeline's home,
      of which the served model counts, and while nothing is served the model trained last.
    Raises ConfigError when there is none.
    """
    path = epath.Path(path)
    if not path.exists():
        raise ConfigError(
            f"{path}: no such model; wanted a SavedModel, a model artifact, a served model or a pipeline's home"
        )
    for place in (path, path / "saved_model", latest_version(path), *_of_pipeline(path)):
        if place and (place / GRAPH).exists():
            return place, read_properties(place)
    raise ConfigError(f"{path}: no model in it; `polisemia run` makes one")


def versions(served: epath.Path) -> list[int]:
    """Numbers of the whole versions of a served model, ascending."""
    if not served.exists():
        return []
    numbers = (int(entry.name) for entry in served.iterdir() if entry.name.isdigit())
    return sorted(n for n in numbers if (served / str(n) / GRAPH).exists())


def latest_version(served: epath.Path) -> epath.Path | None:
    numbers = versions(served)
    return served / str(numbers[-1]) if numbers else None


def _of_pipeline(root: epath.Path) -> list[epath.Path]:
    """Where a pipeline's home may hold a model, the served one first."""
    if not (root / "latest.json").exists():
        return []
    latest = json.loads((root / "latest.json").read_text())
    served = latest.get("served")
    places = [epath.Path(served["path"]), root / "served" / served["model"] / str(served["version"])] if served else []
    return places + [
        root / "trainer" / run["fingerprint"] / "saved_model" for run in latest["stages"].get("trainer", ())
    ]


class ExportedModel:
    """A loaded SavedModel, with its `signatures` by name. `answer` may be called from several threads at once."""

    def __init__(self, saved_model: epath.PathLike):
        """Raises StageError when TensorFlow cannot load it, or when it has no signature `serving_default`."""
        import tensorflow as tf

        register_text_ops()
        try:
            self._held = tf.saved_model.load(str(saved_model))  # the signature alone would not keep the weights alive
        except Exception as error:
            raise StageError(f"{saved_model}: TensorFlow cannot load it: {error}") from error
        self.signatures = self._held.signatures
        self.writer = getattr(self._held, "writer", None)  # of models that write text: see models/writing.py
        self.ranker: Any = getattr(self._held, "ranker", None)  # of an index: see models/ranking.py
        if SIGNATURE not in self.signatures:
            raise StageError(f"{saved_model}: no signature '{SIGNATURE}', only {sorted(self.signatures)}")
        self.inputs = self.inputs_of(SIGNATURE)

    def inputs_of(self, signature: str) -> tuple[str, ...]:
        return tuple(sorted(self.signatures[signature].structured_input_signature[1]))

    def by_token(self, signature: str) -> tuple[str, ...]:
        """Outputs with an axis for the tokens, as long as the `length` of the row says."""
        specs = self.signatures[signature].structured_outputs
        return tuple(name for name, spec in specs.items() if "length" in specs and spec.shape[1:2].as_list() == [None])

    def values_a_row(self, signature: str, max_tokens: int) -> int:
        """How many numbers and strings the longest row gets."""
        specs = self.signatures[signature].structured_outputs.values()
        shapes = [spec.shape[1:].as_list() for spec in specs if spec.shape.rank]
        return sum(math.prod(size or max_tokens for size in shape) for shape in shapes)

    def answer(
        self,
        texts: Mapping[str, Sequence[bytes]],
        max_tokens: int,
        batch_tokens: int = BATCH_TOKENS,
        progress: Callable[[int, int], None] = lambda done, total: None,
        signature: str = SIGNATURE,
        only: Collection[str] = (),
    ) -> dict[str, Any]:
        """The outputs `only` of the signature, all if empty, as arrays <float32 or object (str)>[N, ...] in the order
        of the rows.

        Rows of like length share a batch, so that little of it is padding; batches hold about `batch_tokens` tokens.
        """
        import numpy as np
        import tensorflow as tf

        from data.arrays import joined

        call = self.signatures[signature]
        columns = {name: _objects(texts[name]) for name in self.inputs_of(signature)}
        sizes = np.sum([np.fromiter(map(len, column), np.int64, len(column)) for column in columns.values()], axis=0)
        order = np.argsort(sizes, kind="stable")
        parts: dict[str, list] = {}
        for start, end in _batches(sizes[order], len(columns) * max_tokens, batch_tokens):
            rows = {name: tf.constant(column[order[start:end]], tf.string) for name, column in columns.items()}
            for name, value in call(**rows).items():
                if not only or name in only:
                    parts.setdefault(name, []).append(value.numpy())
            progress(end, len(order))
        return {name: _in_order(joined(values), order) for name, values in parts.items()}


def load_exported(saved_model: epath.PathLike) -> ExportedModel:
    """The loaded model, once a process while it is not written anew: workers that are threads share it."""
    fingerprint = epath.Path(saved_model) / FINGERPRINT
    with _loading:
        return _load_once(str(saved_model), fingerprint.read_bytes() if fingerprint.exists() else b"")


@lru_cache(maxsize=2)
def _load_once(saved_model: str, fingerprint: bytes) -> ExportedModel:
    return ExportedModel(saved_model)


def register_text_ops() -> None:
    """Makes TF Text's ops known to TensorFlow. `import tensorflow_text` would do it too, but imports Keras."""
    import glob
    from importlib.util import find_spec

    import tensorflow as tf

    package = find_spec("tensorflow_text")
    assert package and package.submodule_search_locations
    for place in package.submodule_search_locations:
        for library in sorted(glob.glob(f"{place}/python/**/_*.so", recursive=True)):
            tf.load_op_library(library)


def as_inputs(
    signature: str, wanted: Collection[str], texts: Mapping[str, Sequence[bytes]]
) -> dict[str, Sequence[bytes]]:
    """The texts as a signature wants them: by name, or as serialised tf.train.Examples.

    wanted: names of the signature's inputs; texts: one list for each input of the model. Raises StageError.
    """
    if set(wanted) <= texts.keys():
        return {field: texts[field] for field in wanted}
    if tuple(wanted) == EXAMPLES:
        return {EXAMPLES[0]: _examples(texts)}
    raise StageError(f"signature '{signature}' takes {', '.join(wanted)}, and texts are {', '.join(texts)}")


def _examples(texts: Mapping[str, Sequence[bytes]]) -> list[bytes]:
    """A serialised tf.train.Example a row, its features named as the inputs of the model."""
    import tensorflow as tf

    def feature(text: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))

    rows = zip(*texts.values(), strict=True)
    features = ({name: feature(text) for name, text in zip(texts, row, strict=True)} for row in rows)
    made = (tf.train.Example(features=tf.train.Features(feature=each)) for each in features)
    return [example.SerializeToString(deterministic=True) for example in made]


def as_bytes(column: Any) -> list[bytes]:
    """An Arrow column of strings as the model takes it; a missing text is an empty one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.fill_null(column.cast(pa.binary()), b"").to_pylist()


def _objects(texts: Sequence[bytes]) -> Any:
    """An array of Python bytes: NumPy's own string type would drop NULs at the end."""
    import numpy as np

    column = np.empty(len(texts), object)
    column[:] = texts
    return column


def _batches(sizes: Any, max_tokens: int, batch_tokens: int):
    """(start, end) of each batch of rows sorted by size in bytes: rows x tokens of the longest <= batch_tokens."""
    tokens = (sizes // BYTES_PER_TOKEN + 1).clip(max=max_tokens)
    start = 0
    while start < len(tokens):
        end = start + 1
        while end < len(tokens) and end - start < MAX_ROWS and (end + 1 - start) * tokens[end] <= batch_tokens:
            end += 1
        yield start, end
        start = end


def _in_order(values: Any, order: Any) -> Any:
    """The rows of sorted batches, back where they came from; strings decoded."""
    import numpy as np

    if values.dtype == object:
        values = np.array([v.decode("utf-8", "replace") for v in values.ravel()], object).reshape(values.shape)
    result = np.empty_like(values)
    result[order] = values
    return result
