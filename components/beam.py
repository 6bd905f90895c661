"""The one shape every pass over data has on Beam: a function over blocks, and a merge of what it returns.

Elements are descriptions of blocks (a byte range, a shard), never rows: rows that cross a stage
boundary cost more than the work itself and sit in memory at five times their size. The work writes
its own shard and returns a small summary; summaries are merged and come back through a file, since a
runner may be anywhere.
"""

import contextlib
import ctypes
import gc
import logging
import pickle
import re
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from etils import epath

from components.base import Runtime
from components.beam_options import is_local, make_pipeline
from data.errors import ConfigError, DataError, StageError

Summary = TypeVar("Summary")
# Blocks that are worked at here and now, where nothing is asked of Beam: one of the input and its train, valid and test
# shards. To start the runner would take as long as some ten thousand rows.
FEW = 3

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
      commutative, and takes an empty iterable.
    scratch: a folder that all workers can write, made here: for files of the work, and the merged summary.
    Raises DataError with everything the work raised it for, StageError when the runner fails, ConfigError
    when `[beam]` is wrong.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    if not runtime.beam and 0 < len(blocks) <= FEW:
        with _telling(runtime, len(blocks)):
            return _checked(label, *_merged([_guarded(block, work, args, retried=False) for block in blocks], merge))
    pipeline = make_pipeline(runtime.beam)
    if not blocks:  # so that no default is needed, which would cost as many steps again as all the others
        return merge([])
    if type(pipeline.runner).__name__ == "DataflowRunner" and "://" not in str(scratch):
        raise ConfigError(
            f"beam.runner: DataflowRunner's workers cannot reach {scratch}; wanted --home gs://BUCKET/FOLDER"
        )
    summary = scratch / f"{label}.pickle"
    summary.unlink(missing_ok=True)  # a killed run's
    local = is_local(runtime.beam)
    with _returned_memory() if local else contextlib.nullcontext(), _only_new_garbage():
        build(pipeline, label, blocks, work, args, merge, str(summary), retried=not local)
        with _telling(runtime, len(blocks)), _log_level(logging.CRITICAL if local else logging.INFO):
            state = _run(pipeline, label)
    try:
        results, errors = pickle.loads(summary.read_bytes())
    except FileNotFoundError:
        raise StageError(f"{label}: the Beam runner said {state}, but its workers left no {summary}") from None
    summary.unlink()
    return _checked(label, results, errors)


def _checked(label: str, results: list[Summary], errors: list) -> Summary:
    """The one result, unless there are errors to raise."""
    (result,) = results
    if failures := sorted((error for error in errors if not isinstance(error, DataError)), key=str):
        raise StageError(f"{label}: {failures[0]}") from failures[0]
    if errors:
        raise DataError("\n".join(sorted({str(error) for error in errors})))
    return result


@contextlib.contextmanager
def _returned_memory() -> Iterator[None]:
    """Has what is freed go back to the system, where workers are threads: by default an arena of glibc's a thread keeps
    it, as Arrow's own pool would (pipeline/quiet.py); of what is left in pieces, the rest goes back at the end."""
    import pyarrow as pa

    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL("libc.so.6").mallopt(-8, 2)  # M_ARENA_MAX
    try:
        yield
    finally:
        pa.default_memory_pool().release_unused()


@contextlib.contextmanager
def _only_new_garbage() -> Iterator[None]:
    """Has the garbage collector leave alone, for a while, what was there before: the hundreds of thousands of objects
    of TensorFlow's modules, a quarter of a second of CPU each time that a pass makes it look at everything."""
    if gc.get_freeze_count():  # by someone whose choice it is to end it
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()


def build(
    pipeline: Any,
    label: str,
    blocks: Sequence[Any],
    work: Callable,
    args: tuple,
    merge: Callable,
    summary: str,
    retried: bool,
) -> None:
    """Adds the pass to a pipeline; nothing is read or written until it runs.

    summary: path of the pickled `([merged summary], errors)` that the last step writes.
    retried: as in `_guarded`.
    """
    import apache_beam as beam

    (
        pipeline
        | f"{label}: start" >> beam.Impulse()
        | f"{label}: blocks" >> beam.FlatMap(_numbered, list(blocks)).with_output_types(tuple[int, Any])
        | f"{label}: spread" >> beam.GroupByKey()  # what follows is another step, on all workers
        | f"{label}: work" >> beam.FlatMap(_guarded_all, work, args, retried).with_output_types(tuple[int, Any])
        | f"{label}: merge" >> beam.CombinePerKey(_merged, merge).with_output_types(tuple[int, Any])
        | f"{label}: summary" >> beam.Map(_write_summary, summary).with_output_types(None)
    )


def _numbered(_: bytes, blocks: list) -> Iterator[tuple[int, Any]]:
    return enumerate(blocks)


def _guarded_all(numbered: tuple[int, Iterable], *how: Any) -> Iterator[tuple[int, tuple[list, list]]]:
    """The results of the blocks of a number, which is one block, all under one key."""
    return ((0, _guarded(block, *how)) for block in numbered[1])


def _guarded(block: Any, work: Callable[..., Summary], args: tuple, retried: bool) -> tuple[list[Summary], list]:
    """The summary of a block, or what is wrong with its data: as a value, since exceptions cross runners as text.

    retried: the runner tries a block again that failed, so what is not the data's fault is left to it.
    """
    global _done
    result: tuple[list[Summary], list]
    try:
        result = [work(block, *args)], []
    except DataError as error:
        result = [], [error]
    except Exception as error:
        if retried:
            raise
        failure = StageError(_reason(error))
        failure.add_note(traceback.format_exc())
        result = [], [failure]
    with _done_lock:
        _done += 1
    return result


def _merged(results: Iterable[tuple[list, list]], merge: Callable) -> tuple[list, list]:
    results = list(results)
    summaries = [summary for found, _ in results for summary in found]
    return [merge(summaries)], [error for _, errors in results for error in errors]


def _write_summary(keyed: tuple[int, Any], path: str) -> None:
    epath.Path(path).write_bytes(pickle.dumps(keyed[1]))


def _run(pipeline: Any, label: str) -> str:
    """Runs the pipeline to its end and returns the runner's word for it."""
    result = None
    try:
        result = pipeline.run()
        result.wait_until_finish()
        return str(result.state)
    except KeyboardInterrupt:
        if result is not None:  # a job left behind would go on writing, beside the next run's
            result.cancel()
        raise
    except Exception as error:
        raise StageError(f"{label}: the Beam runner failed: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The innermost exception and its place, without the traceback: a worker's is text inside the runner's own."""
    text = "".join(traceback.format_exception(error))
    *_, frame = re.finditer(r'File "(.+?)", line (\d+)', text)
    said = re.search(r"\n(\S.*)", text[frame.end() :], re.DOTALL)
    sentence = " ".join((said[1] if said else str(error)).split()).removeprefix("RuntimeError: ")  # Beam's wrapping
    return f"{sentence} ({frame[1]}:{frame[2]})"


@contextlib.contextmanager
def _log_level(level: int) -> Iterator[None]:
    """Beam's log level for a while. Locally it would log whole tracebacks, which the error raised tells already;
    elsewhere its log is where the job's address and state are."""
    logger = logging.getLogger("apache_beam")
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _telling(runtime: Runtime, total: int) -> Iterator[None]:
    """Tells the runtime how many blocks are done, four times a second and at the end, while the runner blocks."""
    start, stop = _done, threading.Event()

    def tell() -> None:
        while not stop.wait(0.25):
            runtime.progress(_done - start, total)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        runtime.progress(_done - start, total)
