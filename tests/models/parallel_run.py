"""Runs under a strategy in a process of their own: logical devices and TF_CONFIG are read once, at start.

    python -m tests.models.parallel_run STRATEGY DIRECTORY NAME

For each of RUNS trains 8 steps on DIRECTORY's rows and writes the weights to DIRECTORY/NAME.RUN.npz.
"""

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data.errors import StageError
from data.store import Shards, TokenStore
from models.fine_tuning import FineTuning
from models.loop import train
from models.optimizer import Optimizer
from models.strategy import create, is_chief
from models.training import EarlyStopping, Training
from tests.models import tiny

# A rate that SGD's clipped step needs to move; adamw decays its weights in a merge call of its own.
ADAMW = Optimizer(name="adamw", learning_rate=0.01, weight_decay=0.5, schedule="cosine", warmup=2)
RUNS = {
    "sgd": {"optimizer": Optimizer(name="sgd", learning_rate=5.0, clip_norm=0.02)},
    "adamw": {"optimizer": ADAMW},
    "tuned": {
        "optimizer": ADAMW,
        "fine_tuning": FineTuning(unfreeze_every=1, layer_decay=0.5),
        "accumulate": 2,
        "ema": 0.3,
    },
}
SIZES = {"epochs": 2, "batch_tokens": 640, "max_tokens": 30, "buckets": 2, "steps_per_call": 3}


def build():
    """With a ladder of one layer, the word vectors, which join in in the second epoch."""
    model = tiny.build()
    model.encoder = SimpleNamespace(ladder=[[layer for layer in model.layers if "embedding" in layer.name]])
    return model


def main(name: str, directory: Path, output: str) -> None:
    strategy = create(name, cpu_devices=2)
    split = {
        name: TokenStore([Shards([directory / f"{name}.arrow"], tiny.LABELS)], tiny.LABELS)
        for name in ("train", "valid")
    }
    for kind, options in RUNS.items():
        training = Training(early_stopping=EarlyStopping(metric="accuracy"), **options, **SIZES)
        run = partial(
            train,
            build,
            tiny.Yes(),
            split["train"],
            split["valid"],
            training=training,
            strategy=strategy,
            checkpoint_dir=directory / f"{output}.{kind}.checkpoints",
            log_dir=directory / f"{output}.{kind}.logs",
        )
        result = run()
        assert result.steps == 8, result.steps
        arrays = {f"w{n}": weight.numpy() for n, weight in enumerate(result.model.weights)}
        history = {f"history {name}": [row[name] for row in result.history] for name in result.history[0]}
        chief, replicas = is_chief(strategy), strategy.num_replicas_in_sync
        np.savez(directory / f"{output}.{kind}.npz", chief=chief, replicas=replicas, **arrays, **history)
    if name == "multi_worker":  # now the chief has a checkpoint in its own directory, and the other worker has none
        with pytest.raises(StageError, match="every worker sees"):
            run()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
