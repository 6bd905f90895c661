"""What pretraining on the text itself gives: a classifier that starts from it, and a language model's perplexity.

    python -m benchmarks.pretraining FOLDER plain SEED     bert 4x256 on SST-2, from scratch
    python -m benchmarks.pretraining FOLDER masked SEED    the same, after a masked language model on the same text
    python -m benchmarks.pretraining FOLDER ptb            gpt2 3x256 on PTB, for 38 minutes; wanted: perplexity <= 150
    python -m benchmarks.pretraining FOLDER table          what these gave; wanted: masked above plain, seeds 0, 1, 2

FOLDER keeps everything: a command that was stopped (`timeout -s TERM 2300 python -m ...`) goes on where it was. Wants
../shared/data (benchmarks/common.py).
"""

import json
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import CORPORA, corpus, print_table, run, value

SEEDS = (0, 1, 2)
MINUTES = 38
FAMILY = {"name": "bert", "layers": 4, "width": 256, "heads": 4}
MAX_TOKENS = 64
EPOCHS = 60  # of the masked language model
BATCH_TOKENS = 1024  # at 4096, 30 epochs are so few steps that its loss stays near that of the words' frequencies
PTB = {"layers": 3, "width": 256, "heads": 4, "dropout": 0.2}
BLOCK = 128  # tokens of PTB
WANTED = 150


def classify(folder: Path, part: str, seed: int, family: dict[str, Any] = FAMILY, epochs: int = EPOCHS) -> float:
    """Accuracy on SST-2 dev; what was run before is read, not run again. Both train alike, in the family's own way."""
    config = {
        "name": f"{part}-{seed}",
        "task": "classification",
        "example_gen": corpus("sst2", folder),
        "transform": {"max_tokens": MAX_TOKENS},
        "trainer": {"family": family, "seed": seed},
    }
    if part == "masked":
        config["pretrainer"] = {"max_tokens": MAX_TOKENS, "epochs": epochs, "batch_tokens": BATCH_TOKENS, "seed": seed}
    accuracy = value(run(config, folder / "runs"))
    (folder / f"{part}-{seed}.json").write_text(json.dumps(accuracy))
    return accuracy


def ptb(folder: Path) -> None:
    """Perplexity of a word of the valid text, the ends of lines being words, each block anew from its first word."""
    from models.families.base import Vocabulary
    from models.families.gpt2 import Gpt2
    from models.loop import train
    from models.objectives.causal import Causal
    from models.strategy import create
    from models.training import Training

    objective, tokenizer = Causal(), _tokenizer(folder)
    vocabulary = Vocabulary.of(tokenizer)
    stores = [_blocks(folder, split, tokenizer, vocabulary.end) for split in ("train", "valid")]
    for store in stores:
        store.weights = objective.weights(store.lengths)
    result = train(
        lambda: objective.build(Gpt2(**PTB), vocabulary, stores[0].counts(vocabulary.size), BLOCK),
        objective,
        *stores,
        training=Training(**objective.recommended, max_tokens=BLOCK, checkpoint_seconds=60),
        strategy=create("one"),
        checkpoint_dir=folder / "checkpoints",
        log_dir=folder / "ptb",
        on_progress=_until(time.monotonic() + 60 * MINUTES),
    )
    (folder / "ptb.json").write_text(json.dumps(result.history[-1]))


def _until(end: float):
    """Asks the loop to stop, with a checkpoint, when the time is up."""

    def progress(done: int, total: int) -> None:
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
        counts = kind.count(_lines("train"), lowercase=False)
        kind.learn(counts, vocabulary_size=10_010, lowercase=False).save(folder / "tokenizer")
    return load_tokenizer(folder / "tokenizer")


def _blocks(folder: Path, split: str, tokenizer, end: int):
    import pyarrow as pa

    from data.blocks import write_blocks
    from data.schema import IDS
    from data.store import Shards, TokenStore, ragged, write_shard

    text, path = folder / f"ptb-{split}-text.arrow", folder / f"ptb-{split}.arrow"
    if not path.exists():
        write_shard(text, [pa.record_batch({IDS: ragged(*tokenizer.encode(_lines(split)), 1000)})])
        write_blocks([text], path, BLOCK, end)
    return TokenStore([Shards([path])])


def table(folder: Path) -> None:
    """Runs nothing."""
    rows = [("SST-2 dev, bert 4x256", "mean", "each")]
    found = {part: [_kept(folder, f"{part}-{seed}") for seed in SEEDS] for part in ("plain", "masked")}
    for part, each in found.items():
        rows.append((part, f"{statistics.mean(each):.4f}", " ".join(f"{one:.4f}" for one in each)))
    print_table("the same training, from scratch and from a masked language model of the same text", rows)
    gain = 100 * (statistics.mean(found["masked"]) - statistics.mean(found["plain"]))
    print(f"\ngain {gain:+.2f} points (wanted: above 0)")
    print(f"PTB valid perplexity {_kept(folder, 'ptb')['val_perplexity']:.1f} (wanted: <= {WANTED})")


def _kept(folder: Path, name: str) -> Any:
    path = folder / f"{name}.json"
    if not path.exists():
        raise SystemExit(f"{path}: not there; run `python -m benchmarks.pretraining {folder} {name.replace('-', ' ')}`")
    return json.loads(path.read_text())


def main() -> None:
    arguments = sys.argv[1:]
    if len(arguments) < 2:
        raise SystemExit(__doc__)
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    match arguments[1:]:
        case ["plain" | "masked" as part, seed]:
            print(f"{part} {seed}: {classify(folder, part, int(seed)):.4f}")
        case ["ptb"]:
            ptb(folder)
        case ["table"]:
            table(folder)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
