"""What every task must do (DESIGN section 3)."""

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from data.schema import TEXT_PAIR
from models.build import adapt, build_model
from models.evaluation import JUDGES
from models.training import FALLING
from tests.contracts import tiny
from tests.contracts.serving import check_exported


def one_hot(classes: np.ndarray, outputs: int) -> np.ndarray:
    return 20.0 * np.eye(outputs, dtype=np.float32)[classes]


def perfect_tags(batch, outputs: int) -> dict[str, np.ndarray]:
    length, tags = np.minimum(batch["length"], batch["tags"].shape[1]), np.maximum(batch["tags"], 0)
    chain = np.zeros([len(tags), outputs + 2, outputs], np.float32)
    outside = np.full(len(tags), tiny.ANSWERS["tagging"][1].index("O"), np.int32)
    return {"scores": one_hot(tags, outputs), "length": length, "chain": chain, "tags": tags, "outside": outside}


def perfect_spans(batch, outputs: int) -> dict[str, np.ndarray]:
    places = 1 + np.arange(batch["marks_pair"].shape[1])
    places = {name: (places * (batch["marks_pair"] & bit > 0)).max(axis=1) for name, bit in (("start", 1), ("end", 2))}
    return {name: one_hot(place, 1 + batch["marks_pair"].shape[1]) for name, place in places.items()}


def perfect_words(batch, outputs: int) -> dict[str, np.ndarray]:
    return {"logits": one_hot(batch["class"], outputs), "cosine": np.ones(len(batch["class"]), np.float32)}


def perfect_gaps(batch, _) -> dict[str, np.ndarray]:
    place = np.arange(batch["ids"].shape[1])
    return {
        "logits": one_hot(batch["ids"], tiny.VOCABULARY.size),
        "place": np.where(place < batch["length"][:, None], place, -1),
    }


def perfect_sides(batch, _) -> dict[str, np.ndarray]:
    start, end = (np.full([len(batch["ids"]), 1], i, np.int32) for i in (tiny.VOCABULARY.start, tiny.VOCABULARY.end))
    here = np.arange(batch["ids"].shape[1] + 1) <= batch["length"][:, None]
    row = np.concatenate([start, batch["ids"], end], axis=1)
    row[np.arange(len(row)), batch["length"] + 1] = tiny.VOCABULARY.end
    ids = np.concatenate([np.where(here, row[:, 1:], -1), np.where(here, row[:, :-1], -1)], axis=1)
    return {"logits": one_hot(np.maximum(ids, 0), tiny.VOCABULARY.size), "ids": ids}


# Logits a model that knows the answers of a batch would give, by task.
PERFECT = {
    "classification": lambda batch, outputs: one_hot(batch["class"], outputs),
    "tagging": perfect_tags,
    "multi_label": lambda batch, outputs: 40.0 * batch["classes"] - 20.0,
    "ordinal": lambda batch, outputs: one_hot(batch["class"], 3),
    "question_answering": perfect_spans,
    "word_in_context": perfect_words,
    "similarity": lambda batch, outputs: {"score": batch["score"]},
    "text_to_text": lambda batch, _: one_hot(tiny.task("text_to_text").told(batch)[0], tiny.VOCABULARY.size),
    "language_modeling": lambda batch, _: one_hot(batch["ids"][:, 1:], tiny.VOCABULARY.size),
    "masked_language_modeling": perfect_gaps,
    "bidirectional_language_modeling": perfect_sides,
}
# Of the family, where eight texts cannot be learned by heart with its defaults.
STEADY: dict[str, dict] = dict.fromkeys(
    ("text_to_text", "masked_language_modeling", "bidirectional_language_modeling"), {"dropout": 0.0}
)
# Validation metrics that are better when higher: the judges', and those that no judge has.
RISING = {"f1", "pair_accuracy"}.union(*(judge.higher for judge in JUDGES.values()))
# The field of `answer` that holds what the task's label field asks for, by task that has labels.
ANSWER = {
    "classification": "label",
    "tagging": "tag",
    "multi_label": "labels",
    "ordinal": "label",
    "word_in_context": "label",
    "similarity": "score",
}


def check_task(name: str, directory: Path) -> None:
    """Runs every check on the task called `name`, with the first family that fits it.

    tests/test_matrix.py exports each task; only pairs that a task can do without are left to export here.
    """
    family = tiny.family(tiny.fitting(name)[0], **STEADY.get(name, {}))
    check_learns(name, family, tiny.needs_pairs(name))
    if TEXT_PAIR in tiny.task(name).optional:
        check_learns(name, family, pairs=True)
        check_exported(build(name, family, pairs=True), family, name, directory, pairs=True)
    check_metrics(name)
    if name in ANSWER:
        check_labels(name)


def build(name: str, family, pairs: bool) -> keras.Model:
    keras.utils.set_random_seed(0)
    task, labels = tiny.task(name), tiny.examples(name)[1]
    adapted = adapt(family, [tiny.batch(name, 5, pairs)], tiny.VOCABULARY, tiny.MAX_TOKENS, task.apart)
    pairs |= tiny.needs_pairs(name)
    return build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, labels, pairs, adapted)


def check_learns(name: str, family, pairs: bool) -> None:
    """The loss of eight examples falls to less than half in 60 steps."""
    model, task, batch = build(name, family, pairs), tiny.task(name), tiny.batch(name, 5, pairs)
    optimizer = keras.optimizers.Adam(0.1)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = task.loss(model(batch, training=True), batch)
        assert loss.shape == (8,) and loss.dtype == tf.float32
        gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        optimizer.apply(gradients, model.trainable_weights)
        return tf.reduce_mean(loss)

    losses = [float(step()) for _ in range(60)]
    assert losses[-1] < losses[0] / 2, losses


def check_metrics(name: str) -> None:
    """The first metric of perfect logits is 1, and less when they are dealt to other rows; weight 0 hides a row. Of
    every metric early stopping knows what is better."""
    task, batch = tiny.task(name), tiny.batch(name, 5)
    perfect = PERFECT[name](batch, task.n_outputs(tiny.examples(name)[1]))
    order = np.concatenate([np.arange(4), np.roll(np.arange(4, len(batch["weight"])), 1)])
    shuffled = tf.nest.map_structure(lambda values: values[order], perfect)
    if isinstance(perfect, dict) and "ids" in perfect:
        shuffled["ids"] = perfect["ids"]  # what the logits are to tell

    def measured(logits, batch):
        outcome = tf.nest.map_structure(np.asarray, task.outcome(logits, batch))
        return task.metrics(outcome, {key: value for key, value in batch.items() if value.ndim == 1})

    first = next(iter(measured(perfect, batch)))
    assert measured(perfect, batch)[first] == 1.0
    check_directions(measured(perfect, batch))
    worse = measured(shuffled, batch)
    assert worse[first] < 1.0 and all(isinstance(value, float) and np.isfinite(value) for value in worse.values())
    differ = [
        (a != b).reshape(len(a), -1).any(axis=1)
        for a, b in zip(*map(tf.nest.flatten, (shuffled, perfect)), strict=True)
    ]
    hidden = {**batch, "weight": np.where(np.any(differ, axis=0), 0.0, 1.0).astype(np.float32)}
    assert measured(shuffled, hidden)[first] == 1.0


def check_directions(measured: Iterable[str]) -> None:
    assert not {*measured} - (FALLING ^ RISING), "not known to be better when lower, or when higher"


def check_labels(name: str) -> None:
    """What is encoded and answered with certainty is what the example said."""
    task, (examples, labels) = tiny.task(name), tiny.examples(name)
    perfect = PERFECT[name](tiny.batch(name, 5), task.n_outputs(labels))
    answered = task.answer(tf.nest.map_structure(tf.constant, perfect), labels)[ANSWER[name]].numpy().tolist()
    wanted = examples.column("label" if labels else "score").to_pylist()
    assert [_plain(row) for row in answered] == wanted


def _plain(row):
    if isinstance(row, list):
        return [value.decode() for value in row if value]
    return row.decode() if isinstance(row, bytes) else row
