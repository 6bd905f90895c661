"""Documents to pairs of their segments, in Beam: what objectives learn from that tell how two texts belong together.

A worker reads a block of documents, cuts them into sentences, tokenises these, and writes the pairs that the objective
makes of them. What it draws depends on the seed and the block's name, so not on the runner. A segment from elsewhere is
of another document of the same block.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from components.base import Runtime
from components.records import Plan
from data.errors import DataError

DOCUMENTS, SHORT, PAIRS, TRUE = "documents", "without_two_sentences", "pairs", "true_pairs"
ROWS = 4096  # in a record batch


def make_pairs(
    runtime: Runtime, plans: list[Plan], field: str, tokenizer: str, goal: Any, room: int, seed: int, scratch: Any
) -> tuple[list[str], dict[str, int]]:
    """Shards of pairs {ids, ids_pair, class}, and how many documents and pairs there were.

    goal: an objective whose data is `sentences`. room: tokens that both segments have together.
    Raises DataError when the documents make no pair.
    """
    from components.beam import over_blocks

    args = field, tokenizer, goal, room, seed, str(scratch / "pairs")
    shards, counts = over_blocks(runtime, "pretrainer", plans, _pair_block, args, _merge, scratch)
    if not counts[PAIRS]:
        raise DataError(
            f"pretrainer.input: got {counts[DOCUMENTS]} documents, {counts[SHORT]} of them of less than two sentences, "
            "which make no pair; wanted documents of several sentences (a row each; with `unit = 'file'` a file), and "
            "more than one of them"
        )
    return shards, {name: counts[name] for name in (DOCUMENTS, SHORT, PAIRS, TRUE)}


def _pair_block(
    plan: Plan, field: str, tokenizer: str, goal: Any, room: int, seed: int, out: str
) -> tuple[list[str], Counter[str]]:
    """Writes the shard of one block; no path where the block makes no pair. Runs in a worker."""
    import numpy as np
    import xxhash
    from etils import epath

    from components.corpus import texts
    from data.store import write_shard
    from data.tokenizers import load_tokenizer

    encoder, counts = load_tokenizer(tokenizer), Counter[str]()
    documents = [each for batch in texts(plan, field) if batch for each in _documents(encoder, batch)]
    counts[DOCUMENTS], counts[SHORT] = len(documents), sum(len(each) < 2 for each in documents)
    random = np.random.default_rng([seed, xxhash.xxh3_64_intdigest(plan.shard.encode())])
    target = epath.Path(out) / f"{plan.shard}.arrow"
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = write_shard(target, _records(goal.pairs(documents, room, random), room, counts))
    return ([str(target)] if rows else []), counts


def _documents(encoder: Any, batch: list[str]) -> Iterator[list[Any]]:
    """For each document, the ids <int32>[n] of its sentences, those without a token left out."""
    from data.sentences import sentences

    parts = [sentences(document) for document in batch]
    ids, splits = encoder.encode([sentence for part in parts for sentence in part])
    place = 0
    for part in parts:
        bounds = splits[place : place + len(part) + 1].tolist()
        yield [ids[start:end] for start, end in zip(bounds, bounds[1:], strict=False) if end > start]
        place += len(part)


def _records(pairs: Iterable[Any], room: int, counts: Counter[str]) -> Iterator[Any]:
    """Token records of pairs, each text cut to `room`."""
    import numpy as np
    import pyarrow as pa

    from data.schema import CLASS, IDS, IDS_PAIR
    from data.store import ragged

    pairs = iter(pairs)
    while some := list(islice(pairs, ROWS)):
        columns = {}
        for name, texts in ((IDS, [pair[0] for pair in some]), (IDS_PAIR, [pair[1] for pair in some])):
            splits = np.cumsum([0, *map(len, texts)])
            columns[name] = ragged(np.concatenate(texts), splits, room)
        classes = np.array([pair[2] for pair in some], np.int32)
        counts[PAIRS], counts[TRUE] = counts[PAIRS] + len(classes), counts[TRUE] + int(classes.sum())
        yield pa.RecordBatch.from_pydict({**columns, CLASS: pa.array(classes)})


def _merge(found: Iterable[tuple[list[str], Counter[str]]]) -> tuple[list[str], Counter[str]]:
    shards: list[str] = []
    counts = Counter[str]()
    for paths, more in found:
        shards += paths
        counts.update(more)
    return sorted(shards), counts
