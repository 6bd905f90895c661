"""What every model family must do (DESIGN section 3), at two lengths, for the first task that it fits.

The other tasks' own contract, and the matrix of families and tasks, see to the rest.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.build import adapt, build_model
from models.families.base import Family
from models.fine_tuning import FineTuning
from models.packing import pack
from models.tasks import TASKS
from tests.contracts import tiny
from tests.contracts.decoder import check_decoder

LENGTHS = (5, 9)


def check_family(name: str, **params) -> None:
    """Runs every check on the family called `name`, at its smallest size."""
    family = tiny.family(name, **params)
    task_name = next(task_name for task_name in TASKS if name in tiny.fitting(task_name))
    check_answers(family, task_name, pairs=False)
    check_answers(family, task_name, pairs=True)
    check_saving(family, task_name)
    check_mixed_precision(family, task_name)
    check_compiles(family, task_name)
    for offer, memory in (("causal", False), ("encoder_decoder", True)):
        if offer in family.offers:
            check_decoder(family, memory)


def check_answers(family: Family, task_name: str, pairs: bool) -> None:
    """Shapes, padding, gradients, and what is left of them when all layers are frozen."""
    model = build(family, task_name, pairs)
    for length in LENGTHS:
        check_shapes(family, model, tiny.batch(task_name, length, pairs))
        check_padding(model, tiny.batch(task_name, length, pairs, empty=True))
    check_gradients(model, task_name, pairs)
    check_frozen(model)


def build(family: Family, task_name: str, pairs: bool = False) -> keras.Model:
    """A model whose weights are all away from zero, so that a linear family answers more than its bias."""
    keras.utils.set_random_seed(1)
    adapted = adapt(family, [tiny.batch(task_name, LENGTHS[0], pairs)], tiny.VOCABULARY, tiny.MAX_TOKENS)
    labels = tiny.examples(task_name)[1]
    task = tiny.task(task_name)
    model = build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, labels, pairs, adapted)
    for weight in model.trainable_weights:
        weight.assign_add(keras.random.normal(weight.shape, stddev=0.1))
    return model


def check_shapes(family: Family, model: keras.Model, batch: dict) -> None:
    """What is offered is there, of the shape that Encoded promises; masks are bool and keep the tokens."""
    packed = pack(batch, tiny.VOCABULARY, tiny.MAX_TOKENS, family.special_tokens)
    encoded = model.encoder(packed)
    rows, tokens = packed["ids"].shape
    assert encoded.mask.dtype == tf.bool and encoded.mask.shape == (rows, tokens)
    assert ("pooled" in family.offers) == (encoded.pooled is not None)
    assert ("sequence" in family.offers) == (encoded.sequence is not None)
    if encoded.sequence is not None:
        width = encoded.sequence.shape[-1]
        assert encoded.sequence.shape == (rows, tokens, width)
        assert all(layer.shape[:2] == (rows, tokens) for layer in encoded.layers) and encoded.layers
        assert len(model.encoder.ladder) == len(encoded.layers), "one step of the ladder a layer, word vectors first"
    if encoded.pooled is not None:
        assert encoded.pooled.shape[0] == rows and len(encoded.pooled.shape) == 2
    logits = model(batch)
    assert logits.dtype == tf.float32 and logits.shape[0] == rows


def check_padding(model: keras.Model, batch: dict) -> None:
    """More padding changes no answer by more than 1e-5, in any row, one without tokens included."""
    logits = model(batch).numpy()
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(model(tiny.padded(batch, 4)), logits, atol=1e-5, rtol=0)


def check_gradients(model: keras.Model, task_name: str, pairs: bool) -> None:
    """The loss reaches every variable, and a row without tokens leaves every gradient finite."""
    for empty in (False, True):
        gradients = gradients_of(model, tiny.task(task_name), tiny.batch(task_name, LENGTHS[0], pairs, empty))
        for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
            assert gradient is not None, f"no gradient reaches {weight.path}"
            values = tf.convert_to_tensor(gradient).numpy()
            assert np.isfinite(values).all(), f"gradient of {weight.path} is not finite"
            assert values.any(), f"gradient of {weight.path} is zero"


def gradients_of(model: keras.Model, task, batch: dict) -> list:
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(task.loss(model(batch, training=True), batch)) + sum(model.losses)
    return tape.gradient(loss, [weight.value for weight in model.trainable_weights])


def check_frozen(model: keras.Model) -> None:
    """With all layers frozen, what trains is a mix of them, pooling and the head."""
    if model.encoder.ladder:
        above = model.head, *(model.encoder.parts[name] for name in ("mix", "pooling") if name in model.encoder.parts)
        wanted = sorted(weight.path for each in above for weight in each.trainable_weights)
        assert sorted(weight.path for weight in FineTuning(frozen="all").trained(model)) == wanted


def check_saving(family: Family, task_name: str) -> None:
    """Another model of the same family gives the same bits after it takes over the weights."""
    first, second = build(family, task_name), build(family, task_name)
    batch = tiny.batch(task_name, LENGTHS[1])
    for weight in first.trainable_weights:
        weight.assign_add(keras.random.normal(weight.shape))
    assert not np.array_equal(first(batch), second(batch))
    second.set_weights(first.get_weights())
    assert np.array_equal(first(batch), second(batch))


def check_mixed_precision(family: Family, task_name: str) -> None:
    """Logits and gradients are finite in half precision, weights and logits stay float32."""
    for policy in ("mixed_bfloat16", "mixed_float16"):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            model = build(family, task_name)
        finally:
            keras.config.set_dtype_policy(before)
        batch = tiny.batch(task_name, LENGTHS[0], empty=True)
        assert model(batch).dtype == tf.float32 and np.isfinite(model(batch)).all()
        assert {str(weight.dtype) for weight in model.trainable_weights} == {"float32"}
        for gradient in gradients_of(model, tiny.task(task_name), batch):
            assert np.isfinite(tf.convert_to_tensor(gradient).numpy()).all()


def check_compiles(family: Family, task_name: str) -> None:
    """The train step compiles with XLA at static shapes, what a TPU needs, and computes what it does without;
    a family that names a reason in `refuses_tpu` does not."""
    model, task = build(family.model_copy(update=without_dropout(family)), task_name), tiny.task(task_name)
    batch = {name: tf.constant(array) for name, array in tiny.batch(task_name, LENGTHS[0]).items()}
    compiled = tf.function(lambda batch: gradients_of(model, task, batch), jit_compile=True, autograph=False)
    if family.refuses_tpu:
        with pytest.raises(Exception, match="."):
            compiled(batch)
        return
    for fast, plain in zip(compiled(batch), gradients_of(model, task, batch), strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(fast), tf.convert_to_tensor(plain), atol=1e-5)


def without_dropout(family: Family) -> dict[str, float]:
    return {name: 0.0 for name in type(family).model_fields if "dropout" in name}
