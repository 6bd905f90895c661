"""What every format must do: `check_format` for its samples, `read_all` and `check_counts` for any file."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from data.errors import DataError
from data.formats import FORMATS, format_for
from data.formats.base import BATCH_ROWS, BLOCK_BYTES, Batch, Format

SAMPLES = Path(__file__).parents[2] / "data" / "formats" / "samples"


class Read(NamedTuple):
    """rows: [line, value of each column]. rejects: [line, reason, raw text]. blocks: how many there were."""

    rows: list[list[Any]]
    rejects: list[list[Any]]
    blocks: int


def read_all(reader: Format, path: Path | str, columns: tuple[str, ...], block_bytes: int = BLOCK_BYTES) -> Read:
    """Everything in a file, with what is true of every batch of every format checked on the way."""
    blocks = reader.plan(str(path), block_bytes=block_bytes)
    rows, rejects = [], []
    for block in blocks:
        numbers = []
        for batch in reader.read(block, columns):
            check_batch(batch, columns)
            values = zip(*(column.to_pylist() for column in batch.table.columns), strict=True)
            rows += [[line, *row] for line, row in zip(batch.lines.tolist(), values, strict=True)]
            rejects += [[reject.line, reject.reason, reject.raw] for reject in batch.rejects]
            numbers += sorted([*batch.lines.tolist(), *(reject.line for reject in batch.rejects)])
        assert block.files or numbers == sorted(set(numbers)), "a line was read twice, or out of order"
    return Read(rows, rejects, len(blocks))


def check_batch(batch: Batch, columns: tuple[str, ...]) -> None:
    assert batch.table.schema.names == list(columns)
    assert {field.type for field in batch.table.schema} <= {pa.string(), pa.list_(pa.string())}
    batch.table.validate(full=True)
    assert len(batch.table) == len(batch.lines) == len(batch.paths) <= BATCH_ROWS
    assert batch.lines.dtype == "int64"
    assert all(reject.path and reject.reason and len(reject.raw) <= 2000 for reject in batch.rejects)
    json.dumps(batch.rejects, ensure_ascii=False).encode()  # raw text can be written whatever bytes it came from


def check_format(name: str) -> None:
    """The samples read to the golden rows and rejects, however small the blocks; broken lines stop nothing."""
    golden = json.loads((SAMPLES / name / "golden.json").read_text())
    columns = tuple(golden["columns"])
    assert {p.name for p in (SAMPLES / name).iterdir()} == {"golden.json", *golden["files"]}
    for file, wanted in golden["files"].items():
        path = SAMPLES / name / file
        reader = format_for(str(path), **wanted.get("options", {}))
        assert type(reader) is FORMATS[name]
        for block_bytes in (1, 50, BLOCK_BYTES):
            found = read_all(reader, path, columns, block_bytes)
            assert found.rows == wanted["rows"], f"{file} in blocks of {block_bytes} bytes"
            starts = [start for _, start in wanted["rejects"]] + [""] * len(found.rejects)
            rejects = [
                [line, reason[: len(start)]] for (line, reason, _), start in zip(found.rejects, starts, strict=False)
            ]
            assert rejects == wanted["rejects"], f"{file} in blocks of {block_bytes} bytes"
        if file.startswith("sample"):
            _check_columns(reader, str(path), columns)
    broken = [wanted for file, wanted in golden["files"].items() if file.startswith("broken")]
    assert any(wanted["rows"] and wanted["rejects"] for wanted in broken), "wanted bad rows among good ones"


def _check_columns(reader: Format, path: str, columns: tuple[str, ...]) -> None:
    """The columns are offered, and one that is not is an error that names them."""
    offered = reader.columns(path)
    assert all(any(c == o or c.startswith(f"{o}.") for o in offered) for c in columns)
    missing = f"{columns[0]}x"
    with pytest.raises(DataError, match=f"no column '{missing}'; did you mean '{columns[0]}'"):
        list(reader.read(reader.plan(path)[0], (missing,)))
