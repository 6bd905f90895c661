"""What every task must do (DESIGN section 3)."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from models.build import adapt, build_model
from tests.contracts import tiny
from tests.contracts.serving import check_exported

# Logits a model that knows the answers of a batch would give, by task.
PERFECT = {"classification": lambda batch, outputs: 20.0 * np.eye(outputs, dtype=np.float32)[batch["class"]]}
# The field of `answer` that holds what the task's label field asks for, by task.
ANSWER = {"classification": ("label", "label")}


def check_task(name: str, directory: Path) -> None:
    """Runs every check on the task called `name`, with the first family that fits it."""
    family = tiny.family(tiny.fitting(name)[0])
    for pairs in (False, True):
        check_learns(name, family, pairs)
        check_exported(build(name, family, pairs), family, name, directory / f"pairs-{pairs}", pairs)
    check_metrics(name)
    check_labels(name)


def build(name: str, family, pairs: bool) -> keras.Model:
    keras.utils.set_random_seed(0)
    task, labels = tiny.task(name), tiny.examples(name)[1]
    adapted = adapt(family, [tiny.batch(name, 5, pairs)], tiny.VOCABULARY, tiny.MAX_TOKENS)
    outputs = task.n_outputs(labels)
    return build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, outputs, pairs, adapted)


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
    """The first metric of perfect logits is 1, and less when they are dealt to other rows; weight 0 hides a row."""
    task, batch = tiny.task(name), tiny.batch(name, 5)
    perfect = PERFECT[name](batch, task.n_outputs(tiny.examples(name)[1]))
    first = next(iter(task.metrics(perfect, batch)))
    assert task.metrics(perfect, batch)[first] == 1.0
    shuffled = perfect[np.random.default_rng(1).permutation(len(perfect))]
    worse = task.metrics(shuffled, batch)
    assert worse[first] < 1.0 and all(isinstance(value, float) and np.isfinite(value) for value in worse.values())
    wrong = (shuffled != perfect).any(axis=-1)
    hidden = {**batch, "weight": np.where(wrong, 0.0, 1.0).astype(np.float32)}
    assert task.metrics(shuffled, hidden)[first] == 1.0


def check_labels(name: str) -> None:
    """What is encoded and answered with certainty is what the example said."""
    task, (examples, labels) = tiny.task(name), tiny.examples(name)
    perfect = PERFECT[name](tiny.batch(name, 5), task.n_outputs(labels))
    field, answer = ANSWER[name]
    answered = task.answer(tf.constant(perfect), labels)[answer].numpy()
    assert [value.decode() for value in answered] == examples.column(field).to_pylist()
