"""What pretraining on the text itself gives a classifier: bert 4x256 on SST-2, after a masked language model or not.

    python -m benchmarks.pretraining FOLDER ROW...    a row, resumable
    python -m benchmarks.pretraining FOLDER           what the rows gave; wanted: masked above plain

FOLDER keeps everything: a row that was stopped (`timeout -s TERM 2300 python -m ...`) goes on where it was. Wants
../shared/data (benchmarks/common.py). PTB's perplexities are rows of benchmarks.tasks_language.
"""

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.common import corpus, folder_and_rows, load_json, print_table, run, value

SEEDS = (0, 1, 2)
FAMILY = {"name": "bert", "layers": 4, "width": 256, "heads": 4}
MAX_TOKENS = 64
EPOCHS = 30  # of the masked language model
SHARE = 0.4  # of the tokens is hidden (as Wettig et al. 2023 do), so that an epoch asks about more of them
BATCH_TOKENS = 1024  # at 4096, 30 epochs of this text are few steps
OPTIMIZER = {"learning_rate": 3e-4, "schedule": "linear", "warmup": 0.1}  # of both; at 5e-4 they came out even
PARTS = ("plain", "masked")
ROWS = {f"{part}-{seed}": (part, seed) for part in PARTS for seed in SEEDS}


def classify(folder: Path, part: str, seed: int, family: dict[str, Any] = FAMILY, epochs: int = EPOCHS) -> float:
    """Accuracy on SST-2 dev; what was run before is read, not run again. Both train alike."""
    config = {
        "name": f"{part}-{seed}",
        "task": "classification",
        "example_gen": corpus("sst2", folder),
        "transform": {"max_tokens": MAX_TOKENS},
        "trainer": {"family": family, "optimizer": OPTIMIZER, "seed": seed, "checkpoint_seconds": 60.0},
    }
    if part == "masked":
        options = {"max_tokens": MAX_TOKENS, "epochs": epochs, "batch_tokens": BATCH_TOKENS, "seed": seed}
        learned = {"objective": {"name": "masked", "dropout": 0.0, "share": SHARE}, "precision": "mixed_bfloat16"}
        config["pretrainer"] = {**options, **learned, "checkpoint_seconds": 60.0}
    return value(run(config, folder / "runs"))


def main() -> None:
    folder, names = folder_and_rows(ROWS, __doc__)
    for name in names:
        (folder / "rows" / f"{name}.json").write_text(json.dumps(classify(folder, *ROWS[name])))
    kept = {name: load_json(path) for name in ROWS if (path := folder / "rows" / f"{name}.json").exists()}
    found = {part: [kept[name] for name in kept if ROWS[name][0] == part] for part in PARTS}
    table: list[tuple[str, ...]] = [("SST-2 dev, bert 4x256", "mean", "each")]
    for part, each in found.items():
        if each:
            table.append((part, f"{statistics.mean(each):.4f}", " ".join(f"{one:.4f}" for one in each)))
    print_table("the same training, from scratch and from a masked language model of the same text", table)
    if all(found.values()):
        gain = 100 * (statistics.mean(found["masked"]) - statistics.mean(found["plain"]))
        print(f"\ngain {gain:+.2f} points (wanted: above 0)")


if __name__ == "__main__":
    main()
