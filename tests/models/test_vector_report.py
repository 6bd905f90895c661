"""Tests `models/vector_report.py`."""

import numpy as np
import pytest

from data.errors import DataError
from data.vectors import write_text
from models.vector_report import report

WORDS = ["king", "queen", "man", "woman", "apple", "walk", "walked", "talk", "talked"]
TABLE = np.zeros([9, 6], np.float32)
TABLE[:5, :3] = [[1, 1, 0], [1, -1, 0], [0.2, 1, 0], [0.2, -1, 0], [0, 0, 1]]
TABLE[5:, 3:] = [[0, 0, 1], [0, 0.3, 1], [0.4, 0, 1], [0.4, 0.9, 1]]  # the nearest to where talked should be is talk


@pytest.fixture
def path(tmp_path):
    write_text(tmp_path / "vectors.txt", WORDS, TABLE)
    return tmp_path / "vectors.txt"


def test_neighbours_similarity_and_analogies(path, tmp_path):
    (tmp_path / "sim.tsv").write_text(
        "# judged\nWord 1,Word 2,mean\nking\tman\t9\nqueen,man,4\nking apple 5\nking pear 3\n"
    )
    (tmp_path / "analogies.txt").write_text(
        ": family\nman king woman queen\nking man queen woman\nman king woman pear\nwalk walked talk talked\n"
    )
    found = report(path, str(tmp_path / "sim.tsv"), str(tmp_path / "analogies.txt"))
    assert (found["words"], found["width"]) == (9, 6)
    assert found["neighbours"]["king"][0] == "man" and len(found["neighbours"]["king"]) == 8
    assert found["similarity"] == {"spearman": 1.0, "pairs": 4, "known": 3}
    assert found["analogies"] == {"accuracy": 1.0, "questions": 4, "known": 3}
    assert set(report(path)) == {"words", "width", "neighbours"}


def test_broken_files_are_said(path, tmp_path):
    (tmp_path / "sim.tsv").write_text("king man 9\nking man\n")
    with pytest.raises(DataError, match="sim.tsv:2: got 'king man'; wanted two words and a score"):
        report(path, similarity=str(tmp_path / "sim.tsv"))
    (tmp_path / "sim.tsv").write_text("nothing here\n")
    with pytest.raises(DataError, match="no line of two words and a score"):
        report(path, similarity=str(tmp_path / "sim.tsv"))
    (tmp_path / "analogies.txt").write_text(": a\nman king woman\n")
    with pytest.raises(DataError, match="analogies.txt:2: .*wanted four words"):
        report(path, analogies=str(tmp_path / "analogies.txt"))
