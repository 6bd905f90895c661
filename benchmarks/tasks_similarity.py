"""Similarity on real corpora, from scratch.

    python -m benchmarks.tasks_similarity                every row
    python -m benchmarks.tasks_similarity sts_bi_en      one of them: sts_bi_en, sts_bi_es, sts_cross_en

Wants the corpora in ../shared/data (benchmarks/common.py says where). STS-B: trained on train, measured on dev, of
which nothing is chosen. The baseline of STS-B is the cosine of character TF-IDF vectors (2 to 4 characters inside
words, scikit-learn's TfidfVectorizer, fitted on train).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import CORPORA, artifact, print_each, run, value

Row = tuple[str, ...]
HEADER: Row = ("row", "measured", "value", "beside it", "wanted")
BI: dict[str, Any] = {
    "transform": {"max_tokens": 128},
    "trainer": {
        "family": {
            "name": "fasttext",
            "width": 256,
            "characters": [3, 5],
            "word_ngrams": 1,
            "pooling": "idf",
        },
        "epochs": 4,
        "optimizer": {"learning_rate": 2e-5},  # rows start at 1 / width: as random directions they are tf-idf already
    },
}
CROSS: dict[str, Any] = {
    "transform": {"max_tokens": 128},
    "trainer": {
        "family": {"name": "transformer"},
        "head": {"encoder": "cross"},
        "epochs": 15,
    },
}


def sts(language: str, name: str, sections: dict[str, Any], wanted: str, folder: Path) -> list[Row]:
    """Spearman on the dev pairs, with the interval, beside character TF-IDF."""
    path = CORPORA / "stsb_en_es"
    record = run(
        {
            "name": f"sts-{name}-{language}",
            "task": "similarity",
            "example_gen": {
                "input": {split: f"{path}/stsb-{language}-{split}.csv" for split in ("train", "dev")},
                "format": {"name": "csv", "columns": ["text", "text_pair", "score"]},
                "fields": {"score": "score"},
                "splits": {"train": 1.0},
            },
            **sections,
        },
        folder,
    )
    found = record["evaluation"]["metrics"]["spearman"]
    measured = f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"
    beside = f"characters tf-idf {tfidf(record):.4f}, words shared {record['evaluation']['baseline']['spearman']:.4f}"
    pearson = f"Pearson {value(record, 'pearson'):.4f}"
    return [(f"STS-B dev {language}, {name}", "Spearman", measured, f"{beside}; {pearson}", wanted)]


def tfidf(record: dict[str, Any]) -> float:
    """Spearman of the cosine of character TF-IDF on the run's own rows."""
    import numpy as np
    import pyarrow.parquet as pq
    from scipy.stats import spearmanr
    from sklearn.feature_extraction.text import TfidfVectorizer

    train, test = (pq.read_table(artifact(record, "example_gen") / split) for split in ("train", "test"))
    columns = "text", "text_pair"
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4))
    vectorizer.fit([text for name in columns for text in train[name].to_pylist()])
    text, pair = (vectorizer.transform(test[name].to_pylist()) for name in columns)
    cosine = np.asarray(text.multiply(pair).sum(axis=1)).ravel()
    return float(spearmanr(cosine, test["score"].to_numpy()).statistic)


ROWS: dict[str, Callable[[Path], list[Row]]] = {
    "sts_bi_en": partial(sts, "en", "bi-encoder", BI, ">= .77"),
    "sts_bi_es": partial(sts, "es", "bi-encoder", BI, ">= .77"),
    "sts_cross_en": partial(sts, "en", "cross-encoder", CROSS, "printed"),
}


if __name__ == "__main__":
    print_each("similarity", HEADER, ROWS)
