"""The history of a run: one row an epoch, as CSV and as TensorBoard events."""

import csv
import io
from functools import cached_property
from pathlib import Path

import tensorflow as tf
from etils import epath


class HistoryFiles:
    """`history.csv` and TensorBoard events in a directory, local or remote; None writes nothing."""

    def __init__(self, directory: str | Path | None):
        self._directory = None if directory is None else epath.Path(directory)

    @cached_property
    def _events(self) -> tf.summary.SummaryWriter:
        return tf.summary.create_file_writer(str(self._directory))

    def write(self, history: list[dict[str, float]]) -> None:
        """Writes the CSV anew, so that a resumed run has each epoch once, and the last epoch's events."""
        if self._directory is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        table = csv.DictWriter(text, list(history[-1]), lineterminator="\n")
        table.writeheader()
        table.writerows(history)
        (self._directory / "history.csv").write_text(text.getvalue())
        # Written as protocol buffers: tf.summary.scalar needs the tensorboard package, which only the viewer needs.
        value = tf.compat.v1.Summary.Value
        values = [value(tag=name, simple_value=number) for name, number in history[-1].items() if name != "epoch"]
        with self._events.as_default():
            summary = tf.compat.v1.Summary(value=values).SerializeToString()
            tf.summary.experimental.write_raw_pb(summary, step=history[-1]["epoch"])
        self._events.flush()
