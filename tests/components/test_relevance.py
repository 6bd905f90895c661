"""Tests `components/relevance.py`: judgements in the forms that there are, and metrics by hand."""

import numpy as np
import pytest

from components.relevance import by_query, read_qrels
from data.errors import ConfigError, DataError


def test_judgements_are_read_in_each_of_their_forms(tmp_path):
    def read(text, **options):
        (tmp_path / "q").write_text(text)
        return read_qrels(str(tmp_path / "q"), **options)

    assert read("query-id\tcorpus-id\tscore\n1\ta b\t2\n1\tc\t0\n") == {"1": {"a b": 2}}
    assert read("1 0 a 1\n1 0 b 0\n2 0 a 3\n") == {"1": {"a": 1}, "2": {"a": 3}}
    assert read("1 184 2 \n2 12 -1\n2 13 3\n", binary=True) == {"1": {"184": 1}, "2": {"13": 1}}  # Cranfield
    assert read("     1     28\t0\t0.000000\n") == {"1": {"28": 1}}  # CISI
    assert read('\ufeffquery-id\tcorpus-id\tscore\r\n1\t"a\u2028b\t1\r\n') == {"1": {'"a\u2028b': 1}}
    with pytest.raises(DataError, match="q:3: got 'x y'; wanted query, 0, document and grade"):
        read("1 0 a 1\n\nx y\n")
    (tmp_path / "bytes").write_bytes(b"1 0 \xff 1\n")
    with pytest.raises(DataError, match="no UTF-8"):
        read_qrels(str(tmp_path / "bytes"))
    with pytest.raises(ConfigError, match="no such file"):
        read_qrels(str(tmp_path))


def test_metrics_are_those_worked_out_by_hand():
    qrels = {"q1": {"a": 1, "b": 1}, "q2": {"c": 1}, "q3": {"a": 1}}
    run = {"q1": {"a": 3.0, "x": 2.0, "b": 1.0}, "q2": {"x": 2.0, "c": 1.0}, "q3": {}}
    discount = 1 / np.log2([2, 3, 4])
    wanted = [
        [(discount[0] + discount[2]) / discount[:2].sum(), (1 + 2 / 3) / 2, 1, 1],
        [discount[1], 0.5, 0.5, 1],
        [0, 0, 0, 0],
    ]
    np.testing.assert_allclose(by_query(run, qrels), wanted, atol=1e-6)
