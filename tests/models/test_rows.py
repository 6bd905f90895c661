"""Tests `models/rows.py` against Keras' optimizers on whole tables."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.optimizer import Optimizer
from models.rows import Rows

TABLE = np.random.default_rng(0).normal(size=[6, 3]).astype(np.float32)
RULES = {
    "sgd": Optimizer(name="sgd", learning_rate=0.1, momentum=0, clip_norm=None),
    "momentum": Optimizer(name="sgd", learning_rate=0.1, momentum=0.9, clip_norm=None),
    "adagrad": Optimizer(name="adagrad", learning_rate=0.1, clip_norm=None),
    "adam": Optimizer(name="adam", learning_rate=0.1, clip_norm=None),
    "adamw": Optimizer(name="adamw", learning_rate=0.1, weight_decay=0.0, clip_norm=None),
    "clipped": Optimizer(name="adam", learning_rate=0.1, clip_norm=0.5),
}


def steps(table: keras.Variable, rule: Optimizer, reads: list[list[int]]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The table and the optimizer's variables after a step for each list of rows, which may repeat one."""
    by_rows = getattr(table, "row_sparse", False)
    bias = keras.Variable(np.zeros(3, np.float32), name="bias")
    optimizer = rule.build([table, bias], steps=10)

    @tf.function
    def step(rows):
        with tf.GradientTape() as tape:
            read = tf.gather(table.value, rows) + bias.value
            loss = tf.reduce_sum(tf.range(1.0, 1.0 + tf.cast(tf.size(rows), tf.float32))[:, None] * read**2)
        slices, gradient = tape.gradient(loss, [table.value, bias.value])
        assert isinstance(slices, tf.IndexedSlices)
        optimizer.apply([slices if by_rows else tf.convert_to_tensor(slices), gradient], [table, bias])

    for rows in reads:
        step(tf.constant(rows))
    return table.numpy(), [variable.numpy() for variable in optimizer.variables]


@pytest.mark.parametrize("name", RULES)
def test_where_every_row_is_read_it_is_the_optimizer_on_the_whole(name):
    reads = [[0, 1, 2, 3, 4, 5, 1, 1], [5, 4, 3, 2, 1, 0, 0, 5], [0, 1, 2, 3, 4, 5, 2, 0]]
    rows, variables = steps(Rows(TABLE).table, RULES[name], reads)
    whole, expected = steps(keras.Variable(TABLE), RULES[name], reads)
    assert np.abs(rows - TABLE).max() > 0.1
    np.testing.assert_allclose(rows, whole, atol=1e-5)
    for one, other in zip(variables, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adagrad", "adam", "adamw", "clipped"])
def test_rows_that_are_not_read_stay_as_they_are(name):
    decayed = RULES[name].model_copy(update={"weight_decay": 0.5})
    table = Rows(TABLE).table
    first, _ = steps(table, decayed, [[1, 2]])
    assert np.array_equal(first[[0, 3, 4, 5]], TABLE[[0, 3, 4, 5]])
    assert (first[[1, 2]] != TABLE[[1, 2]]).all()


def test_what_a_step_costs_does_not_grow_with_the_table():
    """No operation of the step makes a tensor as large as the table."""
    table = Rows(np.zeros([1000, 3], np.float32))
    optimizer = Optimizer(name="adam").build([table.table], steps=10)

    @tf.function
    def step(rows):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(table(rows) ** 2)
        optimizer.apply([tape.gradient(loss, table.table.value)], [table.table])

    graph = step.get_concrete_function(tf.constant([1, 2])).graph
    large = [op.name for op in graph.get_operations() for out in op.outputs if out.shape.as_list()[:1] == [1000]]
    assert not large
    assert any(op.type == "ResourceScatterSub" for op in graph.get_operations())
