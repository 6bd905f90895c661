"""Generation on decoders small enough to be followed by hand; beam search has a file of its own."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from models.decoding import Prompt, generate, stream
from models.families.transformer import Transformer
from models.generation import Generation
from tests.models.tiny_decoders import PROMPTS, V, decoder, log_probabilities, prompt, texts


def test_greedy_takes_the_likeliest_token_each_time():
    model = decoder(3)
    found = generate(model, prompt(), Generation(max_tokens=8), V)
    for row, start in enumerate(PROMPTS):
        ids, score = list(start), 0.0
        while len(ids) - len(start) < 8:
            scores = log_probabilities(model, ids)
            ids.append(int(scores.argmax()))
            score += scores.max()
            if ids[-1] == V.end:
                break
        assert texts(found, row) == [[token for token in ids[len(start) :] if token != V.end]]
        assert found.scores[row, 0].numpy() == pytest.approx(score, abs=1e-4)
    assert (found.ids.numpy()[np.arange(8) >= found.lengths.numpy()[:, :, None]] == V.pad).all()


@pytest.mark.parametrize(
    "options",
    [
        Generation(max_tokens=7),
        Generation(method="beam", beams=3, n_best=2, max_tokens=7),
        Generation(method="beam", beams=3, max_tokens=7, early_stopping=True, no_repeat_ngram=2),
        Generation(method="contrastive", max_tokens=7),
        Generation(max_tokens=7, min_tokens=4, repetition_penalty=1.5),
    ],
    ids=lambda options: options.method,
)
def test_a_row_does_not_depend_on_its_neighbours(options):
    for seed in range(4):
        model = decoder(seed)
        together = generate(model, prompt(), options, V)
        for row, start in enumerate(PROMPTS):
            alone = generate(model, prompt([start]), options, V)
            assert texts(together, row) == texts(alone)
            np.testing.assert_allclose(together.scores[row], alone.scores[0], atol=1e-5)


def test_lengths_are_kept():
    for method in ("greedy", "beam"):
        for seed in range(4):
            found = generate(decoder(seed), prompt(), Generation(method=method, max_tokens=9, min_tokens=6), V)
            assert (found.lengths >= 6).numpy().all() and (found.lengths <= 9).numpy().all()


def test_no_ngram_comes_twice():
    for seed in range(4):
        for method in ("greedy", "beam"):
            options = Generation(method=method, max_tokens=7, min_tokens=6, no_repeat_ngram=2)
            found = generate(decoder(seed), prompt(), options, V)
            for row, start in enumerate(PROMPTS):
                whole = start + texts(found, row)[0]
                pairs = list(itertools.pairwise(whole))
                assert len(whole) > 6 and len(pairs) == len(set(pairs)), whole


def test_a_repetition_penalty_is_that_of_ctrl():
    """Keskar et al. 2019: scores of tokens that were there are divided, or multiplied where they are negative."""
    model, penalty = decoder(5), 2.0
    found = generate(model, prompt([[2, 5, 4]]), Generation(max_tokens=6, repetition_penalty=penalty), V)
    ids = [2, 5, 4]
    for _ in range(6):
        text = {"ids": tf.constant([ids]), "mask": tf.ones([1, len(ids)], tf.bool)}
        logits = model.logits(model(text).sequence)[0, -1].numpy()
        for token in set(ids):
            logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
        logits[[V.pad, V.unknown, V.start]] = -np.inf
        ids.append(int(logits.argmax()))
        if ids[-1] == V.end:
            break
    assert texts(found) == [[token for token in ids[3:] if token != V.end]]


def test_draws_follow_the_probabilities():
    model = decoder(1, sharp=1.5)
    expected = np.exp(log_probabilities(model, [2, 5]))
    for options, wanted in (
        (Generation(method="sample", n_best=4000, max_tokens=1), expected),
        (Generation(method="sample", n_best=4000, max_tokens=1, temperature=2.0), expected**0.5),
        (
            Generation(method="sample", n_best=4000, max_tokens=1, top_k=2),
            expected * (expected >= np.sort(expected)[-2]),
        ),
    ):
        found = generate(model, prompt([[2, 5]]), options, V)
        drawn = np.where(found.lengths[0] == 0, V.end, found.ids[0, :, 0])
        shares = np.bincount(drawn, minlength=V.size) / 4000
        np.testing.assert_allclose(shares, wanted / wanted.sum(), atol=0.03)


def test_top_p_keeps_the_likeliest_that_reach_it():
    model = decoder(1, sharp=1.5)
    expected = np.exp(log_probabilities(model, [2, 5]))
    order = np.argsort(-expected)
    p = float(expected[order[:2]].sum() - 1e-3)  # the first one does not reach it, two do
    found = generate(model, prompt([[2, 5]]), Generation(method="sample", n_best=500, max_tokens=1, top_p=p), V)
    drawn = set(np.where(found.lengths[0] == 0, V.end, found.ids[0, :, 0]).tolist())
    assert drawn == set(order[:2].tolist())


def test_the_same_seed_draws_the_same():
    model = decoder(2, sharp=1.0)
    options = [Generation(method="sample", max_tokens=12, seed=seed) for seed in (1, 1, 2)]
    first, second, third = (generate(model, prompt(), each, V).ids.numpy() for each in options)
    assert (first == second).all() and (first != third).any()


def test_stop_sequences_end_a_text_and_are_cut():
    model = decoder(4)
    free = texts(generate(model, prompt([[2]]), Generation(max_tokens=10, min_tokens=9), V))[0]
    stop = free[3:5]
    first = next(i for i in range(len(free)) if free[i : i + 2] == stop)
    found = generate(model, prompt([[2]]), Generation(max_tokens=10, min_tokens=9), V, [stop, [6] * 9])
    assert texts(found) == [free[:first]]


@pytest.mark.parametrize("seed", range(4, 8))
def test_contrastive_search_is_that_of_its_equation(seed):
    model, k, alpha = decoder(seed, sharp=1.5), 3, 0.6
    found = generate(model, prompt([[2, 5]]), Generation(method="contrastive", top_k=k, alpha=alpha, max_tokens=6), V)
    ids = [2, 5]
    for _ in range(6):
        scores = log_probabilities(model, ids)
        values = {}
        for token in np.argsort(-scores)[:k]:
            text = {"ids": tf.constant([[*ids, int(token)]]), "mask": tf.ones([1, len(ids) + 1], tf.bool)}
            hidden = tf.math.l2_normalize(model(text).sequence[0], axis=-1).numpy()
            values[int(token)] = (1 - alpha) * np.exp(scores[token]) - alpha * (hidden[:-1] @ hidden[-1]).max()
        ids.append(max(values, key=values.__getitem__))
        if ids[-1] == V.end:
            break
    assert texts(found) == [[token for token in ids[2:] if token != V.end]]


@pytest.mark.parametrize("method", ["greedy", "sample", "contrastive"])
def test_a_stream_gives_what_generate_gives(method):
    model, options = decoder(3), Generation(method=method, max_tokens=8)
    columns = np.stack([token.numpy() for token in stream(model, prompt(), options, V)], axis=1)
    found = generate(model, prompt(), options, V)
    for row in range(len(PROMPTS)):
        assert [token for token in columns[row].tolist() if token != V.pad] == texts(found, row)[0]


def test_a_stream_holds_back_what_may_be_a_stop():
    model, options = decoder(4), Generation(max_tokens=10, min_tokens=9)
    free = texts(generate(model, prompt(), options, V))[0]
    for stops in ([free[3:4]], [free[3:5], [6] * 9], [[*free[:2], 1]]):
        columns = np.stack([token.numpy() for token in stream(model, prompt(), options, V, stops)], axis=1)
        found = generate(model, prompt(), options, V, stops)
        for row in range(len(PROMPTS)):
            assert [token for token in columns[row].tolist() if token != V.pad] == texts(found, row)[0]


@pytest.mark.parametrize("options", [Generation(max_tokens=5), Generation(method="beam", beams=3, max_tokens=5)])
def test_in_a_graph_it_is_the_same_without_xla(options):
    model = decoder(2)
    shapes = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)
    traced = tf.function(lambda ids, n: generate(model, Prompt(ids, n), options, V), shapes, autograph=False)
    for rows in (PROMPTS, [[2, 4]]):
        eager, graph = generate(model, prompt(rows), options, V), traced(*prompt(rows)[:2])
        assert (eager.ids.numpy() == graph.ids.numpy()).all() and graph.ids.shape[1:] == (1, 5)
    graph = traced.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert not [node.op for node in nodes if "Xla" in node.op or "PyFunc" in node.op]


def test_with_a_memory_each_row_reads_its_own_source():
    tf.keras.utils.set_random_seed(1)
    made = Transformer(width=8, heads=2, layers=1, dropout=0.0).build_decoder(V, 32, memory=True)
    source = {
        "ids": tf.constant([[4, 5, 6, 4], [6, 6, 0, 0]]),
        "mask": tf.constant([[True] * 4, [True, True, False, False]]),
    }
    source["segment_ids"] = tf.zeros_like(source["ids"])
    made.logits(made({**source, "target_ids": source["ids"], "target_mask": source["mask"]}).sequence)
    for weight in made.trainable_weights:
        weight.assign_add(tf.random.normal(weight.shape))

    def answers(rows, options):
        encoded = made.encode({name: value[rows] for name, value in source.items()})
        start = tf.fill([encoded.mask.shape[0], 1], V.start)
        return generate(made, Prompt(start, tf.ones_like(start[:, 0]), encoded.sequence, encoded.mask), options, V)

    for method in ("greedy", "beam"):
        options = Generation(method=method, max_tokens=6, min_tokens=4)
        together = answers(slice(0, 2), options)
        assert [texts(answers(slice(n, n + 1), options)) for n in range(2)] == [texts(together, 0), texts(together, 1)]
        assert texts(together, 0) != texts(together, 1)


def test_options_that_would_do_nothing_are_refused():
    for wrong in ({"beams": 3}, {"method": "beam", "top_p": 0.5}, {"method": "contrastive", "n_best": 2}):
        with pytest.raises(ValidationError, match="does not read it"):
            Generation(**wrong)
    with pytest.raises(ValidationError, match="n_best: got 5 with 4 beams"):
        Generation(method="beam", n_best=5)
    with pytest.raises(ValueError, match="wanted another method than 'beam'"):
        next(stream(decoder(), prompt(), Generation(method="beam"), V))
