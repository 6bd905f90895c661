"""Tests `models/families/transformer.py`; its layers are in test_attention.py."""

import numpy as np
import pytest
from pydantic import ValidationError

from models.attention import sinusoids
from models.families.transformer import Transformer
from tests.contracts import decoder, tiny
from tests.contracts.family import build, check_answers


def test_word_vectors_are_scaled_and_positions_added():
    """Section 3.4: the embedding's weights times sqrt(width)."""
    model = build(tiny.family("transformer"), "classification")
    packed = model.pack(tiny.batch("classification", 5))
    table = model.encoder.parts["embedding"].embeddings.numpy()
    expected = table[packed["ids"]] * np.sqrt(8) + sinusoids(5, 8)
    np.testing.assert_allclose(model.encoder(packed).layers[0], expected, atol=1e-5)


def test_word_order_counts():
    encoder = build(tiny.family("transformer"), "classification").encoder
    mask = np.ones([1, 3], bool)
    one, other = (encoder({"ids": np.array([ids], np.int32), "mask": mask}).pooled for ids in ([5, 6, 7], [7, 6, 5]))
    assert np.abs(one - other).max() > 1e-3


def test_an_encoder_looks_both_ways():
    encoder = build(tiny.family("transformer"), "classification").encoder
    mask = np.ones([1, 3], bool)
    one, other = (encoder({"ids": np.array([ids], np.int32), "mask": mask}).sequence for ids in ([5, 6, 7], [5, 6, 8]))
    assert np.abs(one - other)[0, 0].max() > 1e-4


def test_a_pre_norm_stack_ends_in_a_norm():
    for norm in ("pre", "post"):
        model = build(tiny.family("transformer", norm=norm), "classification")
        for weight in model.encoder.trainable_weights:
            if weight.name in ("gamma", "beta"):
                weight.assign(np.full(weight.shape, weight.name == "gamma"))
        sequence = model.encoder(model.pack(tiny.batch("classification", 5))).sequence
        np.testing.assert_allclose(np.mean(sequence, axis=2), 0, atol=1e-5)
        np.testing.assert_allclose(np.std(sequence, axis=2), 1, atol=1e-2)


OTHER = {"layers": 2, "norm": "post", "positions": "learned", "tied_embeddings": False, "pooling": "attention"}


def test_the_other_choices_keep_the_contract():
    check_answers(tiny.family("transformer", **OTHER), "classification", pairs=False)
    decoder.check_decoder(tiny.family("transformer", **OTHER), memory=True)


def test_one_matrix_for_source_target_and_scores_where_tied():
    tied, free = (decoder.build(tiny.family("transformer", tied_embeddings=tied), True) for tied in (True, False))
    sizes = [sum(tiny.VOCABULARY.size in weight.shape for weight in each.trainable_weights) for each in (tied, free)]
    assert sizes == [1, 3]  # the free output has a bias of that size


def test_more_steps_than_positions_are_refused():
    made = decoder.build(tiny.family("transformer"), False)
    with pytest.raises(ValueError, match=f"got {tiny.MAX_TOKENS + 1} steps, wanted {tiny.MAX_TOKENS} at most"):
        made.init_state(None, np.ones([1, 1], bool), tiny.MAX_TOKENS + 1)


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="got width 10 with 4 heads, wanted a multiple"):
        Transformer(width=10)
