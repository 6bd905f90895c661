"""Every family with every task: a training step and all that an exported model must do, or an error."""

import keras
import pytest
import tensorflow as tf

from data.errors import ConfigError
from models import build
from models.families import FAMILIES
from models.tasks import TASKS
from tests.contracts import tiny
from tests.contracts.serving import check_exported


def fast_pairs() -> dict[str, str]:
    """A task for each family, each task among them: those that few families fit choose first, the rest the first."""
    chosen: dict[str, str] = {}
    for task_name in sorted(TASKS, key=lambda name: len(tiny.fitting(name))):
        chosen[next(name for name in tiny.fitting(task_name) if name not in chosen)] = task_name
    return dict.fromkeys(FAMILIES, next(iter(TASKS))) | chosen


def pairs_of_matrix():
    """All; fast are one for each family and task, and what does not fit."""
    chosen = fast_pairs()
    for name in FAMILIES:
        for task_name in TASKS:
            fast = chosen[name] == task_name or name not in tiny.fitting(task_name)
            yield pytest.param(name, task_name, marks=() if fast else pytest.mark.slow)


@pytest.mark.parametrize("name, task_name", pairs_of_matrix())
def test_family_and_task(name, task_name, tmp_path):
    if name not in tiny.fitting(task_name):
        with pytest.raises(ConfigError, match="families that do: "):
            build.check_fit(name, task_name)
        return
    build.check_fit(name, task_name)
    family, task, labels = tiny.family(name), tiny.task(task_name), tiny.examples(task_name)[1]
    batch = tiny.batch(task_name, 6)
    adapted = build.adapt(family, [batch], tiny.VOCABULARY, tiny.MAX_TOKENS, task.apart)
    pairs = tiny.needs_pairs(task_name)
    model = build.build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, labels, pairs, adapted)
    with tf.GradientTape() as tape:
        loss = task.loss(model(batch, training=True), batch)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    keras.optimizers.Adam(0.01).apply(gradients, model.trainable_weights)
    check_exported(model, family, task_name, tmp_path, pairs)


def test_a_task_that_needs_more_names_the_families_that_give_it(monkeypatch):
    sequences = type("Tagging", (TASKS["classification"],), {"needs": frozenset({"sequence"})})
    monkeypatch.setitem(build.TASKS, "tagging", sequences)
    build.check_fit("lstm", "tagging")
    with pytest.raises(
        ConfigError, match="'tfidf' does not give sequence, which 'tagging' needs.*: albert, bert, .*gru, lstm, rnn, "
    ):
        build.check_fit("tfidf", "tagging")


def test_misspelt_names_are_guessed():
    with pytest.raises(ConfigError, match="got 'lstn'; did you mean 'lstm'"):
        build.check_fit("lstn", "classification")
    with pytest.raises(ConfigError, match="task: got 'clasification'; did you mean 'classification'"):
        build.check_fit("lstm", "clasification")
