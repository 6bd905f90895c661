"""Tests `models/tasks/similarity.py`, its judgement and `models/correlation.py`."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from scipy import stats

from models.correlation import pearson, spearman
from models.evaluation import own_pairs
from models.evaluation.similarity import SimilarityJudgement
from models.tasks.similarity import Similarity

RANDOM = np.random.default_rng(0)


def vectors(rows=4):
    made = {name: RANDOM.normal(size=[rows, 3]).astype(np.float32) for name in ("text", "pair", "negative")}
    made = {name: each / np.linalg.norm(each, axis=1, keepdims=True) for name, each in made.items()}
    return {**made, "score": (made["text"] * made["pair"]).sum(axis=1)}


def test_correlations_are_scipys_and_a_weight_counts_as_rows():
    x, y = RANDOM.integers(0, 5, 50), RANDOM.normal(size=50)
    ones, twice = np.ones(50), np.r_[np.full(10, 2.0), np.ones(40)]
    assert pearson(x, y, ones) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert spearman(x, y, ones) == pytest.approx(stats.spearmanr(x, y).statistic)
    doubled = np.r_[x[:10], x], np.r_[y[:10], y]
    assert spearman(x, y, twice) == pytest.approx(stats.spearmanr(*doubled).statistic)
    assert np.isnan(pearson(np.ones(5), np.arange(5), np.ones(5)))


def test_the_range_of_scores_is_the_training_splits_unless_it_is_given():
    task = Similarity().settled(np.array([1.0, 5.0], np.float32))
    assert task.range == (1.0, 5.0) and Similarity(low=0, high=10).settled(np.array([1.0])).range == (0, 10)
    loss = task.loss({"score": tf.constant([0.5, 1.0])}, {"score": np.array([3.0, 1.0], np.float32)})
    np.testing.assert_allclose(loss, [0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(task.answer({"score": tf.constant([0.5])}, [])["score"], [3.0])


def test_ranking_is_a_softmax_over_the_batch_without_its_filling():
    logits, batch = vectors(), {"weight": np.array([1, 1, 1, 0], np.float32)}
    task = Similarity(objective="ranking", temperature=0.1)
    cosines = np.concatenate([logits["text"] @ logits["pair"].T, logits["text"] @ logits["negative"].T], axis=1) / 0.1
    kept = cosines[0, [0, 1, 2, 4, 5, 6]]
    wanted = -(kept[0] - np.log(np.exp(kept).sum()))
    np.testing.assert_allclose(task.loss(logits, batch)[0], wanted, rtol=1e-5)
    rank = task.outcome(logits, batch)["rank"].numpy()[0]
    assert rank == pytest.approx(1 / (1 + (kept[1:] > kept[0]).sum()))


def test_contrastive_is_the_mean_of_the_softmax_from_each_side():
    """Of the pairs among the texts no negative is one: it has no text of its own. A row that only fills is none."""
    logits, temperature = vectors(), 0.1
    batch = {"weight": np.array([1, 1, 0, 1], np.float32)}
    cosines = logits["text"] @ logits["pair"].T / temperature
    beside = logits["text"] @ logits["negative"].T / temperature

    def chosen(own, row, among):
        kept = np.array([own[row, n] for n in range(4) if n == row or n != 2])
        return own[row, row] - np.log(np.exp(kept).sum() + among)

    for row in range(4):
        among = np.exp(np.delete(beside[row], 2)).sum() + (np.exp(beside[2, 2]) if row == 2 else 0)
        wanted = -(chosen(cosines, row, among) + chosen(cosines.T, row, 0.0)) / 2
        found = Similarity(objective="contrastive", temperature=temperature).loss(logits, batch)[row].numpy()
        assert found == pytest.approx(wanted, rel=1e-5)


def test_a_triplet_costs_what_the_margin_lacks():
    logits = vectors()
    far = (logits["text"] * logits["negative"]).sum(axis=1)
    wanted = np.maximum(far - logits["score"] + 0.2, 0)
    np.testing.assert_allclose(Similarity(objective="triplet").loss(logits, {}), wanted, atol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"encoder": "cross", "objective": "ranking"}, "wanted 'regression'"),
        ({"low": 2, "high": 1}, "low below high"),
        (
            {"temperature": 0.1},
            "temperature: objective 'regression' does not read it, only 'ranking' and 'contrastive'",
        ),
        ({"objective": "triplet", "temperature": 0.1, "high": 1}, "temperature: .*; high: .*, only 'regression'"),
        ({"objective": "contrastive", "margin": 0.1, "low": 0}, "margin: .*, only 'triplet'; low: "),
    ],
)
def test_what_does_not_go_together_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        Similarity(**options)
    assert "no 'negative'" in Similarity(objective="triplet").check(["text"])[0]


def test_the_judgement_measures_order_and_line_beside_shared_words():
    rows = pa.table({"key": [1, 2, 3], "text": ["a b", "c d", "e f"], "text_pair": ["a b", "c x", "y z"]})
    rows = rows.append_column("score", pa.array([5.0, 3.0, 0.0]))
    judged = SimilarityJudgement({"score": np.array([0.9, 0.2, 0.1], np.float32)}, rows, rows.slice(0, 0), [])
    found = judged.measure(50, 0)
    assert found["spearman"]["value"] == pytest.approx(1.0)
    assert found["pearson"]["value"] == pytest.approx(stats.pearsonr([0.9, 0.2, 0.1], [5, 3, 0]).statistic, abs=1e-6)
    assert judged.baseline()[0]["spearman"] == pytest.approx(1.0)
    assert judged.at(np.ones([2, 3]), ["spearman"])["spearman"].tolist() == [1.0, 1.0]
    assert np.isnan(judged.at(np.ones([1, 3]), ["mrr"])["mrr"]) and SimilarityJudgement.vectors_of(["score"]) == ()


def judged_by(text, pair, texts, pairs, **more):
    """A judgement of rows without scores, by these vectors of theirs."""
    rows = pa.table({"key": range(len(texts)), "text": texts, "text_pair": pairs, **more})
    answers = {f"{name}_vector": np.array(each, np.float32) for name, each in (("text", text), ("text_pair", pair))}
    return SimilarityJudgement({**answers, "score": np.ones(len(texts), np.float32)}, rows, rows.slice(0, 0), [])


def test_without_scores_it_measures_the_rank_of_each_texts_own_pair():
    angles = np.array([0.0, 1.0, 2.0]), np.array([0.1, 2.1, 1.2])
    unit = [np.stack([np.cos(each), np.sin(each)], axis=1) for each in angles]
    judged = judged_by(*unit, ["a b", "c d", "e f"], ["a x", "y z", "e f"], weight=[1.0, 1.0, 2.0])
    ranks = [1, 3, 2]  # from the second text its own pair is 1.1 away, the others 0.9 and 0.2
    assert judged.table().column("rank").to_pylist() == ranks and judged.loss.tolist() == [1 - 1 / n for n in ranks]
    found = judged.measure(100, 0)
    assert list(found) == ["mrr"] and found["mrr"]["value"] == pytest.approx((1 + 1 / 3 + 2 / 2) / 4)
    assert found["mrr"]["low"] < found["mrr"]["value"] < found["mrr"]["high"]
    assert judged.measure(9, 0, np.array([1]))["mrr"]["value"] == pytest.approx(1 / 3), "a slice, among all pairs"
    assert judged.at(np.array([[0, 2, 0]]), ["mrr"])["mrr"] == pytest.approx(1 / 3)
    baseline, says = judged.baseline()
    assert baseline == {"mrr": pytest.approx((1 + 1 / 2 + 2) / 4)} and "Jaccard" in says, "no shared word: all equal"
    assert judged.details(9, 0) == {"candidates": 3} and judged.remarks() == []


@pytest.mark.parametrize("vector, rank", [([1.0, 0.0], 3), ([0.0, 0.0], 3), ([np.nan, 0.0], 5)])
def test_a_model_that_tells_no_texts_apart_ranks_by_chance_and_one_without_numbers_last(vector, rank):
    same, names = [vector] * 5, [f"t{n}" for n in range(5)]
    noisy = np.array(same) + np.array([[0, 0, 1, 2, 1]]).T * 1e-7
    assert judged_by(noisy, same, names, names).rank.tolist() == [rank] * 5


def test_a_pair_of_several_rows_counts_once_and_what_belongs_to_the_same_text_not_at_all(monkeypatch):
    text, pair = [[1, 0], [1, 0], [0, 1]], [[1, 0], [0.8, 0.6], [1, 0]]
    judged = judged_by(text, pair, ["a", "a", "b"], ["x", "y", "x"])
    assert judged.rank.tolist() == [1, 1, 2] and judged.details(9, 0) == {"candidates": 2}
    monkeypatch.setattr(own_pairs, "CANDIDATES", 2)
    names = [f"t{n}" for n in range(4)]
    turned = [[np.cos(n), np.sin(n)] for n in range(4)]
    capped = judged_by(turned, turned[::-1], names, names)
    assert capped.details(9, 0) == {"candidates": 2} and capped.rank.tolist() == [2, 1.5, 1.5, 2]


def test_without_scores_and_vectors_it_says_that_nothing_is_measured():
    rows = pa.table({"key": [1, 2], "text": ["a", "b"], "text_pair": ["a", "c"]})
    judged = SimilarityJudgement({"score": np.zeros(2, np.float32)}, rows, rows.slice(0, 0), [])
    assert judged.measure(9, 0) == {} and judged.baseline()[0] == {} and "cross-encoder" in judged.remarks()[0]
