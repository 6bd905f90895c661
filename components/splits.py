"""A split of all spans as one table, and the groups of its rows that are measured apart."""

from collections.abc import Callable, Iterable
from typing import Any

from components import saved_model
from components.artifacts import Examples, Model
from data import schema
from data.errors import DataError

LENGTH, SPAN = "length", "span"  # slices that are no columns
MAX_VALUES = 50  # of a slice; rarer ones are measured together
OTHERS = "(others)"


def read_split(examples: list[Examples], split: str, columns: Iterable[str]) -> Any:
    """Those of the columns that there are, of a split of all spans, as one table, rows in the order of the shards."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from etils import epath

    tables = []
    for part in examples:
        present = [n for n in dict.fromkeys(columns) if n in (schema.KEY, *part.properties["columns"]) and n != SPAN]
        for shard in part.shards(split):
            with epath.Path(shard).open("rb") as file:
                table = pq.ParquetFile(file).read(present)
            if SPAN in columns:
                table = table.append_column(SPAN, pa.array([part.properties["span"]] * len(table), pa.string()))
            tables.append(table)
    return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({n: [] for n in columns})


def answers_to(
    rows: Any, model: Model, progress: Callable[[int, int], None], batch_tokens: int = saved_model.BATCH_TOKENS
) -> dict[str, Any]:
    """What the exported model answers, as a server would, to rows of examples."""
    from models.tasks import TASKS

    columns, exported = TASKS[model.properties["task"]].columns, saved_model.load_exported(model.path / "saved_model")
    texts = {name: saved_model.as_bytes(rows.column(columns.get(name, name))) for name in exported.inputs}
    return exported.answer(texts, saved_model.longest(model.properties), batch_tokens, progress)


def check_rows(test: Any, examples: list[Examples]) -> None:
    if not len(test):
        rows = {split: sum(part.properties["rows"][split] for part in examples) for split in schema.SPLITS}
        raise DataError(
            f"evaluator: the test split is empty ({', '.join(f'{s} {n}' for s, n in rows.items())} rows); "
            "give example_gen.splits.test a share above 0, or example_gen.input a test file"
        )


def groups_of(name: str, judged: Any, test: Any) -> list[tuple[str, Any]]:
    """(value, row indexes) of a slice: the task's own, or of a column."""
    return judged.groups(name) or _groups(name, test, judged.texts)


def _groups(name: str, test: Any, texts: tuple[str, ...]) -> list[tuple[str, Any]]:
    """(value, row indexes) of a slice, the largest first; beyond MAX_VALUES the rest together."""
    import numpy as np

    if name == LENGTH:
        return _thirds([test.column(text) for text in texts if text in test.column_names])
    values = np.array(["(none)" if v is None else str(v) for v in test.column(name).to_pylist()], object)
    found, which, counts = np.unique(values.astype(str), return_inverse=True, return_counts=True)
    ranked = np.argsort(-counts, kind="stable")
    groups = [(str(found[i]), np.flatnonzero(which == i)) for i in ranked[:MAX_VALUES]]
    rest = np.flatnonzero(np.isin(which, ranked[MAX_VALUES:]))
    return groups + ([(OTHERS, rest)] if len(rest) else [])


def _thirds(columns: list[Any]) -> list[tuple[str, Any]]:
    """Short, middle and long texts, cut so that each has a third of the rows."""
    import numpy as np
    import pyarrow.compute as pc

    sizes = sum(pc.fill_null(pc.utf8_length(column), 0).to_numpy() for column in columns)
    which = np.searchsorted(np.quantile(sizes, [1 / 3, 2 / 3]), sizes)
    groups = [(name, np.flatnonzero(which == i)) for i, name in enumerate(("short", "middle", "long"))]
    return [(f"{name} ({sizes[g].min()}-{sizes[g].max()} characters)", g) for name, g in groups if len(g)]
