"""A split of all spans as one table, and what a model answers to it."""

from collections.abc import Callable, Iterable
from typing import Any

from components import saved_model
from components.artifacts import Examples, Model
from components.saved_model import VECTOR
from data import schema
from data.errors import DataError

SPAN = "span"  # a column that the examples' place gives them


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
    """What the exported model answers, as a server would, to rows of examples; and vectors of the texts of which the
    task's judge wants them."""
    from models.evaluation import JUDGES
    from models.tasks import TASKS

    task, exported = model.properties["task"], saved_model.load_exported(model.path / "saved_model")
    columns, options = TASKS[task].columns, (saved_model.longest(model.properties), batch_tokens, progress)
    texts = {name: saved_model.as_bytes(rows.column(columns.get(name, name))) for name in exported.inputs}
    answers = exported.answer(texts, *options)
    for name in JUDGES[task].vectors_of(rows.column_names) if VECTOR in exported.signatures else ():
        text = saved_model.as_bytes(rows.column(name))
        answers[f"{name}_{VECTOR}"] = exported.answer({schema.TEXT: text}, *options, signature=VECTOR)[VECTOR]
    return answers


def check_rows(test: Any, examples: list[Examples]) -> None:
    if not len(test):
        rows = {split: sum(part.properties["rows"][split] for part in examples) for split in schema.SPLITS}
        raise DataError(
            f"evaluator: the test split is empty ({', '.join(f'{s} {n}' for s, n in rows.items())} rows); "
            "give example_gen.splits.test a share above 0, or example_gen.input a test file"
        )
