"""Whether a SavedModel may be loaded: one from elsewhere is a program, and some ops of programs reach files or sockets.

Allowed are the ops that TF Serving links, less those that read or write what is not theirs, call home or end the
process. What saves and restores checkpoints may do so where no signature, no initialiser and no other function calls
it. A model that passes can still answer nonsense, and take its time over it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from etils import epath

from components.native_client import read_graph
from components.serving_ops import LINKED, NEWEST
from data.errors import StageError

REACHING = re.compile(
    r"ReadFile|WriteFile|MatchingFiles|WholeFile|Reader(V2)?$|ImmutableConst|LoadAndRemapMatrix|GenerateVocabRemapping"
    r"|InitializeTableFromTextFile|FileSystem|DumpTensor|DebugIdentity|DebugNan|DebugNumeric|PrintV2|Abort$"
    r"|(TextLine|TFRecord|FixedLengthRecord|CSV|Sql|LMDB|Cache|Load|Save|Snapshot|DataService)\w*Dataset"
    r"|DatasetToTFRecord|SnapshotChunks|SummaryWriter|SummaryDbWriter|SummaryFileWriter|Write\w*Summary|ImportEvent"
    r"|^(Save|Restore)|MergeV2Checkpoints|ShardedFile|Rpc|WorkerHeartbeat|Collective|Nccl"
)
SAVING = frozenset({"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "ShardedFilespec"})
RESTORING = frozenset({"RestoreV2"})  # a loader calls the restoring function, and nobody the saving one


def check_trusted(saved_model: epath.PathLike) -> None:
    """Raises StageError that names the ops, of the graph or of any function, that are not allowed."""
    refused: set[str] = set()
    for meta in read_graph(saved_model).meta_graphs:
        functions = {each.signature.name: each for each in meta.graph_def.library.function}
        nodes = list(meta.graph_def.node)
        savers = {meta.saver_def.save_tensor_name.partition(":")[0]: SAVING, meta.saver_def.restore_op_name: RESTORING}
        called = set(meta.object_graph_def.concrete_functions) | set(_names(n for n in nodes if n.name not in savers))
        reached = _closure(called, functions)
        may: dict[str, frozenset[str]] = {}
        for node in nodes:
            if node.name in savers:
                for name in _closure(set(_names([node])), functions) - reached:
                    may[name] = may.get(name, savers[node.name]) & savers[node.name]
        refused |= _refused(nodes, functions, frozenset())
        for name, function in functions.items():
            refused |= _refused(function.node_def, functions, may.get(name, frozenset()))
    if refused:
        raise StageError(
            f"{saved_model}: is not loaded, since it holds {', '.join(sorted(refused))}: ops that reach files, the "
            "network or the process, or that TF Serving does not have; wanted a model that only computes"
        )


def _refused(nodes: Iterable[Any], functions: Mapping[str, Any], may: frozenset[str]) -> set[str]:
    ops = {node.op for node in nodes} - functions.keys() - may
    return {op for op in ops if op not in LINKED[NEWEST] or REACHING.search(op)}


def _names(nodes: Iterable[Any]) -> Iterator[str]:
    """Names of the functions that nodes call, or hand to what calls them."""
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            yield from (each.name for each in (value.func, *value.list.func) if each.name)


def _closure(names: set[str], functions: Mapping[str, Any]) -> set[str]:
    """The functions among `names`, and all that they call."""
    found: set[str] = set()
    waiting = [name for name in names if name in functions]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [each for each in _names(functions[name].node_def) if each in functions]
    return found
