"""Beam search against what trying every text finds."""

import numpy as np
import pytest
import tensorflow as tf

from models.decoding import Prompt, generate
from models.families.recurrent import Lstm
from models.families.transformer import Transformer
from models.generation import Generation
from tests.models.tiny_decoders import TOKENS, V, decoder, every_text, prompt, texts


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
def test_beam_search_finds_what_trying_every_text_finds(seed, penalty):
    model, longest = decoder(seed), 4
    options = Generation(method="beam", beams=64, n_best=5, max_tokens=longest, length_penalty=penalty)
    expected = every_text(model, [2, 5], longest, penalty)[:5]
    found = generate(model, prompt([[2, 5]]), options, V)
    assert texts(found) == [text for _, text in expected]
    np.testing.assert_allclose(found.scores[0], [score for score, _ in expected], atol=1e-4)


def test_beams_go_on_where_several_tokens_end_a_text():
    """Two of the two likeliest tokens may end a text: the one beam goes on with the third."""
    for seed in (0, 5, 14):
        model = decoder(seed, sharp=0.5)
        options = Generation(method="beam", beams=1, max_tokens=5, length_penalty=4.0)
        found = generate(model, prompt([[2, 5]]), options, V, [[4], [6]])
        score, text = every_text(model, [2, 5], 5, 4.0, (V.end, 4, 6))[0]
        assert texts(found) == [text] and found.scores[0, 0].numpy() == pytest.approx(score, abs=1e-4)


def test_stopping_early_answers_what_has_ended_by_then():
    """Token 4 is likelier than the end at each step, and the penalty is for the longest: two have ended after two."""
    model = decoder()
    for weight in model.trainable_weights:
        weight.assign(tf.zeros(weight.shape))
    model.trainable_weights[-1].assign(tf.math.log([0.0, 0.0, 0.0, 0.3, 0.5, 0.1, 0.1]))  # of the output
    patient = Generation(method="beam", beams=2, max_tokens=5, length_penalty=4.0)
    score, text = every_text(model, [2, 5], 5, 4.0)[0]
    found = generate(model, prompt([[2, 5]]), patient, V)
    assert texts(found) == [text] == [[4] * 5] and found.scores[0, 0].numpy() == pytest.approx(score, abs=1e-4)
    found = generate(model, prompt([[2, 5]]), patient.model_copy(update={"early_stopping": True}), V)
    early = np.log([0.5, 0.3]).sum() / (7 / 6) ** 4
    assert texts(found) == [[4]] and found.scores[0, 0].numpy() == pytest.approx(early, abs=1e-4) and early < score


def test_few_beams_are_not_worse_than_one():
    """A hypothesis that has ended cannot lose its place any more: more beams, better or equal."""
    for seed in range(8):
        model = decoder(seed, Lstm)
        scores = [
            generate(
                model, prompt([[2]]), Generation(method="beam", beams=k, max_tokens=6, length_penalty=0.0), V
            ).scores
            for k in (1, 4, 256)
        ]
        assert scores[2] >= scores[1] - 1e-5 and scores[2] >= scores[0] - 1e-5


@pytest.mark.parametrize("penalty", [0.0, 0.5, 3.0])
def test_what_a_beam_leaves_out_of_the_source_counts_against_it(penalty):
    """Every text of at most three tokens, scored one after another, against beam search (Wu et al. 2016, eq. 14)."""
    tf.keras.utils.set_random_seed(4)
    made = Transformer(width=8, heads=2, layers=2, dropout=0.0).build_decoder(V, 32, memory=True)
    source = {"ids": tf.constant([[4, 5, 6, 4, 0]]), "mask": tf.constant([[True] * 4 + [False]])}
    source["segment_ids"] = tf.zeros_like(source["ids"])
    made.logits(made({**source, "target_ids": source["ids"], "target_mask": source["mask"]}).sequence)
    for weight in made.trainable_weights:
        weight.assign_add(tf.random.normal(weight.shape))
    encoded = made.encode(source)
    first = made.init_state(encoded.sequence, encoded.mask, 8)
    found = []

    def grow(new: list[int], token: int, state, score: float) -> None:
        logits, state = made.step(tf.constant([token]), state)
        logits = logits[0].numpy().astype(np.float64)
        logits[[V.pad, V.unknown, V.start]] = -np.inf
        log_p = logits - np.logaddexp.reduce(logits)
        seen = made.coverage(state).numpy()[0]
        assert seen[:4].sum() == pytest.approx(len(new) + 1, abs=1e-4) and seen[4] == 1
        for after in TOKENS:
            total, kept = score + log_p[after], [*new, after]
            if after == V.end or len(kept) == 3:
                covered = penalty * np.log(np.clip(seen, 1e-6, 1)).sum()
                text = [each for each in kept if each != V.end]
                found.append((total / ((5 + len(kept)) / 6) ** 0.6 + covered, text))
            else:
                grow(kept, after, state, total)

    grow([], V.start, first, 0.0)
    options = Generation(method="beam", beams=64, n_best=5, max_tokens=3, coverage_penalty=penalty)
    start = tf.constant([[V.start]])
    best = generate(made, Prompt(start, tf.constant([1]), encoded.sequence, encoded.mask), options, V)
    expected = sorted(found, reverse=True)[:5]
    assert texts(best) == [text for _, text in expected]
    np.testing.assert_allclose(best.scores[0], [score for score, _ in expected], atol=1e-4)


def test_without_a_source_there_is_nothing_to_cover():
    with pytest.raises(ValueError, match="coverage_penalty: the model reads no source"):
        generate(decoder(), prompt(), Generation(method="beam", coverage_penalty=0.2), V)
