"""A SavedModel, and artifacts around it, small enough to write in a test: a word is good or bad, or says nothing."""

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from components.artifacts import Examples, Model
from components.golden import write_golden
from components.saved_model import write_properties

LABELS = ["bad", "good"]
PROPERTIES = {"task": "classification", "labels": LABELS, "inputs": ["text"], "max_tokens": 16}


class WordCounter(tf.Module):
    """Probabilities from the counts of good and bad words.

    evidence: weight of a word. normalise, extra: further ops on the texts and on the scores.
    """

    def __init__(self, evidence=1.0, normalise=tf.strings.lower, extra=tf.identity):
        words = tf.lookup.KeyValueTensorInitializer(["good", "bad"], tf.constant([1, 0], tf.int64))
        self.table = tf.lookup.StaticHashTable(words, -1)
        self.weights = tf.Variable([[evidence, 0.0], [0.0, evidence], [0.0, 0.0]])
        self.normalise, self.extra = normalise, extra

    def answer(self, *texts):
        words = tf.strings.split(self.normalise(tf.strings.join(texts, " "))).to_tensor("?")
        found = self.table.lookup(words)
        logits = tf.reduce_sum(tf.gather(self.weights, tf.where(found < 0, tf.constant(2, tf.int64), found)), axis=1)
        scores = self.extra(tf.nn.softmax(logits))
        return {"label": tf.gather(tf.constant(LABELS), tf.argmax(logits, axis=-1)), "scores": scores}

    def embed(self, text):
        """Lengths of the text and of each word, as a vector each."""
        words = tf.strings.split(text)
        by_word = tf.cast(tf.strings.length(words.to_tensor("")), tf.float32) / 10.0
        return {
            "length": tf.cast(words.row_lengths(), tf.int32),
            "pooled": tf.cast(tf.strings.length(text), tf.float32)[:, None] / tf.constant([10.0, 1.0]),
            "sequence": tf.ensure_shape(tf.stack([by_word, -by_word], axis=-1), [None, None, 2]),
        }

    def classify(self, inputs):
        features = {"text": tf.io.FixedLenFeature([], tf.string)}
        return {"scores": self.answer(tf.io.parse_example(inputs, features)["text"])["scores"]}


def save(path, inputs=("text",), texts=(), more=False, **params):
    """A SavedModel that reads `inputs`, with its properties inside, and golden requests of `texts` where given.

    more: signatures embed and classify, too.
    """
    module = WordCounter(**params)
    specs = [tf.TensorSpec([None], tf.string, name=name) for name in inputs]
    signatures = {"serving_default": tf.function(module.answer, input_signature=specs)}
    if more:
        signatures["embed"] = tf.function(module.embed, input_signature=specs)
        signatures["classify"] = tf.function(module.classify, input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, str(path), signatures=signatures)
    write_properties(path, {**PROPERTIES, "inputs": list(inputs)})
    if texts:
        write_golden(path, dict.fromkeys(inputs, texts))
    return path


def model_artifact(path, **params) -> Model:
    model = Model(path)
    model.clear()
    save(model.path / "saved_model", **params)
    model.properties.update({**PROPERTIES, "inputs": list(params.get("inputs", ["text"]))})
    model.commit(stage="trainer")
    return model


def examples_artifact(path, span: str = "", **splits) -> Examples:
    """Examples of one span; `splits` maps a split to the columns of its only shard."""
    examples = Examples(path)
    examples.clear()
    tables = {split: pa.table({"key": range(len(columns["text"])), **columns}) for split, columns in splits.items()}
    for split, table in tables.items():
        (examples.path / split).mkdir()
        pq.write_table(table, str(examples.path / split / "0.parquet"))
    columns = list(dict.fromkeys(name for table in tables.values() for name in table.column_names if name != "key"))
    rows = {split: len(tables.get(split, ())) for split in ("train", "valid", "test")}
    examples.properties.update(span=span, rows=rows, labels=LABELS, columns=columns)
    examples.commit(stage="example_gen")
    return examples
