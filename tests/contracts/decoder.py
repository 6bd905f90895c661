"""What every decoder must do (models.layers.Decoder): of a causal family alone, and with a memory."""

import keras
import numpy as np
import tensorflow as tf

from models.families.base import Family
from models.layers import Decoder
from tests.contracts import tiny

ROWS, SOURCE, STEPS = 3, 5, 6


def check_decoder(family: Family, memory: bool) -> None:
    """Runs every check on the decoder of `family`, with a source to read or without."""
    decoder = build(family, memory)
    check_causal(decoder, memory)
    check_steps(decoder, memory)
    check_reorder(decoder, memory)
    check_gradients(decoder, memory)
    check_half_precision(family, memory)
    if memory:
        check_memory(decoder)


def build(family: Family, memory: bool) -> Decoder:
    """A decoder whose weights are all away from zero."""
    keras.utils.set_random_seed(1)
    decoder = family.build_decoder(tiny.VOCABULARY, tiny.MAX_TOKENS, memory)
    decoder.logits(decoder(packed(memory)).sequence)
    for weight in decoder.trainable_weights:
        weight.assign_add(keras.random.normal(weight.shape, stddev=0.1))
    return decoder


def packed(memory: bool) -> dict[str, tf.Tensor]:
    """Rows of random ids; with a memory the source's last row has two tokens, and its padding other ids than 0."""
    random = np.random.default_rng(0)
    ids = tf.constant(random.integers(1, tiny.VOCABULARY.size, [ROWS, STEPS]), tf.int32)
    whole = {"mask": tf.ones([ROWS, STEPS], tf.bool), "segment_ids": tf.zeros([ROWS, STEPS], tf.int32)}
    if not memory:
        return {"ids": ids, **whole}
    source = tf.constant(random.integers(1, tiny.VOCABULARY.size, [ROWS, SOURCE]), tf.int32)
    mask = tf.sequence_mask([SOURCE, 4, 2], SOURCE)
    given = {"ids": source, "mask": mask, "segment_ids": tf.zeros([ROWS, SOURCE], tf.int32)}
    return {**given, "target_ids": ids, "target_mask": whole["mask"]}


def target_of(memory: bool) -> str:
    return "target_ids" if memory else "ids"


def logits_of(decoder: Decoder, batch: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
    """Scores <float32>[B, T, vocabulary] of the whole sequence at once."""
    return decoder.logits(decoder(batch, training=training).sequence)


def first_state(decoder: Decoder, batch: dict[str, tf.Tensor], memory: bool):
    if not memory:
        return decoder.init_state(None, batch["mask"], tiny.MAX_TOKENS)
    encoded = decoder.encode(batch)
    return decoder.init_state(encoded.sequence, encoded.mask, tiny.MAX_TOKENS)


def check_causal(decoder: Decoder, memory: bool) -> None:
    """The vectors of the first tokens do not change with what comes after them, and the later ones do."""
    batch, name = packed(memory), target_of(memory)
    other = {**batch, name: tf.concat([batch[name][:, :3], (batch[name][:, 3:] + 1) % tiny.VOCABULARY.size], axis=1)}
    first, second = (decoder(each).sequence for each in (batch, other))
    np.testing.assert_allclose(first[:, :3], second[:, :3], atol=1e-6)
    assert (np.abs(first[:, 3:] - second[:, 3:]).max(axis=2) > 1e-4).all()


def check_steps(decoder: Decoder, memory: bool) -> None:
    """Step by step the scores are those of the whole sequence, in a graph that a server without XLA can run, in a
    while loop, whose states may not change shape, and compiled at static shapes."""
    batch, name = packed(memory), target_of(memory)

    def run(batch):
        def body(n, state, scores):
            logits, state = decoder.step(batch[name][:, n], state)
            return n + 1, state, scores.write(n, logits)

        loop = 0, first_state(decoder, batch, memory), tf.TensorArray(tf.float32, STEPS)
        *_, scores = tf.while_loop(lambda n, *_: n < STEPS, body, loop)
        return tf.transpose(scores.stack(), [1, 0, 2])

    any_shape = {key: tf.TensorSpec([None, None], value.dtype) for key, value in batch.items()}
    plain = tf.function(run, autograph=False, input_signature=[any_shape])
    for function in (plain, tf.function(run, autograph=False, jit_compile=True)):
        np.testing.assert_allclose(function(batch), logits_of(decoder, batch), atol=1e-5)
    graph = plain.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert not [node.op for node in nodes if "Xla" in node.op or "PyFunc" in node.op]


def check_reorder(decoder: Decoder, memory: bool) -> None:
    """After rows change places, go, or double, each goes on as its parent would have."""
    batch, parents = packed(memory), tf.constant([2, 0, 2, 1])
    state, ids = first_state(decoder, batch, memory), batch[target_of(memory)]
    for n in range(2):
        _, state = decoder.step(ids[:, n], state)
    expected, _ = decoder.step(ids[:, 2], state)
    assert np.abs(expected[0] - expected[2]).max() > 1e-3
    found, _ = decoder.step(tf.gather(ids[:, 2], parents), decoder.reorder(state, parents))
    np.testing.assert_allclose(found, tf.gather(expected, parents), atol=1e-6)


def check_gradients(decoder: Decoder, memory: bool) -> None:
    """The loss reaches every variable."""
    batch = packed(memory)
    with tf.GradientTape() as tape:
        scores = logits_of(decoder, batch, training=True)[:, :-1]
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(batch[target_of(memory)][:, 1:], scores)
    gradients = tape.gradient(loss, [weight.value for weight in decoder.trainable_weights])
    for weight, gradient in zip(decoder.trainable_weights, gradients, strict=True):
        assert gradient is not None, f"no gradient reaches {weight.path}"
        values = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(values).all() and values.any(), weight.path


def check_half_precision(family: Family, memory: bool) -> None:
    """Scores are float32 and near those of a step in half precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        decoder = build(family, memory)
    finally:
        keras.config.set_dtype_policy(before)
    batch = packed(memory)
    whole = logits_of(decoder, batch)
    first, _ = decoder.step(batch[target_of(memory)][:, 0], first_state(decoder, batch, memory))
    assert whole.dtype == first.dtype == tf.float32
    np.testing.assert_allclose(first, whole[:, 0], atol=0.1)


def check_memory(decoder: Decoder) -> None:
    """The source counts, its padding does not, and a source without tokens gives finite scores; each step's attention
    to it adds up to 1."""
    batch = packed(memory=True)
    state = first_state(decoder, batch, memory=True)
    for steps in range(3):
        seen = decoder.coverage(state).numpy()
        real = batch["mask"].numpy()
        np.testing.assert_allclose((seen * real).sum(axis=1)[real.any(axis=1)], steps, atol=1e-4)
        assert (seen[~real] == 1).all()
        _, state = decoder.step(batch[target_of(memory=True)][:, steps], state)
    scores = logits_of(decoder, batch)
    token = batch["ids"] + tf.one_hot([0], SOURCE, dtype=tf.int32)
    assert (np.abs(logits_of(decoder, {**batch, "ids": token}) - scores).max(axis=(1, 2)) > 1e-4).all()
    names, longer = ("ids", "mask", "segment_ids"), [(0, 0), (0, 4)]
    padded = {name: tf.pad(batch[name], longer) for name in names}
    padded["ids"] = tf.where(padded["mask"], padded["ids"], 7)
    np.testing.assert_allclose(logits_of(decoder, {**batch, **padded}), scores, atol=1e-5)
    assert np.isfinite(logits_of(decoder, {**batch, "mask": tf.zeros_like(batch["mask"])})).all()
