"""Every objective in half precision: it computes, its weights are float32, the family starts from what it leaves, and
of its metrics it is known what is better."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.objectives import OBJECTIVES
from models.objectives.masked import Masked
from tests.contracts import tiny
from tests.contracts.task import check_directions

FAMILY = {"causal": "gpt2", "span_corruption": "t5", "bidirectional": "elmo", "sentence_order": "albert"}
FAMILY |= dict.fromkeys(("skip_gram", "cbow", "glove"), "word2vec")
IDS = np.array([[6, 7, 8, 9, 6], [7, 6, 8, 7, 0]], np.int32)
BATCH = {"ids": IDS, "length": np.array([5, 4], np.int32), "weight": np.ones(2, np.float32)}
PAIRS = BATCH | {"ids_pair": IDS, "length_pair": BATCH["length"], "class": np.array([0, 1], np.int32)}
WORDS = BATCH | {"word_bytes": np.full([2, 5, tiny.WIDTH], 97, np.uint8)}
COUNTED = {"ids": IDS[:, :2], "count": np.array([3, 1], np.float32)}
BATCHES = {"next_sentence": PAIRS, "sentence_order": PAIRS, "bidirectional": WORDS, "glove": COUNTED}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_half_precision(name, policy, tmp_path):
    family, batch = tiny.family(FAMILY.get(name, "bert")), BATCHES.get(name, BATCH)
    counts, options = np.full(tiny.VOCABULARY.size, 100), {}
    if name == "distillation":
        teacher = Masked().build(family, tiny.VOCABULARY, counts, tiny.MAX_TOKENS)
        options["teacher"] = str(tmp_path / Masked().save(teacher, tmp_path))
    objective, before = OBJECTIVES[name](**options), keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = objective.build(family, tiny.VOCABULARY, counts, tiny.MAX_TOKENS)
    finally:
        keras.config.set_dtype_policy(before)
    assert {str(weight.dtype) for weight in model.trainable_weights} == {"float32"}
    with tf.GradientTape() as tape:
        outputs = model(batch, training=True)
        losses = objective.loss(outputs, batch)
    assert losses.dtype == tf.float32 and np.isfinite(losses).all()
    for gradient in tape.gradient(losses, model.trainable_weights):
        assert gradient is None or np.isfinite(tf.convert_to_tensor(gradient)).all()
    check_directions(objective.metrics(tf.nest.map_structure(np.asarray, objective.outcome(outputs, batch)), batch))
    started = family.start_from(str(tmp_path / objective.save(model, tmp_path)))
    encoder = started.build(tiny.VOCABULARY, tiny.MAX_TOKENS, 2, {"weight": np.ones(tiny.VOCABULARY.size, np.float32)})
    assert {str(weight.dtype) for weight in encoder.weights if "float" in str(weight.dtype)} == {"float32"}
