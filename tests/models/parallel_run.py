"""A run under a strategy in a process of its own: logical devices and TF_CONFIG are read once, at start.

    python parallel_run.py STRATEGY DIRECTORY NAME [PRECISION]

Trains 8 steps on DIRECTORY's rows and writes the weights to DIRECTORY/NAME.npz.
"""

import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import tiny  # noqa: E402

from data.store import Shards, TokenStore  # noqa: E402
from models.loop import EarlyStopping, Training, train  # noqa: E402
from models.optimizer import Optimizer  # noqa: E402
from models.strategy import create, is_chief  # noqa: E402


def main(name: str, directory: Path, output: str, precision: str = "float32") -> None:
    strategy = create(name, cpu_devices=2)
    split = {name: TokenStore([Shards([directory / f"{name}.arrow"], tiny.LABELS)], tiny.LABELS) for name in ("train", "valid")}
    result = train(
        tiny.build,
        tiny.Yes(),
        split["train"],
        split["valid"],
        training=Training(
            epochs=2,
            batch_tokens=640,
            max_tokens=30,
            buckets=2,
            steps_per_call=3,
            precision=precision,
            optimizer=Optimizer(learning_rate=0.01, clip_norm=0.05),
            early_stopping=EarlyStopping(metric="accuracy"),
        ),
        strategy=strategy,
        checkpoint_dir=directory / "checkpoints" / output,
        log_dir=directory / "logs" / output,
    )
    assert result.steps == 8, result.steps
    arrays = {f"w{n}": weight.numpy() for n, weight in enumerate(result.model.weights)}
    history = {name: [row[name] for row in result.history] for name in result.history[0]}
    np.savez(directory / f"{output}.npz", chief=is_chief(strategy), **arrays, **history)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
