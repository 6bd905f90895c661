"""What a model with half of its teacher's layers keeps of the teacher's score.

    python -m benchmarks.distillation FOLDER ROW    one row: it prints the table, and keeps its figures in FOLDER
    python -m benchmarks.distillation FOLDER        the rows, and what those that ran gave; wanted: 97 % of the teacher

FOLDER keeps everything: a row that was stopped goes on where it was. The SST-2 rows want ../shared/data
(benchmarks/common.py).
"""

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.common import artifact, corpus, folder_and_rows, load_json, print_table, run, value

SEEDS = (0, 1, 2)
WANTED = 0.97
SAMPLE: dict[str, Any] = {
    "transform": {"max_tokens": 96},
    "example_gen": {
        "input": "data/samples/opiniones/span-{span}.csv",
        "fields": {"text": "opinion", "label": "sentimiento"},
        "splits": {"train": 0.8, "valid": 0.1, "test": 0.1},
    },
}
WIDE = {"width": 256, "heads": 4}
NARROW = {"width": 128, "heads": 2}
ROWS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {  # corpus, sizes, options of `distill`
    "opiniones": ("opiniones", NARROW, {"cosine": 0.1, "copy_layers": True}),
    "opiniones-answers": ("opiniones", NARROW, {}),
    "sst2": ("sst2", NARROW, {"cosine": 0.1, "copy_layers": True}),
    "sst2-answers": ("sst2", NARROW, {}),
    "sst2-wide": ("sst2", WIDE, {"cosine": 0.1, "copy_layers": True}),
}


def row(folder: Path, name: str) -> dict[str, list[float]]:
    """Accuracy of teacher, student, and the student without a teacher, by seed; all three train alike."""
    corpus_name, sizes, options = ROWS[name]
    found: dict[str, list[float]] = {"teacher": [], "student": [], "alone": []}
    for seed in SEEDS:
        teacher = _run(folder, corpus_name, "teacher", {"name": "bert", "layers": 4, **sizes}, seed)
        distill = {"teacher": str(artifact(teacher, "trainer")), **options}
        family = {"name": "distilbert", "layers": 2, **sizes}
        student = _run(folder, corpus_name, "student", family, seed, distill=distill)
        alone = _run(folder, corpus_name, "alone", family, seed)
        for part, record in (("teacher", teacher), ("student", student), ("alone", alone)):
            found[part].append(value(record))
    return found


def _run(folder: Path, corpus_name: str, part: str, family: dict[str, Any], seed: int, **trainer: Any) -> dict:
    given: dict[str, Any] = {"transform": {"max_tokens": 64}}
    if corpus_name == "opiniones":  # its order matters: four epochs leave bert near a bag of words
        given, trainer = SAMPLE, {"epochs": 20, "optimizer": {"learning_rate": 1e-3}, **trainer}
    else:
        given["example_gen"] = corpus(corpus_name, folder)
    config = {
        "name": f"{corpus_name}-{part}-{seed}",
        "task": "classification",
        **given,
        "trainer": {"family": family, "seed": seed, **trainer},
    }
    return run(config, folder / "runs", "evaluator")


def main() -> None:
    folder, names = folder_and_rows(ROWS, __doc__)
    for name in names:
        (folder / "rows" / f"{name}.json").write_text(json.dumps(row(folder, name)))
    table: list[tuple[str, ...]] = [("row", "teacher", "student", "kept", "alone", "kept", "student, each")]
    for name in ROWS:
        if (path := folder / "rows" / f"{name}.json").exists():
            found = load_json(path)
            mean = {part: statistics.mean(each) for part, each in found.items()}
            kept = {part: f"{mean[part] / mean['teacher']:.3f}" for part in ("student", "alone")}
            each = " ".join(f"{one:.4f}" for one in found["student"])
            scores = {part: f"{score:.4f}" for part, score in mean.items()}
            table.append(
                (name, scores["teacher"], scores["student"], kept["student"], scores["alone"], kept["alone"], each)
            )
    print_table(f"bert of 4 layers and distilbert of 2, means of {len(SEEDS)} seeds; wanted: kept >= {WANTED}", table)


if __name__ == "__main__":
    main()
