"""Tagging against floors: named entities of CoNLL-2003 (English) and CoNLL-2002 (Spanish), test split testa.

python -m benchmarks.tasks_tagging FOLDER ROW     one row; FOLDER keeps what was made
"""

from pathlib import Path
from typing import Any

from benchmarks.common import CORPORA, load_json, print_row, run

GLOVE = CORPORA / "glove_twitter_25d_12k" / "glove.twitter.27B.25d.top12k.txt"
SCRATCH = {"name": "lstm", "width": 200, "embedding": 100, "characters": 30}
EN = {"train": f"{CORPORA}/conll2003_en/eng.train", "test": f"{CORPORA}/conll2003_en/eng.testa"}
ES = {"train": f"{CORPORA}/conll2002_es/esp.train", "test": f"{CORPORA}/conll2002_es/esp.testa"}
WITH_GLOVE = {"name": "lstm", "width": 200, "characters": 50, "vectors": str(GLOVE), "dropout": 0.25}
FAMILIES = {  # row: input, column of the tags, what [trainer] has, least F1
    "conll2003-scratch": (EN, "4", {"family": SCRATCH, "epochs": 6}, 0.82),
    "conll2003-glove": (EN, "4", {"family": WITH_GLOVE, "epochs": 10, "head": {"dropout": 0.3}}, 0.87),
    "conll2002-es": (ES, "3", {"family": SCRATCH, "epochs": 8}, 0.68),
}


def tagged(folder: Path, row: str) -> list[tuple[str, ...]]:
    given, tags, trainer, least = FAMILIES[row]
    config = {
        "name": row,
        "task": "tagging",
        "example_gen": {"input": given, "format": "conll", "fields": {"tokens": "1", "tags": tags}},
        "trainer": trainer,
    }
    record = run(config, folder / "runs")
    found, baseline = record["evaluation"]["metrics"], record["evaluation"]["baseline"]
    seconds = sum(stage["seconds"] for stages in record["stages"].values() for stage in stages)
    types = load_json(Path(record["stages"]["evaluator"][0]["artifact"]) / "metrics.json")["by_type"]
    return [
        ("", "span F1", "95 %", "each word's commonest tag", "wanted", "seconds"),
        (row, *_figures(found["span_f1"]), f"{baseline['span_f1']:.4f}", f">= {least}", f"{seconds:.0f}"),
        *((f"  {kind}", *_figures(each["span_f1"]), "", "", "") for kind, each in types.items()),
    ]


def _figures(metric: dict[str, Any]) -> tuple[str, str]:
    return f"{metric['value']:.4f}", f"{metric['low']:.4f} to {metric['high']:.4f}"


ROWS = dict.fromkeys(FAMILIES, tagged)


if __name__ == "__main__":
    print_row(ROWS, __doc__)
