"""Rows that are not trained on, since an earlier test split has them or nearly has: what split_guard found."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

LEAKS = "leaks.parquet"
TRAINED_ON = ("train", "valid")


def shard_name(path: str) -> str:
    """What a shard of examples is called in the leaks: `train/0-00000-000000000000.parquet`."""
    return "/".join(PurePath(path).parts[-2:])


def leaked(leaks: str, shard: str) -> list[int]:
    """Rows of a shard of examples that are not to be trained on, of all its rows in their order."""
    table = read_table(leaks, ["shard", "row"]).to_pydict()
    here = shard_name(shard)
    return [row for name, row in zip(table["shard"], table["row"], strict=True) if name == here]


def without(batches: Iterable[Any], rows: Sequence[int]) -> Iterator[Any]:
    """A shard's batches of examples without some of its rows."""
    import numpy as np
    import pyarrow as pa

    start, gone = 0, np.array(rows, np.int64)
    for batch in batches:
        places = np.arange(start, start + len(batch))
        yield batch.filter(pa.array(~np.isin(places, gone)))
        start += len(batch)


def read_table(path: Any, columns: list[str] | None = None) -> Any:
    import pyarrow.parquet as pq
    from etils import epath

    with epath.Path(path).open("rb") as file:
        return pq.read_table(file, columns=columns, use_threads=False)
