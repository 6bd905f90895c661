"""Generation against what brute force finds, on decoders small enough to try every text."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from models.decoding import Prompt, generate, stream
from models.families.base import Vocabulary
from models.families.recurrent import Gru, Lstm
from models.families.transformer import Transformer
from models.generation import Generation
from models.layers import Decoder

V = Vocabulary(size=7, pad=0, unknown=1, start=2, end=3)
TOKENS = (3, 4, 5, 6)  # what a text may have, end first
PROMPTS = [[2], [2, 5, 4, 6], [2, 6]]


def decoder(seed: int = 0, family=Gru, width: int = 8, sharp: float = 3.0) -> Decoder:
    """A causal decoder with weights large enough that its choices differ."""
    tf.keras.utils.set_random_seed(seed)
    made = family(width=width, embedding=width, dropout=0.0).build_decoder(V, 32, memory=False)
    made.logits(made({"ids": tf.constant([[2]]), "mask": tf.constant([[True]])}).sequence)
    for weight in made.trainable_weights:
        weight.assign(
            tf.random.stateless_normal(weight.shape, [seed, weight.shape.num_elements()]) * sharp / width**0.5
        )
    return made


def prompt(rows=PROMPTS) -> Prompt:
    lengths = [len(row) for row in rows]
    ids = [row + [V.pad] * (max(lengths) - len(row)) for row in rows]
    return Prompt(tf.constant(ids, tf.int32), tf.constant(lengths, tf.int32))


def log_probabilities(model: Decoder, ids: list[int]) -> np.ndarray:
    """Of the token after `ids`, from the whole text at once, special tokens left out <float64>[V]."""
    text = {"ids": tf.constant([ids]), "mask": tf.ones([1, len(ids)], tf.bool)}
    logits = model.logits(model(text).sequence)[0, -1].numpy().astype(np.float64)
    logits[[V.pad, V.unknown, V.start]] = -np.inf
    return logits - np.logaddexp.reduce(logits)


def texts(result, row: int = 0) -> list[list[int]]:
    return [ids[:n].tolist() for ids, n in zip(result.ids[row].numpy(), result.lengths[row].numpy(), strict=True)]


def every_text(
    model: Decoder, start: list[int], longest: int, penalty: float, ends: tuple[int, ...] = (V.end,)
) -> list[tuple[float, list[int]]]:
    """All texts of at most `longest` tokens, one of `ends` included, the best first."""
    found = []

    def grow(ids: list[int], score: float) -> None:
        made = len(ids) - len(start)
        scores = log_probabilities(model, ids)
        for token in TOKENS:
            total = score + scores[token]
            if token in ends or made + 1 == longest:
                kept = ids[len(start) :] + ([token] if token not in ends else [])
                found.append((total / ((6.0 + made) / 6) ** penalty, kept))
            else:
                grow([*ids, token], total)

    grow(start, 0.0)
    return sorted(found, reverse=True)


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


def test_options_that_would_do_nothing_are_refused():
    for wrong in ({"beams": 3}, {"method": "beam", "top_p": 0.5}, {"method": "contrastive", "n_best": 2}):
        with pytest.raises(ValidationError, match="does not read it"):
            Generation(**wrong)
    with pytest.raises(ValidationError, match="n_best: got 5 with 4 beams"):
        Generation(method="beam", n_best=5)
    with pytest.raises(ValueError, match="wanted another method than 'beam'"):
        next(stream(decoder(), prompt(), Generation(method="beam"), V))
