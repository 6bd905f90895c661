"""Tests `models/tasks/`: every task keeps the contract."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from components.slices import MADE
from data.errors import DataError
from models.evaluation import JUDGES
from models.tasks import TASKS
from models.tasks.classification import Classification
from tests.contracts.task import check_task


@pytest.mark.parametrize("name", TASKS)
def test_task_keeps_the_contract(name, tmp_path):
    check_task(name, tmp_path)


def test_every_parameter_is_described():
    assert all(field.description for task in TASKS.values() for field in task.model_fields.values())


def rows(labels: pa.Array) -> pa.RecordBatch:
    return pa.record_batch({"label": labels})


def test_labels_become_their_index_and_unknown_ones_minus_one():
    found = Classification().encode(rows(pa.array(["b", "a", "z", None, "b"])), ["a", "b"], {})["class"]
    assert found.type == pa.int32() and found.to_pylist() == [1, 0, -1, -1, 1]


def test_one_label_is_nothing_to_choose_between():
    with pytest.raises(DataError, match=r"got 1 label\(s\) in the training split \(only\)"):
        Classification().n_outputs(["only"])


def test_loss_is_cross_entropy_and_smoothing_spreads_the_target():
    logits = np.array([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]], np.float32)
    batch = {"class": np.array([0, -1], np.int32)}
    log_p = tf.nn.log_softmax(logits).numpy()
    np.testing.assert_allclose(Classification().loss(logits, batch)[0], -log_p[0, 0], rtol=1e-6)
    smoothed = Classification(label_smoothing=0.3).loss(logits, batch)
    np.testing.assert_allclose(smoothed[0], -(0.7 * log_p[0, 0] + 0.1 * log_p[0].sum()), rtol=1e-6)
    assert np.isfinite(smoothed).all()


@pytest.mark.parametrize("name", TASKS)
def test_no_column_has_the_name_of_a_slice(name):
    """`span` and `length` are the evaluator's own: a column of examples by that name would not be read."""
    task, judge = TASKS[name], JUDGES[name]
    columns = {task.columns.get(each, each) for each in task.inputs}
    assert not {*MADE} & {*task.required, *task.optional, *columns, *judge.texts, *judge.truth}
