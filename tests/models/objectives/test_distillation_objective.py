"""Tests `models/objectives/distillation.py`: a masked language model that another one teaches."""

import json

import numpy as np
import pytest

from data.errors import ConfigError
from models.families.bert import Albert, Bert, DistilBert
from models.objectives.distillation import MaskedDistillation
from models.objectives.masked import Masked
from tests.contracts import tiny
from tests.models.published_models import GOLDEN, write

SIZES = {"width": 8, "heads": 2, "dropout": 0.0}
STUDENT = DistilBert(layers=1, **SIZES)
BATCH = {"ids": np.array([[6, 7, 8, 9], [7, 6, 8, 0]], np.int32), "length": np.array([4, 3], np.int32)}


def made(objective, family, vocabulary=tiny.VOCABULARY):
    return objective.build(family, vocabulary, None, tiny.MAX_TOKENS)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """The folder of a model whose weights are none of the first ones."""
    folder, model = tmp_path_factory.mktemp("teacher"), made(Masked(), Bert(layers=2, **SIZES))
    for n, variable in enumerate(model.trainable_weights):
        variable.assign(np.random.default_rng(n).normal(0, 0.3, variable.shape))
    return str(folder / Masked().save(model, folder))


def test_a_copy_of_the_teacher_has_nothing_to_learn_from_it(teacher):
    """Head and word vectors come along; what is left is the masked language model's own loss."""
    family = Bert(layers=2, **SIZES)
    alone = MaskedDistillation(teacher=teacher, soft=1.0, hard=0.0, cosine=1.0)
    np.testing.assert_allclose(made(alone, family)(BATCH), 0, atol=1e-5)
    other = made(MaskedDistillation(teacher=teacher, soft=1.0, hard=0.0, cosine=0.0, copy_layers=False), family)
    assert np.min(other(BATCH)) > 0.01
    away = made(MaskedDistillation(teacher=teacher, soft=0.0, hard=0.0, cosine=1.0, copy_layers=False), family)
    assert np.min(away(BATCH)) > 0.1
    assert alone.metrics(None, {}) == {}


def test_the_teacher_is_in_no_checkpoint(teacher):
    student = made(MaskedDistillation(teacher=teacher), STUDENT)
    assert len(student.weights) == len(made(Masked(), STUDENT).weights)
    words = student.backbone.token_embedding.embeddings.numpy()
    assert np.array_equal(words, np.random.default_rng(0).normal(0, 0.3, words.shape).astype(np.float32))


def test_a_published_model_teaches(tmp_path):
    """Its copy has nothing to learn from it, but for the smaller epsilon of its norms."""
    about = json.loads((GOLDEN / "published.json").read_text())["masked"]["bert"]
    size = tiny.VOCABULARY.size
    shapes = {key: [size if n == 13 else n for n in shape] for key, shape in about["shapes"].items()}
    folder = write(tmp_path, about["config"] | {"vocab_size": size}, shapes, 0.25)
    family = Bert(layers=2, intermediate=12, **SIZES)
    alone = MaskedDistillation(teacher=str(folder), soft=1.0, hard=0.0, cosine=1.0)
    np.testing.assert_allclose(made(alone, family)(BATCH), 0, atol=1e-3)
    other = made(MaskedDistillation(teacher=str(folder), soft=1.0, hard=0.0, cosine=0.0, copy_layers=False), family)
    assert np.min(other(BATCH)) > 0.01


def test_teachers_that_do_not_fit(teacher, tmp_path):
    with pytest.raises(ConfigError, match="cosine: got a teacher of width 8 for one of 4"):
        made(MaskedDistillation(teacher=teacher, copy_layers=False), DistilBert(layers=1, width=4, heads=2))
    with pytest.raises(ConfigError, match="copy_layers: got albert 1x8 and a teacher that is bert 2x8"):
        made(MaskedDistillation(teacher=teacher), Albert(layers=1, **SIZES))
    with pytest.raises(ConfigError, match="wanted the teacher's tokenizer"):
        made(MaskedDistillation(teacher=teacher), STUDENT, tiny.VOCABULARY._replace(size=9))
    with pytest.raises(ConfigError, match="holds no model; wanted what"):
        made(MaskedDistillation(teacher=str(tmp_path)), STUDENT)
