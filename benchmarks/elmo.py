"""ELMo from scratch on PTB, then SST-2 with its layers frozen: the learned mix against the words' own vectors.

    python -m benchmarks.elmo FOLDER ROW...    a row; `pretrain` comes first, and each is resumable
    python -m benchmarks.elmo FOLDER           what the rows gave; wanted: +2 points

FOLDER keeps everything: a row that was stopped goes on where it was. Wants ../shared/data (benchmarks/common.py).
"""

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.common import CORPORA, artifact, corpus, folder_and_rows, load_json, print_table, run, value

SEEDS = (0, 1, 2)
EPOCHS = 10  # of the two-way language model
FAMILY = {"name": "elmo", "units": 512, "width": 64}
ATTENTION = {"pooling": "attention", "dropout": 0.3}  # weighs words itself, so that there is less for context to add
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "pretrain": ("", {}),
    "words": ("the family's own head (max): words' own vectors", {"mix": "words"}),
    "mix": ("mix of all layers", {"mix": "learned"}),
    "words-attention": ("attention: words' own vectors", {"mix": "words", **ATTENTION}),
    "mix-attention": ("mix of all layers", {"mix": "learned", **ATTENTION}),
}


def _run(folder: Path, family: dict[str, Any], seed: int, until: str) -> dict[str, Any]:
    """All runs have one name, and so one pretrained network."""
    text = folder / "ptb.txt"
    if not text.exists():
        words = (CORPORA / "ptb_mikolov" / "ptb.train.txt").read_text()
        text.write_text(words.replace("<unk>", "unk"))
    config = {
        "name": "elmo",
        "task": "classification",
        "example_gen": corpus("sst2", folder),
        "transform": {"max_tokens": 64},
        "pretrainer": {"input": str(text), "max_tokens": 64, "epochs": EPOCHS, "checkpoint_seconds": 60.0},
        "trainer": {"family": {**FAMILY, **family}, "seed": seed},
    }
    return run(config, folder / "runs", until)


def row(folder: Path, name: str) -> Any:
    if name == "pretrain":
        return load_json(artifact(_run(folder, {}, 0, "pretrainer"), "pretrainer") / "report.json")
    return [value(_run(folder, ROWS[name][1], seed, "evaluator")) for seed in SEEDS]


def main() -> None:
    folder, names = folder_and_rows(ROWS, __doc__)
    for name in names:
        (folder / "rows" / f"{name}.json").write_text(json.dumps(row(folder, name)))
    kept = {name: load_json(path) for name in ROWS if (path := folder / "rows" / f"{name}.json").exists()}
    table: list[tuple[str, ...]] = [("SST-2 dev", "mean of 3 seeds", "each")]
    for name in (name for name in kept if name != "pretrain"):
        table.append(
            (ROWS[name][0], f"{statistics.mean(kept[name]):.4f}", " ".join(f"{one:.4f}" for one in kept[name]))
        )
    print_table("the same head over frozen layers", table)
    if "pretrain" in kept:
        print(f"\nnats a word in the last epoch, the softmax sampled: {kept['pretrain']['loss']:.3f}")
    for head, wanted in (("", " (wanted +2)"), ("-attention", "")):
        if kept.keys() >= {f"words{head}", f"mix{head}"}:
            gain = 100 * (statistics.mean(kept[f"mix{head}"]) - statistics.mean(kept[f"words{head}"]))
            print(f"gain{head} {gain:+.2f} points{wanted}")


if __name__ == "__main__":
    main()
