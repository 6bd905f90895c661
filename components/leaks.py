"""Rows that are not trained on, since an earlier test split has them or nearly has: what split_guard found."""

from typing import Any

from components.artifacts import Guard
from data import schema

LEAKS = "leaks.parquet"


def leaked(guard: Guard | None) -> tuple[int, ...]:
    """Keys of the rows that are not to be trained on."""
    return tuple(read_table(guard.path / LEAKS).column("key").to_pylist()) if guard else ()


def without(batch: Any, leaks: tuple[int, ...]) -> Any:
    """A batch of examples without the rows that have these keys."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = batch.column(schema.KEY)
    return batch.filter(pc.invert(pc.is_in(keys, value_set=pa.array(leaks, pa.int64()))))


def read_table(path: Any) -> Any:
    import pyarrow.parquet as pq
    from etils import epath

    with epath.Path(path).open("rb") as file:
        return pq.read_table(file, use_threads=False)
