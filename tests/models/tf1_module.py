"""A small module in TF1-Hub format with google/elmo/3's signatures, written as TensorFlow 1 would have."""

from pathlib import Path

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
WIDTH = 3  # of a direction


def write(folder: Path, signatures: tuple[str, ...] = ("default", "tokens"), legacy_variables: bool = False) -> Path:
    """Two graphs, for serving and for training, resource variables under module/, and a mark of the format."""
    v1.disable_control_flow_v2()  # modules of the time hold loops of the old kind
    try:
        builder = v1.saved_model.Builder(str(folder))
        for tags in ([], ["train"]):
            with tf.Graph().as_default(), v1.Session() as session:
                made = {name: make for name, make in _signatures(not legacy_variables).items() if name in signatures}
                session.run([v1.global_variables_initializer(), v1.tables_initializer()])
                if tags:
                    builder.add_meta_graph(tags, made)
                else:
                    builder.add_meta_graph_and_variables(session, tags, made)
        builder.save()
    finally:
        v1.enable_control_flow_v2()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")  # ModuleDef, FORMAT_V3
    return folder


def _signatures(resources: bool) -> dict:
    with v1.variable_scope("module", use_resource=resources):
        random = np.random.default_rng(0)
        names = {"bytes": (256, WIDTH), "step": (2 * WIDTH, 2 * WIDTH), "mix": (3,)}
        weights = {
            name: v1.get_variable(name, initializer=random.normal(0, 0.5, shape).astype(np.float32))
            for name, shape in names.items()
        }
    text = v1.placeholder(tf.string, [None], "text")
    split = v1.string_split(text, " ")
    words = tf.sparse.to_dense(split, "")
    count = tf.math.unsorted_segment_sum(
        tf.ones_like(split.indices[:, 0], tf.int32), split.indices[:, 0], tf.size(text)
    )
    tokens = v1.placeholder(tf.string, [None, None], "tokens")
    length = v1.placeholder(tf.int32, [None], "sequence_len")
    info = {
        "default": ({"text": text}, words, count),
        "tokens": ({"tokens": tokens, "sequence_len": length}, tokens, length),
    }
    return {
        name: v1.saved_model.signature_def_utils.predict_signature_def(inputs, _outputs(weights, words, lengths))
        for name, (inputs, words, lengths) in info.items()
    }


def _outputs(weights: dict, tokens, length) -> dict:
    raw = tf.io.decode_raw(tokens, tf.uint8, fixed_length=50)
    present = tf.cast(raw > 0, tf.float32)[..., None]
    words = tf.reduce_sum(tf.gather(weights["bytes"], tf.cast(raw, tf.int32)) * present, axis=2)
    twice = tf.concat([words, words], axis=2)

    def step(state, x):
        return tf.tanh(tf.matmul(state, weights["step"]) + x)

    first = tf.transpose(tf.scan(step, tf.transpose(twice, [1, 0, 2]), tf.zeros_like(twice[:, 0])), [1, 0, 2])
    second = tf.sin(3 * first)
    elmo = tf.tensordot(tf.nn.softmax(weights["mix"]), tf.stack([twice, first, second]), 1)
    mask = tf.sequence_mask(length, tf.shape(elmo)[1], tf.float32)[..., None]
    pooled = tf.math.divide_no_nan(tf.reduce_sum(elmo * mask, 1), tf.reduce_sum(mask, 1))
    return {"word_emb": words, "lstm_outputs1": first, "lstm_outputs2": second, "elmo": elmo, "default": pooled}
