"""Texts to vectors by an exported model, and the SavedModel of an index: queries in, the best documents out.

It holds the model's graph and all of the documents, and needs no op that TF Serving lacks.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from etils import epath

from components import saved_model
from components.golden import ROWS, replay, write_golden
from components.infra_validator import check_ops
from components.saved_model import VECTOR
from components.serving_ops import NEWEST
from data.errors import ConfigError

EMBED, POOLED = "embed", "pooled"
WEIGHT = 0.5  # of the vectors' scores in a sum


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
    ranker: Any,
    top: int,
    place: epath.Path,
) -> None:
    """Writes a SavedModel, proven in TensorFlow's C++ runtime, with the signatures

    `search`, also `serving_default` (both rankings, fused by ranks), `search_vectors`, `search_bm25` and `search_sum`:
    query <string>[N] to ids and texts <string>[N, k] and scores <float32>[N, k], highest first, where k is the lower of
    top and the number of documents, and hits <int32>[N]: how many of them are hits, behind which ids and texts are
    empty and scores 0; and `vector`: text <string>[N] to vector <float32>[N, width].

    ranker: a `models.ranking.Ranker`, which other programs find in the SavedModel by that name.
    """
    import tensorflow as tf

    from models.ranking import DEPTH, NOTHING

    saved_model.register_text_ops()
    module = tf.Module()
    module.model, module.ranker = tf.saved_model.load(str(directory)), ranker
    ask = module.model.signatures[source.signature]

    def vector(text):
        return tf.math.l2_normalize(ask(**{source.input: text})[source.output], axis=-1)

    def near(query):
        scores, places = ranker.by_vectors(vector(query), DEPTH)
        return tf.where(scores > NOTHING, places, -1)

    def answer(found):
        scores, places = found
        hit = scores > NOTHING
        named = {name: tf.gather(getattr(ranker, name), places) for name in ("ids", "texts")}
        return {
            **{name: tf.where(hit, values, "") for name, values in named.items()},
            "scores": tf.cast(tf.where(hit, scores, 0.0), tf.float32),
            "hits": tf.math.count_nonzero(hit, axis=1, dtype=tf.int32),
        }

    def signature(function, name):
        return tf.function(function, input_signature=[tf.TensorSpec([None], tf.string, name=name)], autograph=False)

    rankings = {
        "search": lambda query: answer(ranker.by_ranks(query, near(query), top)),
        "search_vectors": lambda query: answer(ranker.by_vectors(vector(query), top)),
        "search_bm25": lambda query: answer(ranker.by_words(query, top)),
        "search_sum": lambda query: answer(ranker.by_sum(query, vector(query), WEIGHT, top)),
    }
    signatures = {name: signature(function, "query") for name, function in rankings.items()}
    signatures |= {
        saved_model.SIGNATURE: signatures["search"],
        VECTOR: signature(lambda text: {VECTOR: vector(text)}, "text"),
    }
    tf.saved_model.save(module, str(place), signatures=signatures)
    properties = {"task": "search", "labels": [], "inputs": ["query"], "max_tokens": max_tokens, "fields": {}}
    saved_model.write_properties(place, {**properties, "documents": ranker.documents})
    asked = [text[:200] for text in ranker.texts[:ROWS].numpy().tolist()]
    write_golden(place, {"query": asked, "text": asked})
    check_ops(place, NEWEST)
    replay(place)
