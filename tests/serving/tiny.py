"""SavedModels for what a server does with its models: several versions, a call that waits, one that fails."""

from pathlib import Path

import tensorflow as tf


def line(path: Path, slope: float) -> Path:
    """y = slope * x, <float32>[B]."""

    class Line(tf.Module):
        def __init__(self):
            self.slope = tf.Variable(slope)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def answer(self, x):
            return {"y": self.slope * x}

    module = Line()
    tf.saved_model.save(module, str(path), signatures=module.answer)
    return path


def gate(path: Path) -> Path:
    """A model whose runs wait until they are let through.

    serving_default: text <string>[B] -> number <float32>[B]; each run takes one token first, and waits for it. A text
    that is no number is an error. `open`: count <int32>[] -> put; puts that many tokens.
    """
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        tokens = tf.queue.FIFOQueue(10_000, [tf.int32], [[]])
        text, count = v1.placeholder(tf.string, [None], "text"), v1.placeholder(tf.int32, [], "count")
        with tf.control_dependencies([tokens.dequeue()]):
            number = tf.strings.to_number(tf.identity(text))
        with tf.control_dependencies([tokens.enqueue_many([tf.zeros([count], tf.int32)])]):
            put = tf.identity(count)
        define = v1.saved_model.predict_signature_def
        signatures = {
            "serving_default": define({"text": text}, {"number": number}),
            "open": define({"count": count}, {"put": put}),
        }
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    return path


def broken(path: Path) -> Path:
    """A version that cannot be loaded."""
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"no graph")
    return path
