"""Question answering on XQuAD's English part, and word in context, against floors and the rules beside them.

python -m benchmarks.tasks_qa FOLDER ROW     one row; FOLDER keeps what was made
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import CORPORA, artifact, load_json, print_row, run

XQUAD = CORPORA / "xquad" / "xquad.en.json"
WIC = CORPORA / "wic"
SENTIDOS = Path(__file__).parent.parent / "data" / "samples" / "sentidos" / "pairs.csv"
SENTIDOS_FIELDS = {"text": "texto", "text_pair": "otro", "place": "lugar", "place_pair": "otro_lugar", "label": "mismo"}
WINDOWS = {"max_tokens": 128, "stride": 64}
STATIC = ("word2vec", "glove", "fasttext")
CONTEXTUAL = ("lstm", "transformer", "bert", "elmo")


def xquad(folder: Path, row: str) -> list[tuple[str, ...]]:
    """80/10/10 by article; predictions.json in FOLDER is what SQuAD's own script takes."""
    given = {"input": str(XQUAD), "split_by": "title", "keep": ["id"]}
    config = {"example_gen": given, "transform": WINDOWS, "trainer": {"family": "lstm", "epochs": 10}}
    return _answered(folder, row, config, "")


def xquad_100(folder: Path, row: str) -> list[tuple[str, ...]]:
    """The first 100 questions, asked of a model that was trained on them."""
    data, left = load_json(XQUAD), 100
    for article in data["data"]:
        for paragraph in article["paragraphs"]:
            paragraph["qas"] = paragraph["qas"][:left]
            left -= len(paragraph["qas"])
    few = folder / "first_100.json"
    few.write_text(json.dumps(data))
    given = {"input": {"train": str(few), "test": str(few)}, "splits": {"train": 1.0}, "keep": ["id"]}
    trainer = {
        "family": {"name": "lstm", "dropout": 0.0},
        "head": {"dropout": 0.0},
        "epochs": 40,
        "optimizer": {"learning_rate": 3e-3, "schedule": "linear", "warmup": 0.05},
    }
    return _answered(folder, row, {"example_gen": given, "transform": WINDOWS, "trainer": trainer}, ">= 0.95")


def _answered(folder: Path, row: str, config: dict[str, Any], wanted: str) -> list[tuple[str, ...]]:
    import pyarrow.parquet as pq

    record = run({"name": row, "task": "question_answering", **config}, folder / "runs")
    found, baseline = record["evaluation"]["metrics"], record["evaluation"]["baseline"]
    evaluation = artifact(record, "evaluator")
    shards = sorted((artifact(record, "example_gen") / "test").glob("*.parquet"))
    ids = [name for shard in shards for name in pq.read_table(shard).column("id").to_pylist()]
    answers = pq.read_table(evaluation / "predictions.parquet").column("predicted").to_pylist()
    (folder / f"{row}.predictions.json").write_text(json.dumps(dict(zip(ids, answers, strict=True))))
    official = load_json(evaluation / "metrics.json")["squad"]
    header = ("", "value", "95 %", "sliding window", "in per cent, as SQuAD's script", "wanted", "seconds")
    names = ("exact_match", "exact", ""), ("f1", "f1", wanted)
    lines = [
        (name, *_figures(found[name]), f"{baseline[name]:.4f}", f"{official[short]:.3f}", floor, _seconds(record))
        for name, short, floor in names
    ]
    return [header, *lines]


def wic(folder: Path, row: str) -> list[tuple[str, ...]]:
    """WiC's dev set. A static family has nothing but the word's own form to tell by."""
    family = row.removeprefix("wic-")
    given = {split: str(WIC / split / f"{split}.data.txt") for split in ("train", "dev")}
    trainer = {"family": family, **({"head": {"features": "cosine"}} if family in STATIC else {})}
    config = {"example_gen": {"input": given, "format": "wic", "splits": {"train": 1.0}}, "trainer": trainer}
    return _told_apart(folder, row, config, "<= 0.54" if family in STATIC else "")


SENSES = {  # 3,000 pairs: how a word's surroundings tell its sense takes many epochs to learn
    "lstm": {"epochs": 15},
    "elmo": {"epochs": 15},
    "transformer": {"epochs": 50},
    "bert": {"epochs": 40, "optimizer": {"learning_rate": 5e-4}},
}


def sentidos(folder: Path, row: str) -> list[tuple[str, ...]]:
    """The sample's sense pairs, whose forms are all equal."""
    family = row.removeprefix("sentidos-")
    given = {"input": str(SENTIDOS), "fields": SENTIDOS_FIELDS}
    trainer = {"family": family, **SENSES.get(family, {})}
    wanted = ">= 0.75" if family in CONTEXTUAL else ""
    return _told_apart(folder, row, {"example_gen": given, "trainer": trainer}, wanted)


def _told_apart(folder: Path, row: str, config: dict[str, Any], wanted: str) -> list[tuple[str, ...]]:
    config = {"name": row, "task": "word_in_context", "transform": {"max_tokens": 64}, **config}
    record = run(config, folder / "runs")
    found, baseline = record["evaluation"]["metrics"], record["evaluation"]["baseline"]
    return [
        ("", "accuracy", "95 %", "by the form alone", "wanted", "seconds"),
        (row, *_figures(found["accuracy"]), f"{baseline['accuracy']:.4f}", wanted, _seconds(record)),
    ]


def _figures(metric: dict[str, Any]) -> tuple[str, str]:
    return f"{metric['value']:.4f}", f"{metric['low']:.4f} to {metric['high']:.4f}"


def _seconds(record: dict[str, Any]) -> str:
    return f"{sum(stage['seconds'] for stages in record['stages'].values() for stage in stages):.0f}"


ROWS: dict[str, Callable[[Path, str], list[tuple[str, ...]]]] = {
    "xquad": xquad,
    "xquad-100": xquad_100,
    **{f"wic-{family}": wic for family in (*STATIC, *CONTEXTUAL)},
    **{f"sentidos-{family}": sentidos for family in (*STATIC, *CONTEXTUAL)},
}


if __name__ == "__main__":
    print_row(ROWS, __doc__)
