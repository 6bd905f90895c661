"""distillation: the loss against its formula, the vectors that are compared, and the layers that are copied."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from data.errors import ConfigError
from models.build import build_model
from models.distillation import Distillation, Lesson, as_logits, build_pupil, student_of
from models.families.bert import Bert, DistilBert
from models.families.kin import check_kin
from models.families.recurrent import Lstm
from models.tasks.classification import Classification
from tests.contracts import tiny

SIZES = {"width": 8, "heads": 2, "dropout": 0.0}
TEACHER = Bert(layers=4, **SIZES)
BATCH = {"ids": np.array([[6, 7, 8, 0], [7, 6, 8, 9]], np.int32), "length": np.array([3, 4], np.int32)}


def made(family, max_tokens=tiny.MAX_TOKENS):
    return partial(build_model, family, Classification(), tiny.VOCABULARY, max_tokens, ("no", "yes"), False)


def taught(family, teacher=TEACHER, **options):
    """The pupil, and its teacher."""
    model = made(teacher)()
    for variable in model.weights:  # so that none is what it began as
        variable.assign(np.random.default_rng(variable.shape.num_elements()).normal(0, 0.3, variable.shape))
    weights = [variable.numpy() for variable in model.weights]
    return build_pupil(made(family), family, made(teacher), teacher, weights, Distillation(**options)), model


def test_the_loss_is_the_formula():
    random = np.random.default_rng(0)
    ours, theirs = random.normal(size=[2, 5, 3]).astype(np.float32)
    apart, classes = random.uniform(size=5).astype(np.float32), np.array([0, 1, 2, 0, 1], np.int32)
    spec = Distillation(temperature=3.0, soft=0.6, hard=0.2, cosine=0.1)

    def softmax(logits):
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    p, q = softmax(theirs / 3), softmax(ours / 3)
    wanted = 0.6 * 9 * (p * np.log(p / q)).sum(axis=1)
    wanted += 0.2 * -np.log(softmax(ours)[np.arange(5), classes]) + 0.1 * apart
    lesson = Lesson(Classification(), spec)
    outputs, batch = np.concatenate([ours, apart[:, None]], axis=1), {"class": classes, "weight": np.ones(5)}
    found = lesson.loss(tf.constant(outputs), {**batch, "teacher": as_logits(softmax(theirs))})
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    without = lesson.loss(tf.constant(outputs), batch)
    np.testing.assert_allclose(without, -np.log(softmax(ours)[np.arange(5), classes]), rtol=1e-5)
    assert lesson.metrics(lesson.outcome(outputs, batch), batch) == Classification().metrics(ours, batch)


def test_every_second_layer_is_copied():
    """What a layer reads is the teacher's: its first segment is in the student's positions."""
    model, teacher = taught(DistilBert(layers=2, **SIZES), copy_layers=True)
    (_, ours), (_, theirs) = model.encode(BATCH), teacher.encode(BATCH)
    np.testing.assert_allclose(ours.layers[0], theirs.layers[0], atol=1e-5)
    np.testing.assert_allclose(ours.layers[1], theirs.layers[1], atol=1e-3)  # KerasHub's bert has GELU by tanh
    layers, above = (each.encoder.parts["backbone"].transformer_layers for each in (model, teacher))
    for one, other in zip(layers[1].weights, above[2].weights, strict=True):
        assert np.array_equal(one, other)


def test_a_copy_of_the_same_kind_is_the_teacher():
    model, teacher = taught(TEACHER, copy_layers=True)
    got, wanted = (each.encode(BATCH)[1].pooled for each in (model, teacher))
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_vectors_are_compared_over_the_tokens_of_a_batch():
    model, teacher = taught(DistilBert(layers=1, **SIZES), cosine=1.0)
    student, outputs = student_of(model), model(BATCH)
    np.testing.assert_allclose(outputs[:, :-1], student(BATCH), atol=1e-6)
    (_, ours), (_, theirs) = student.encode(BATCH), teacher.encode(BATCH)
    one, other, mask = np.array(ours.sequence), np.array(theirs.sequence), np.array(ours.mask)
    cosine = (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
    assert mask.sum() == 3 + 4 + 2 * 2
    np.testing.assert_allclose(np.mean(outputs[:, -1]), np.mean(1 - cosine[mask]), rtol=1e-4)
    assert len(model.weights) == len(student.weights)  # the teacher is in no checkpoint


def test_teachers_that_do_not_fit():
    def refused(match, family, teacher):
        with pytest.raises(ConfigError, match=match):
            taught(family, teacher, copy_layers=True)

    small = Bert(layers=1, **SIZES)
    refused("got distilbert 2x8 .* bert 1x8; wanted the same width", DistilBert(layers=2, **SIZES), small)
    refused("heads and intermediate", DistilBert(layers=1, **SIZES, intermediate=5), small)
    with pytest.raises(ConfigError, match="its teacher is lstm; wanted bert"):
        check_kin(Bert(), Lstm())
    with pytest.raises(ConfigError, match="this family is lstm"):
        check_kin(Lstm(), Bert())
    with pytest.raises(ConfigError, match="1 arrays that are not the"):
        build_pupil(made(small), small, made(small), small, [np.zeros(1)], Distillation())
