"""Tests `data/formats/tfds.py` on a data set built here."""

import sys

import numpy as np
import pytest

from data.errors import ConfigError, DataError
from data.formats import format_for
from tests.contracts.format import read_all


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A reader of the data set `tiny_reviews`: 30 rows to train on, 5 to test."""
    tfds = pytest.importorskip("tensorflow_datasets", reason="needs polisemia[tfds]")
    features = tfds.features

    class TinyReviews(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            described = {
                "text": features.Text(),
                "label": features.ClassLabel(names=["malo", "bueno"]),
                "tags": features.Sequence(features.ClassLabel(names=["a", "b"])),
                "meta": {"stars": np.int64},
                "answers": features.Sequence({"text": features.Text()}),
            }
            return tfds.core.DatasetInfo(builder=self, features=features.FeaturesDict(described))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(30), "test": self._generate_examples(5)}

        def _generate_examples(self, rows):
            for i in range(rows):
                tags, answers = ["a", "b"][: i % 3], [{"text": "sí"}]
                label = ["malo", "bueno", -1][i % 3]
                yield i, {"text": f"texto {i}", "label": label, "tags": tags, "meta": {"stars": i}, "answers": answers}

    return format_for("tfds:tiny_reviews", data_dir=str(tmp_path_factory.mktemp("tfds")))


def test_rows_are_read_as_texts(reader):
    found = read_all(reader, "tfds:tiny_reviews:1.0.0", ("text", "label", "tags", "meta.stars", "answers.text"))
    assert (len(found.rows), found.rejects, found.blocks) == (30, [], 1)
    assert [row[0] for row in found.rows] == list(range(1, 31))
    by_text = {row[1]: row[2:] for row in found.rows}
    assert by_text["texto 4"] == ["bueno", ["a"], "4", ["sí"]]
    assert by_text["texto 2"] == [None, ["a", "b"], "2", ["sí"]]  # -1: a row without a label


def test_a_split_may_be_sliced_and_added_to(reader):
    whole = read_all(reader, "tfds:tiny_reviews", ("text",)).rows
    assert read_all(reader, "tfds:tiny_reviews#train[10:20]", ("text",)).rows == [
        [i + 1, whole[10 + i][1]] for i in range(10)
    ]
    both = read_all(reader, "tfds:tiny_reviews#test+train[:10%]", ("text",))
    assert ([row[0] for row in both.rows], both.blocks) == (list(range(1, 9)), 2)


def test_what_cannot_be_read_is_one_clear_error(reader):
    assert reader.columns("tfds:tiny_reviews#test") == ("text", "label", "tags", "meta.stars", "answers.text")
    with pytest.raises(DataError, match="no split 'valid'; wanted one of train, test"):
        reader.plan("tfds:tiny_reviews#valid")
    with pytest.raises(DataError, match="TensorFlow Datasets says: Dataset tiny_revews not found"):
        reader.plan("tfds:tiny_revews")
    with pytest.raises(DataError, match="no column 'txt'; did you mean 'text'"):
        list(reader.read(reader.plan("tfds:tiny_reviews")[0], ("txt",)))


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ConfigError, match=r"pip install polisemia\[tfds\]"):
        format_for("tfds:mnist").plan("tfds:mnist")
