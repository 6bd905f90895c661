"""Texts to vectors by an exported model, and the SavedModel of an index: queries in, the nearest documents out.

It holds the model's graph, the documents' vectors, ids and texts as variables, and needs no op that TF Serving lacks.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from etils import epath

from components import saved_model
from components.golden import ROWS, replay, write_golden
from components.infra_validator import check_ops
from components.serving_ops import NEWEST
from data.errors import ConfigError

VECTOR, EMBED, POOLED = "vector", "embed", "pooled"


class VectorSource(NamedTuple):
    """What of a model gives a text's vector: `vector` of a bi-encoder, else `pooled` of `embed` at length 1."""

    signature: str
    input: str
    output: str

    def of(self, exported: saved_model.ExportedModel, texts: Sequence[str], max_tokens: int) -> Any:
        """Vectors <float32>[texts, width] of length 1; zeros for a text without anything known."""
        import numpy as np

        rows = {self.input: [text.encode("utf-8", "surrogateescape") for text in texts]}
        found = exported.answer(rows, max_tokens, signature=self.signature, only=[self.output])[self.output]
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def vectors_by(directory: epath.PathLike) -> VectorSource:
    """Raises ConfigError where the model gives no vector of a text."""
    exported = saved_model.load_exported(directory)
    for signature, output in ((VECTOR, VECTOR), (EMBED, POOLED)):
        if signature in exported.signatures and output in exported.signatures[signature].structured_outputs:
            (text,) = exported.inputs_of(signature)  # `text`, or what a task without one reads
            return VectorSource(signature, text, output)
    raise ConfigError(
        f"{directory}: has no signature '{VECTOR}', nor '{POOLED}' in '{EMBED}', so it gives no vectors of texts; "
        "wanted a similarity model with encoder = 'bi', or another whose family pools"
    )


def export_search(
    directory: epath.PathLike,
    source: VectorSource,
    max_tokens: int,
    vectors: Any,
    ids: Sequence[str],
    texts: Sequence[str],
    top: int,
    place: epath.Path,
) -> None:
    """Writes a SavedModel, proven in TensorFlow's C++ runtime, with the signatures

    `search` and `serving_default`: query <string>[N] to ids <string>[N, k], scores <float32>[N, k], the cosines,
    highest first, and texts <string>[N, k], where k is the lower of top and the number of documents; and `vector`:
    text <string>[N] to vector <float32>[N, width].
    """
    import tensorflow as tf

    saved_model.register_text_ops()
    module = tf.Module()
    module.model = tf.saved_model.load(str(directory))
    ask = module.model.signatures[source.signature]
    module.vectors = tf.Variable(vectors, trainable=False, name="vectors")
    module.ids = tf.Variable(list(ids), trainable=False, name="ids")
    module.texts = tf.Variable(list(texts), trainable=False, name="texts")
    k = min(top, len(ids))

    def vector(text):
        return {VECTOR: tf.math.l2_normalize(ask(**{source.input: text})[source.output], axis=-1)}

    def search(query):
        cosines = tf.matmul(vector(query)[VECTOR], module.vectors, transpose_b=True)
        scores, places = tf.math.top_k(cosines, k)
        return {"scores": scores, **{name: tf.gather(getattr(module, name), places) for name in ("ids", "texts")}}

    def signature(function, name):
        return tf.function(function, input_signature=[tf.TensorSpec([None], tf.string, name=name)], autograph=False)

    searching = signature(search, "query")
    signatures = {saved_model.SIGNATURE: searching, "search": searching, VECTOR: signature(vector, "text")}
    tf.saved_model.save(module, str(place), signatures=signatures)
    properties = {"task": "search", "labels": [], "inputs": ["query"], "max_tokens": max_tokens, "fields": {}}
    saved_model.write_properties(place, {**properties, "documents": len(ids)})
    asked = [text.encode("utf-8", "surrogateescape")[:200] for text in texts[:ROWS]]
    write_golden(place, {"query": asked, "text": asked})
    check_ops(place, NEWEST)
    replay(place)
