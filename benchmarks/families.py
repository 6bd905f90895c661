"""The families against floors, and against the reference implementations of theirs.

    python -m benchmarks.families FOLDER ROW    one row: it prints its line and keeps it in FOLDER
    python -m benchmarks.families FOLDER        the rows, and what those that ran gave

FOLDER keeps everything: a row that was stopped goes on where it was. Wants ../shared/data (benchmarks/common.py). The
rows `fasttext-package-*` and `word2vec-gensim` compare with packages that are not ours to install: where they are
missing they say so (`fasttext-wheel` is a fork of the former that builds).
"""

import csv
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import CORPORA, artifact, corpus, folder_and_rows, load_json, print_kept, run, value

SEEDS = (0, 1, 2)
GLOVE = CORPORA / "glove_twitter_25d_12k" / "glove.twitter.27B.25d.top12k.txt"
SCORED = {  # row: corpus, family, at least
    "sst2-fasttext": ("sst2", {"name": "fasttext"}, 0.76),
    "sst2-lstm": ("sst2", {"name": "lstm"}, 0.77),
    "sst2-gru": ("sst2", {"name": "gru"}, 0.77),
    "sst2-transformer": ("sst2", {"name": "transformer"}, 0.77),
    "sst2-lstm-glove": ("sst2", {"name": "lstm", "vectors": str(GLOVE), "dropout": 0.3}, 0.79),
    "trec-fasttext": ("trec", {"name": "fasttext"}, 0.87),
    "trec-lstm": ("trec", {"name": "lstm"}, 0.87),
}
PACKAGE = {"dim": 100, "wordNgrams": 2, "bucket": 200_000, "lr": 0.5, "epoch": 25, "thread": 2, "verbose": 0}
WORD2VEC = {"window": 5, "negatives": 5, "sample": 1e-3}
EPOCHS, LEAST = 5, 5  # of word2vec on PTB, and the least count of a word
QUIJOTE = ("caballero", "rocinante", "dulcinea", "lanza", "reina", "ojos", "dijo")  # whose neighbours are shown
SIMILARITY = CORPORA / "word_similarity_en" / "EN-WS-353-ALL.txt"


def _trained(folder: Path, name: str, corpus_name: str, family: dict[str, Any], seed: int, **trainer: Any) -> dict:
    return run(
        {
            "name": f"{name}-{seed}",
            "task": "classification",
            "example_gen": corpus(corpus_name, folder),
            "transform": {} if "analyzer" in family else {"max_tokens": 64},
            "trainer": {"family": family, "seed": seed, **trainer},
        },
        folder / "runs",
    )


def scored(folder: Path, name: str) -> dict[str, Any]:
    corpus_name, family, least = SCORED[name]
    found = [value(_trained(folder, name, corpus_name, family, seed)) for seed in SEEDS]
    return {**_spread(found), "wanted": f">= {least}"}


def _spread(found: list[float]) -> dict[str, str]:
    each = " ".join(f"{one:.4f}" for one in found)
    return {"mean": f"{statistics.mean(found):.4f}", "each": each}


def package(folder: Path, corpus_name: str) -> dict[str, Any]:
    """Supervised fastText against the package, on the run's own examples and tokens."""
    import fasttext

    ours, theirs = [], []
    for seed in SEEDS:
        record = _trained(folder, f"{corpus_name}-fasttext", corpus_name, {"name": "fasttext"}, seed)
        ours.append(value(record))
        train, test = (_labelled(record, split) for split in ("train", "test"))
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "train.txt"
            file.write_text("".join(f"__label__{label} {text}\n" for text, label in train))
            model = fasttext.train_supervised(str(file), seed=seed, **PACKAGE)
        right = [model.f.predict(f"{text}\n", 1, 0.0, "strict")[0][1] == f"__label__{label}" for text, label in test]
        theirs.append(sum(right) / len(right))
    difference = 100 * (statistics.mean(ours) - statistics.mean(theirs))
    compared = f"package {statistics.mean(theirs):.4f}: {difference:+.2f} points"
    return {**_spread(ours), "compared": compared, "wanted": ">= -1.5 points"}


def _labelled(record: dict, split: str) -> list[tuple[str, str]]:
    """Texts as their tokens with spaces between, and their labels."""
    import pyarrow.parquet as pq

    from data.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(artifact(record, "tokenizer_gen"))
    table = pq.read_table(artifact(record, "example_gen") / split)
    ids, splits = tokenizer.encode(table.column("text").to_pylist())
    texts = [tokenizer.decode(ids[a:b]) for a, b in zip(splits, splits[1:], strict=False)]
    return list(zip(texts, table.column("label").to_pylist(), strict=True))


def speed(folder: Path) -> dict[str, Any]:
    """Seconds to train on MR repeated to 120,000 rows: the trainer's stage, export included, against the package."""
    import fasttext

    lines = [
        (label, line)
        for label in ("neg", "pos")
        for line in (CORPORA / "rotten_tomatoes_mr" / f"rt-polarity.{label}").read_text("latin-1").splitlines()
        if line.strip()
    ]
    rows = (lines * 12)[:120_000]
    with (folder / "mr120k.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("label", "text"), *rows])
    record = run(
        {
            "name": "mr120k",
            "task": "classification",
            "example_gen": {"input": {"train": str(folder / "mr120k.csv")}, "splits": {"train": 1.0}},
            "transform": {"max_tokens": 64},
            "trainer": {"family": {"name": "fasttext"}, "epochs": 5},
        },
        folder / "runs",
        "trainer",
    )
    seconds = record["stages"]["trainer"][0]["seconds"]
    if record["stages"]["trainer"][0]["cached"]:
        raise SystemExit("mr120k was trained before, so there is no time to compare; take a new FOLDER")
    with tempfile.TemporaryDirectory() as directory:
        text = Path(directory) / "train.txt"
        text.write_text("".join(f"__label__{label} {t}\n" for t, label in _labelled(record, "train")))
        start = time.monotonic()
        fasttext.train_supervised(str(text), **{**PACKAGE, "epoch": 5})
        theirs = time.monotonic() - start
    return {
        "mean": f"{seconds:.1f} s",
        "compared": f"package {theirs:.1f} s: {seconds / theirs:.1f}x",
        "wanted": "<= 10x",
    }


def word2vec(folder: Path, objective: str) -> dict[str, Any]:
    """Spearman's correlation on WS-353 after PTB, against gensim at the same settings, mean of 5 seeds, and time."""
    from gensim.models import Word2Vec
    from scipy.stats import spearmanr

    text = folder / "ptb.txt"
    words = [
        [word for word in line.split() if word != "<unk>"]
        for line in (CORPORA / "ptb_mikolov" / "ptb.train.txt").read_text().splitlines()
    ]
    text.write_text("".join(" ".join(line) + "\n" for line in words if line))
    tokens = [row.split() for row in text.read_text().splitlines()]
    pairs = [line.split() for line in SIMILARITY.read_text().lower().splitlines()]
    ours, theirs, seconds = [], [], [0.0, 0.0]
    for seed in range(5):
        record = run(
            {
                "name": f"{objective}-ptb-{seed}",
                "task": "classification",
                "example_gen": corpus("trec", folder),
                "tokenizer_gen": {"min_count": LEAST},
                "pretrainer": {
                    "input": str(text),
                    "objective": {"name": objective, **WORD2VEC},
                    "epochs": EPOCHS,
                    "seed": seed,
                    "similarity": str(SIMILARITY),
                },
                "trainer": {"family": "word2vec"},
            },
            folder / "runs",
            "pretrainer",
        )
        ours.append(load_json(artifact(record, "pretrainer") / "report.json")["similarity"]["spearman"])
        seconds[0] += record["stages"]["pretrainer"][0]["seconds"]
        start = time.monotonic()
        options = {"vector_size": 100, "window": 5, "min_count": LEAST, "negative": 5, "sample": 1e-3, "workers": 2}
        vectors = Word2Vec(tokens, sg=int(objective == "skip_gram"), epochs=EPOCHS, seed=seed, **options).wv
        seconds[1] += time.monotonic() - start
        known = [(a, b, float(score)) for a, b, score in pairs if a in vectors and b in vectors]
        scores = [vectors.similarity(a, b) for a, b, _ in known]
        theirs.append(float(spearmanr(scores, [score for *_, score in known]).statistic))
    compared = f"gensim {statistics.mean(theirs):.4f}; {seconds[0] / seconds[1]:.1f}x its time"
    return {**_spread(ours), "compared": compared, "wanted": ">= gensim's - .05, <= 10x"}


def neighbours(folder: Path) -> dict[str, Any]:
    """Who stands near whom in Don Quijote: to be read, not scored."""
    from data.vectors import read_vectors

    record = run(
        {
            "name": "quijote",
            "task": "classification",
            "example_gen": corpus("trec", folder),
            "tokenizer_gen": {"min_count": LEAST},
            "pretrainer": {
                "input": str(CORPORA / "quijote_es" / "quijote.txt"),
                "objective": {"name": "skip_gram", **WORD2VEC},
                "epochs": 20,
            },
            "trainer": {"family": "word2vec"},
        },
        folder / "runs",
        "pretrainer",
    )
    made = artifact(record, "pretrainer")
    vectors = read_vectors(made / load_json(made / "manifest.json")["properties"]["start"])
    table = vectors.table / np.linalg.norm(vectors.table, axis=1, keepdims=True).clip(1e-12)
    near = {word: (table @ table[vectors.words.index(word)]).argsort()[-2:-7:-1] for word in QUIJOTE}
    each = "; ".join(f"{word}: {' '.join(vectors.words[n] for n in found)}" for word, found in near.items())
    return {"mean": "", "each": each, "wanted": "looked at"}


def characters(folder: Path, corpus_name: str) -> dict[str, Any]:
    """tfidf over n-grams of characters within words, against scikit-learn's."""
    import pyarrow.parquet as pq
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    family = {"name": "tfidf", "analyzer": "char_wb", "ngrams": [2, 5]}
    record = _trained(folder, f"{corpus_name}-char_wb", corpus_name, family, 0)
    train, test = (pq.read_table(artifact(record, "example_gen") / split) for split in ("train", "test"))
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5))
    vectors = vectorizer.fit_transform(train.column("text").to_pylist())
    model = LogisticRegression(max_iter=1000).fit(vectors, train.column("label").to_pylist())
    theirs = model.score(vectorizer.transform(test.column("text").to_pylist()), test.column("label").to_pylist())
    compared = f"scikit-learn {theirs:.4f}: {100 * (value(record) - theirs):+.2f} points"
    return {"mean": f"{value(record):.4f}", "compared": compared, "wanted": ">= -0.5 points"}


ROWS: dict[str, Callable[[Path], dict[str, Any]]] = {
    **{name: lambda folder, name=name: scored(folder, name) for name in SCORED},
    "fasttext-package-sst2": lambda folder: package(folder, "sst2"),
    "fasttext-package-trec": lambda folder: package(folder, "trec"),
    "fasttext-package-speed": speed,
    "skip_gram-gensim": lambda folder: word2vec(folder, "skip_gram"),
    "cbow-gensim": lambda folder: word2vec(folder, "cbow"),
    "quijote": neighbours,
    "char_wb-sst2": lambda folder: characters(folder, "sst2"),
    "char_wb-trec": lambda folder: characters(folder, "trec"),
}


def main() -> None:
    folder, names = folder_and_rows(ROWS, __doc__)
    for name in names:
        try:
            (folder / "rows" / f"{name}.json").write_text(json.dumps(ROWS[name](folder)))
        except ModuleNotFoundError as error:
            raise SystemExit(f"{name}: {error}; install it to compare with it") from None
    header = ("row", "ours", "each", "compared with", "wanted")
    print_kept("families", header, ("mean", "each", "compared", "wanted"), ROWS, folder)


if __name__ == "__main__":
    main()
