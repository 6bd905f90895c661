"""What exported models answer that tell how likely a text is, told again by hand from the model."""

import numpy as np
import tensorflow as tf

from data.store import split_words
from tests.contracts import tiny


def check_likelihoods(serve, model, task_name: str) -> None:
    """Each text's likelihood is that of its tokens between two ends, read at once."""
    texts, task = [*tiny.examples(task_name)[0].column("text").to_pylist(), "strange good film"], tiny.task(task_name)
    found = serve(text=tf.constant(texts))
    for row, text in enumerate(texts):
        end = [tiny.VOCABULARY.end]
        ids = np.array([end + tiny.WORDS.encode([text])[0].tolist() + end], np.int32)
        batch = {"ids": ids, "length": np.array([ids.shape[1]], np.int32), "weight": np.ones(1, np.float32)}
        outcome = {name: value.numpy() for name, value in task.outcome(model(batch), batch).items()}
        np.testing.assert_allclose(found["log_likelihood"][row], -outcome["loss"][0], rtol=1e-5)
        assert found["tokens"][row] == outcome["tokens"][0] == len(text.split()) + 1
        np.testing.assert_allclose(found["perplexity"][row], task.metrics(outcome, batch)["perplexity"], rtol=1e-5)
        bits = -found["log_likelihood"][row] / np.log(2) / (len(text.encode()) + 1)
        np.testing.assert_allclose(found["bits_per_byte"][row], bits, rtol=1e-5)
    assert found["unknown"].numpy().tolist() == [0] * (len(texts) - 1) + [1]


def check_pseudo_likelihoods(serve, model) -> None:
    """Each text's is the sum of its tokens', each hidden by itself."""
    texts = ["good film", "strange not bad", "fun"]
    found = serve(text=tf.constant(texts))
    for row, text in enumerate(texts):
        ids = tiny.WORDS.encode([text])[0].tolist()
        hidden = [[*ids[:n], tiny.VOCABULARY.mask, *ids[n + 1 :]] for n in range(len(ids))]
        wanted = sum(log_p[ids[n]] for n, log_p in enumerate(told_by_hand(model, hidden)))
        np.testing.assert_allclose(found["log_likelihood"][row], wanted, rtol=1e-5)
        np.testing.assert_allclose(found["perplexity"][row], np.exp(-wanted / len(ids)), rtol=1e-5)
        np.testing.assert_allclose(found["bits_per_byte"][row], -wanted / np.log(2) / len(text), rtol=1e-5)
    assert found["tokens"].numpy().tolist() == [2, 3, 1] and found["unknown"].numpy().tolist() == [0, 1, 0]


def check_filled(fill, model, task_name: str) -> None:
    """The best words of each gap, and their probabilities."""
    found, mask = fill(text=tf.constant(["very [MASK] film [MASK]", "fun", "[MASK]"])), tiny.VOCABULARY.mask
    assert found["length"].numpy().tolist() == [2, 0, 1]
    very, film = tiny.WORDS.encode(["very film"])[0].tolist()
    first, second = [very, mask, film, mask], [mask]
    for row, gap, log_p in (
        (0, 0, told_by_hand(model, [first], 1)[0]),
        (0, 1, told_by_hand(model, [first], 3)[0]),
        (2, 0, told_by_hand(model, [second])[0]),
    ):
        best = [i for i in np.argsort(-log_p) if i not in tiny.VOCABULARY.special][: tiny.task(task_name).top]
        assert [word.decode() for word in found["tokens"][row, gap].numpy()] == [tiny.WORDS.vocabulary[i] for i in best]
        np.testing.assert_allclose(found["scores"][row, gap], np.exp(log_p[best]), atol=1e-5)
    assert not np.any(found["scores"][1]) and set(found["tokens"][1].numpy().ravel()) == {b""}


def told_by_hand(model, rows: list[list[int]], place: int | None = None) -> np.ndarray:
    """Log-probabilities <float32>[N, size] at the gap of each row: at `place`, or in row n at its n-th token."""
    packed = model.pack({"ids": np.array(rows, np.int32), "length": np.array([len(row) for row in rows], np.int32)})
    sequence = model.read(packed).sequence.numpy()
    at = [np.flatnonzero(packed["place"][n] == (n if place is None else place))[0] for n in range(len(rows))]
    return tf.nn.log_softmax(model.head.scores(tf.constant(sequence[np.arange(len(rows)), at]))).numpy()


def check_both_ways(serve, model) -> None:
    """Each text's is the mean of both directions', of which each tells a token from one side alone."""
    texts = ["good film", "strange not bad", "fun"]
    found = serve(text=tf.constant(texts))
    for row, text in enumerate(texts):
        words = text.split()
        ids = np.array([tiny.WORDS.encode([text])[0]], np.int32)
        batch = {"ids": ids, "length": np.array([len(words)], np.int32)}
        batch["word_bytes"] = split_words([np.frombuffer(text.encode(), np.uint8)], len(words), tiny.WIDTH)
        made = model(batch)
        wanted = [*ids[0], tiny.VOCABULARY.end, tiny.VOCABULARY.start, *ids[0]]
        log_p = tf.nn.log_softmax(made["logits"][0]).numpy()[np.arange(len(wanted)), wanted]
        sides = log_p.reshape(2, -1).sum(axis=1)
        for side, expected in zip(("forwards", "backwards"), sides, strict=True):
            np.testing.assert_allclose(found[f"log_likelihood_{side}"][row], expected, rtol=1e-5)
        np.testing.assert_allclose(found["log_likelihood"][row], sides.mean(), rtol=1e-5)
        np.testing.assert_allclose(found["perplexity"][row], np.exp(-sides.mean() / (len(words) + 1)), rtol=1e-5)
    assert found["tokens"].numpy().tolist() == [3, 4, 2] and found["unknown"].numpy().tolist() == [0, 1, 0]
