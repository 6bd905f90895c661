"""Tests `[trainer] class_weights`: what a row weighs by its label."""

import numpy as np
import pyarrow as pa
import pytest

from components.trainer import _weigh
from data.errors import ConfigError
from data.store import Shards, TokenStore, write_shard

LABELS = ["bad", "fine", "good"]
CLASSES, WEIGHTS = [0, 2, 0, 0, 2, 0], [1.0, 0.5, 1.0, 2.0, 1.0, 1.0]


def weighed(directory, class_weights, classes=CLASSES, labels=LABELS) -> list[float]:
    """The rows' weights <float32>[rows] as training reads them."""
    columns = {"ids": pa.array([[5]] * len(classes), pa.list_(pa.int32()))}
    columns |= {"class": pa.array(classes, pa.int32()), "weight": pa.array(WEIGHTS, pa.float32())}
    write_shard(directory / "rows.arrow", [pa.record_batch(columns)])
    store = TokenStore([Shards([directory / "rows.arrow"], labels)], labels)
    _weigh(store, class_weights, LABELS)
    return store.gather(np.arange(len(store)), 1)["weight"].tolist()


def test_rows_weigh_as_they_did_without(tmp_path):
    assert weighed(tmp_path, "none") == WEIGHTS


def test_balanced_labels_weigh_alike_and_all_rows_as_before(tmp_path):
    """Rows are counted by their own weights: 5 of bad, 1.5 of good, 6.5 / 3 for each of three labels."""
    found = np.array(weighed(tmp_path, "balanced"))
    share = {0: 6.5 / (3 * 5), 2: 6.5 / (3 * 1.5)}
    np.testing.assert_allclose(found, [weight * share[label] for label, weight in zip(CLASSES, WEIGHTS, strict=True)])
    of_bad = np.array(CLASSES) == 0
    assert found[of_bad].sum() == pytest.approx(found[~of_bad].sum())


def test_a_table_multiplies_and_labels_that_are_not_in_it_stay(tmp_path):
    assert weighed(tmp_path, {"good": 3.0, "fine": 0.5}) == [1.0, 1.5, 1.0, 2.0, 3.0, 1.0]


def test_labels_that_are_none_are_all_named(tmp_path):
    with pytest.raises(ConfigError) as error:
        weighed(tmp_path, {"god": 2.0, "awful": 2.0, "bad": 2.0})
    assert error.value.problems == [
        "trainer.class_weights.god: no such label; did you mean 'good'?",
        "trainer.class_weights.awful: no such label; known: bad, fine, good",
    ]


@pytest.mark.parametrize("class_weights", ["balanced", {"bad": 2.0}])
def test_a_task_without_one_label_a_row_is_refused(class_weights, tmp_path):
    with pytest.raises(ConfigError, match="trainer.class_weights: got .* for a task without one label a row; drop it"):
        weighed(tmp_path, class_weights, [-1] * len(CLASSES), labels=None)
