"""Models and documents to make an index of."""

import json

import keras
import tensorflow as tf

from components.saved_model import write_properties
from models.build import adapt, build_model
from models.signatures import export
from tests.contracts import tiny


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def export_model(directory, seed):
    keras.utils.set_random_seed(seed)
    family, task = tiny.family("word2vec"), tiny.task("similarity")
    adapted = adapt(family, [tiny.batch("similarity", 5)], tiny.VOCABULARY, tiny.MAX_TOKENS, task.apart)
    model = build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, [], True, adapted)
    inputs = ["text", "text_pair"]
    export(model, family, task, tiny.WORDS, [], tiny.MAX_TOKENS, inputs, directory)
    write_properties(directory, {"task": "similarity", "labels": [], "inputs": inputs, "max_tokens": tiny.MAX_TOKENS})


def export_zeros(directory):
    """A model of one input, `source`, that knows of a text whether `o` is in it, and how long it then is."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="source")])
    def embed(source):
        has = tf.cast(tf.strings.regex_full_match(source, ".*o.*"), tf.float32)
        return {"pooled": tf.stack([has, has * tf.cast(tf.strings.length(source), tf.float32)], axis=1)}

    tf.saved_model.save(module, str(directory), signatures={"embed": embed, "serving_default": embed})
    write_properties(directory, {"task": "x", "labels": [], "inputs": ["source"], "max_tokens": 8})
