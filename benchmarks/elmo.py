"""ELMo from scratch on PTB, then SST-2 with its layers frozen: the learned mix against the words' own vectors.

    python -m benchmarks.elmo FOLDER pretrain    a two-way language model on PTB, for 38 minutes; call again to go on
    python -m benchmarks.elmo FOLDER words       SST-2, the same head on the words' own vectors, 3 seeds
    python -m benchmarks.elmo FOLDER mix         SST-2, on the mix of all layers, 3 seeds
    python -m benchmarks.elmo FOLDER table       what these gave; wanted: +2 points

FOLDER keeps everything: a command that was stopped goes on where it was. Wants ../shared/data (benchmarks/common.py).
"""

import json
import signal
import statistics
import sys
import time
from pathlib import Path

from benchmarks.common import CORPORA, corpus, print_table, run, value

SEEDS = (0, 1, 2)
MINUTES = 38
SIZES = {"units": 512, "width": 64}
HEAD = {"pooling": "attention", "dropout": 0.3}
PARTS = {"words": "words' own vectors", "mix": "mix of all layers"}


def pretrain(folder: Path) -> None:
    from models.families.base import Vocabulary
    from models.families.elmo import Elmo
    from models.loop import train
    from models.objectives.bidirectional import Bidirectional
    from models.strategy import create
    from models.training import Training

    tokenizer, objective, family = _tokenizer(folder), Bidirectional(), Elmo(**SIZES)
    stores = [_store(folder, split, tokenizer) for split in ("train", "valid")]
    for store in stores:
        store.weights = objective.weights(store.lengths)
    result = train(
        lambda: objective.build(family, Vocabulary.of(tokenizer)),
        objective,
        *stores,
        training=Training(**objective.recommended | {"epochs": 15}, max_tokens=64, checkpoint_seconds=60),
        strategy=create("one"),
        checkpoint_dir=folder / "checkpoints",
        log_dir=folder / "pretraining",
        on_progress=_until(time.monotonic() + 60 * MINUTES),
    )
    objective.save(result.model, folder)
    (folder / "pretraining.json").write_text(json.dumps(result.history[-1]))


def _until(end: float):
    """Reports progress, and asks the loop to stop, with a checkpoint, when the time is up."""

    def progress(done: int, total: int) -> None:
        if done % 100 == 0:
            print(f"  {done} of {total} steps", file=sys.stderr)
        if time.monotonic() > end:
            print(f"  {done} of {total} steps and the time is up; call again to go on", file=sys.stderr)
            signal.raise_signal(signal.SIGTERM)

    return progress


def _lines(split: str) -> list[str]:
    text = (CORPORA / "ptb_mikolov" / f"ptb.{split}.txt").read_text()
    return [line.strip().replace("<unk>", "unk") for line in text.splitlines() if line.strip()]


def _tokenizer(folder: Path):
    from data.tokenizers import TOKENIZERS, load_tokenizer

    if not (folder / "tokenizer").exists():
        kind = TOKENIZERS["words"]
        kind.learn(kind.count(_lines("train"), lowercase=False), vocabulary_size=10_000, lowercase=False).save(
            folder / "tokenizer"
        )
    return load_tokenizer(folder / "tokenizer")


def _store(folder: Path, split: str, tokenizer):
    import pyarrow as pa

    from data.schema import IDS, WORD_BYTES
    from data.store import Shards, TokenStore, ragged, write_shard
    from models.families.elmo import Elmo

    path = folder / f"ptb-{split}.arrow"
    if not path.exists():
        lines, longest = _lines(split), 64
        columns = {IDS: ragged(*tokenizer.encode(lines), longest)}
        words = tokenizer.encode_words(lines, longest, Elmo.word_bytes)
        columns[WORD_BYTES] = ragged(*words, longest * (Elmo.word_bytes + 1))
        write_shard(path, [pa.record_batch(columns)])
    return TokenStore([Shards([path])], None, Elmo.word_bytes)


def classify(folder: Path, mix: str) -> list[float]:
    """Accuracies on SST-2 dev, one a seed; what a seed gave before is read, not trained again."""
    family = {"name": "elmo", "weights": str(folder / "elmo"), "mix": "learned" if mix == "mix" else mix, **HEAD}
    found = []
    for seed in SEEDS:
        record = run(
            {
                "name": f"elmo-{mix}-{seed}",
                "task": "classification",
                "example_gen": corpus("sst2", folder),
                "transform": {"max_tokens": 64},
                "trainer": {"family": family, "seed": seed},
            },
            folder / "runs",
        )
        found.append(value(record))
    return found


def table(folder: Path) -> None:
    """Trains nothing that `words` and `mix` have trained."""
    found = {mix: classify(folder, mix) for mix in PARTS}
    gain = 100 * (statistics.mean(found["mix"]) - statistics.mean(found["words"]))
    rows = [("SST-2 dev", "mean of 3 seeds", "each")]
    for mix, name in PARTS.items():
        each = ", ".join(f"{accuracy:.4f}" for accuracy in found[mix])
        rows.append((name, f"{statistics.mean(found[mix]):.4f}", each))
    history = json.loads((folder / "pretraining.json").read_text())
    print_table("the same head over frozen layers", rows)
    print(f"\ngain {gain:+.2f} points (wanted +2); PTB valid perplexity {history['val_perplexity']:.1f}")


def main() -> None:
    parts = {"pretrain": pretrain, "table": table, **{mix: lambda folder, m=mix: classify(folder, m) for mix in PARTS}}
    if len(sys.argv) != 3 or sys.argv[2] not in parts:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    parts[sys.argv[2]](folder)


if __name__ == "__main__":
    main()
