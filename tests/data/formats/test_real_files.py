"""Every row of real corpora is read, by formats with the traps that each is known for."""

from pathlib import Path

import pytest

from data.formats import format_for
from tests.contracts.format import read_all

CORPORA = Path(__file__).parents[3].parent / "shared" / "data"
FILES = [
    ("cola/in_domain_train.tsv", "tsv", {"quoting": False, "columns": ["source", "label", "mark", "text"]}, 8551),
    ("sst2_socher/train.tsv", "tsv", {"quoting": False, "columns": ["text", "label"]}, 6920),
    ("stsb_en_es/stsb-es-train.csv", "csv", {"columns": ["text", "text_pair", "score"]}, 5749),
    ("bbc_news_summary/bbc_news_summary.jsonl", "jsonl", {}, 2225),
    ("trec/TREC.train", "text", {"encoding": "latin-1"}, 5452),
    ("rotten_tomatoes_mr/rt-polarity.neg", "text", {"encoding": "latin-1"}, 5331),
]


@pytest.mark.parametrize(("path", "name", "options", "rows"), FILES, ids=lambda value: str(value)[:20])
def test_every_row_is_read(path, name, options, rows):
    if not CORPORA.exists():
        pytest.skip("the corpora are not here")
    reader = format_for(path, name, **options)
    column = ("article",) if name == "jsonl" else ("text",)
    whole = read_all(reader, CORPORA / path, column)
    assert (len(whole.rows), whole.rejects) == (rows, [])
    assert read_all(reader, CORPORA / path, column, block_bytes=50_000)[:2] == whole[:2]
