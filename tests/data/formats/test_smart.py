"""Tests `data/formats/smart.py` where the samples do not: what looks like a record's beginning, and is none."""

from data.formats import format_for


def test_a_line_that_only_looks_like_a_beginning_stays_in_its_text_however_the_file_is_cut(tmp_path):
    path = tmp_path / "a.smart"
    path.write_text(".I 1\n.W\nseen\n.In vitro\n.I.e. this\n.I 2\n.W\nlast\n.I")
    reader = format_for(str(path))
    for block_bytes in (5, 20, 1000):
        blocks = reader.plan(str(path), block_bytes=block_bytes)
        batches = [batch for block in blocks for batch in reader.read(block, ("id", "text"))]
        rows = [row for batch in batches for row in zip(*batch.table.to_pydict().values(), strict=True)]
        assert rows == [("1", "seen .In vitro .I.e. this"), ("2", "last")], block_bytes
        assert [(each.line, each.reason) for batch in batches for each in batch.rejects] == [
            (9, "no '.I' and a number where a record begins")
        ]
