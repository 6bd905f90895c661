"""Accuracy on real corpora: tfidf against scikit-learn on the same rows, and models trained from scratch.

    python -m benchmarks.accuracy            both tables
    python -m benchmarks.accuracy linear     only tfidf against scikit-learn
    python -m benchmarks.accuracy scratch    only models trained from scratch, mean of 3 seeds
    python -m benchmarks.accuracy scratch gru transformer    of these families only

Wants the corpora in ../shared/data (benchmarks/common.py says which files).
"""

import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.common import artifact, corpus, print_table, run, value

SEEDS = (0, 1, 2)
SCRATCH = [  # corpus, family, wanted
    ("sst2", {"name": "rnn"}, None),
    ("sst2", {"name": "lstm"}, 0.77),
    ("sst2", {"name": "gru"}, 0.77),
    ("sst2", {"name": "transformer"}, 0.77),
    ("sst2", {"name": "bert", "layers": 2, "width": 128, "heads": 2}, 0.755),
    ("trec", {"name": "lstm"}, 0.87),
    ("trec", {"name": "transformer"}, None),
]


def scikit_learn(record: dict) -> float:
    """Test accuracy of TfidfVectorizer(1-2 grams) + LogisticRegression on the run's own examples."""
    import pyarrow.parquet as pq
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, test = (pq.read_table(artifact(record, "example_gen") / split) for split in ("train", "test"))
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    model.fit(train["text"].to_pylist(), train["label"].to_pylist())
    return model.score(test["text"].to_pylist(), test["label"].to_pylist())


def linear(folder: Path) -> None:
    rows = [("corpus", "tfidf", "scikit-learn", "difference, points", "wanted")]
    for name in ("sst2", "trec", "mr", "bbc"):
        record = run(
            {
                "name": f"tfidf-{name}",
                "task": "classification",
                "example_gen": corpus(name, folder),
                "trainer": {"family": "tfidf"},
            },
            folder,
        )
        ours, theirs = value(record), scikit_learn(record)
        rows.append((name, f"{ours:.4f}", f"{theirs:.4f}", f"{100 * (ours - theirs):+.2f}", ">= -0.5"))
    print_table("tfidf against TfidfVectorizer + LogisticRegression, 1-2 grams, same rows", rows)


def scratch(folder: Path, families: list[str]) -> None:
    rows = [("corpus", "family", "accuracy, mean of 3 seeds", "each", "majority", "wanted")]
    for name, family, wanted in SCRATCH:
        if families and family["name"] not in families:
            continue
        found = []
        for seed in SEEDS:
            record = run(
                {
                    "name": f"{family['name']}-{name}-{seed}",
                    "task": "classification",
                    "example_gen": corpus(name, folder),
                    "transform": {"max_tokens": 64},
                    "trainer": {"family": family, "seed": seed},
                },
                folder,
            )
            found.append(value(record))
        each = ", ".join(f"{x:.4f}" for x in found)
        majority = f"{record['evaluation']['baseline']['accuracy']:.3f}"
        rows.append(
            (name, family["name"], f"{statistics.mean(found):.4f}", each, majority, f">= {wanted}" if wanted else "")
        )
    print_table("from scratch", rows)


def main() -> None:
    table, families = sys.argv[1] if sys.argv[1:] else "", sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        if table in ("", "linear"):
            linear(Path(folder))
        if table in ("", "scratch"):
            scratch(Path(folder), families)


if __name__ == "__main__":
    main()
