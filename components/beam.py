"""The one shape every pass over data has on Beam: a function over blocks, and a merge of what it returns.

Elements are descriptions of blocks (a byte range, a shard), never rows: rows that cross a stage
boundary cost more than the work itself and sit in memory at five times their size. The work writes
its own shard and returns a small summary; summaries are merged and come back through a file, since a
runner may be anywhere.
"""

import logging
import os
import pickle
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from etils import epath

from components.base import Runtime
from data.errors import ConfigError, DataError, StageError

Summary = TypeVar("Summary")

# Blocks done in this process: local workers are threads of it, so a plain counter is enough to tell progress.
_done = 0
_done_lock = threading.Lock()


def over_blocks(
    runtime: Runtime,
    label: str,
    blocks: Sequence[Any],
    work: Callable[..., Summary],
    args: tuple,
    merge: Callable[[Iterable[Summary]], Summary],
    scratch: epath.Path,
) -> Summary:
    """Runs `work(block, *args)` for every block on the runner of `[beam]` and merges what it returns.

    work, merge: module-level functions, since workers may be other machines; merge is associative and
      takes an empty iterable.
    scratch: a place all workers can write, for the merged summary on its way back.
    Raises DataError with everything the work raised it for, StageError when the runner fails.
    """
    import apache_beam as beam

    scratch.mkdir(parents=True, exist_ok=True)
    summary = scratch / f"{label}.pickle"
    pipeline = beam.Pipeline(options=pipeline_options(runtime.beam))
    (
        pipeline
        | f"{label}: blocks" >> beam.Create(list(blocks), reshuffle=True)
        | f"{label}: work" >> beam.Map(_guarded, work, args).with_output_types(tuple[list, list])
        | f"{label}: merge" >> beam.CombineGlobally(_merged, merge).with_output_types(tuple[list, list])
        | f"{label}: summary" >> beam.Map(_write_summary, str(summary)).with_output_types(None)
    )
    with _progress(runtime, len(blocks)):
        _run(pipeline, label)
    (result,), errors = pickle.loads(summary.read_bytes())
    summary.unlink()
    if errors:
        raise DataError("\n".join(errors))
    return result


def pipeline_options(options: Mapping[str, Any]):
    """Beam's options for `[beam]`: any runner's, unchanged; the local one named, threaded, a worker a core.

    The default DirectRunner would first try to download a runner binary, so it is never used.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    options = dict(options)
    runner = options.pop("runner", "DirectRunner")
    if runner == "DirectRunner":
        options.setdefault("direct_running_mode", "multi_threading")
        options.setdefault("direct_num_workers", os.cpu_count())
        runner = "FnApiRunner"
    flags = [f"--runner={runner}"]
    for key, value in options.items():
        if value is True:
            flags.append(f"--{key}")
        elif value is not False:
            flags += [f"--{key}={v}" for v in (value if isinstance(value, list) else [value])]
    known = PipelineOptions(flags)
    unknown = sorted(set(options) - set(known.get_all_options(drop_default=False)))
    if unknown:
        raise ConfigError(*(f"beam.{key}: no such option in Apache Beam" for key in unknown))
    return known


def _guarded(block: Any, work: Callable[..., Summary], args: tuple) -> tuple[list[Summary], list[str]]:
    """The summary of a block, or what is wrong with its data: as a value, since exceptions cross runners as text."""
    global _done
    try:
        result = [work(block, *args)], []
    except DataError as error:
        result = [], [str(error)]
    with _done_lock:
        _done += 1
    return result


def _merged(results: Iterable[tuple[list, list[str]]], merge: Callable) -> tuple[list, list[str]]:
    results = list(results)
    summaries = [summary for found, _ in results for summary in found]
    return [merge(summaries)], sorted({error for _, errors in results for error in errors})


def _write_summary(result: Any, path: str) -> None:
    epath.Path(path).write_bytes(pickle.dumps(result))


def _run(pipeline, label: str) -> None:
    # Beam logs whole tracebacks; the error that is raised holds the same text.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    try:
        pipeline.run().wait_until_finish()
    except Exception as error:
        raise StageError(f"{label}: the Beam runner failed: {error}") from error


class _progress:
    """Tells the runtime how many blocks are done, four times a second, while the runner blocks."""

    def __init__(self, runtime: Runtime, total: int):
        self.runtime, self.total, self.stop = runtime, total, threading.Event()

    def __enter__(self):
        self.start = _done
        self.thread = threading.Thread(target=self._tell, daemon=True)
        self.thread.start()

    def _tell(self):
        while not self.stop.wait(0.25):
            self.runtime.progress(_done - self.start, self.total)

    def __exit__(self, *error):
        self.stop.set()
        self.thread.join()
