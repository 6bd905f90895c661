"""Tables and queries of BigQuery, through its Storage Read API: a read stream is a block, Arrow comes in."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from data.errors import ConfigError, DataError
from data.formats.base import BATCH_ROWS, Batch, Block, Format
from data.formats.rows import check_columns, from_arrow, text_type


class BigQuery(Format):
    """A BigQuery table (`bigquery:project.dataset.table`) or the answer to a query (`bigquery:SELECT ...`).

    A table is read whole, and reading is billed by the byte: name the columns in a query to read
    only these. The order of the rows is not the same in every run. Needs `pip install polisemia[gcp]`.
    """

    scheme = "bigquery"
    project: str = Field("", description="the project that is billed; that of the credentials if empty")

    def plan_file(self, path: str, block_bytes: int) -> list[Block]:
        session = self._session(path)
        names = tuple(_schema(session).names)
        return [
            Block(path, at, at + 1, columns=names, files=(stream.name,)) for at, stream in enumerate(session.streams)
        ]

    def columns(self, path: str) -> tuple[str, ...]:
        return tuple(_schema(self._session(path)).names)

    def read(self, block: Block, columns: tuple[str, ...]) -> Iterator[Batch]:
        check_columns(block.path, columns, block.columns)
        line, schema = block.line, None
        for message in read_client(block.path).read_rows(block.files[0]):
            schema = schema or _schema(message)  # only the first message is sure to hold it
            data = pa.py_buffer(message.arrow_record_batch.serialized_record_batch)
            whole = pa.ipc.read_record_batch(data, schema)
            for at in range(0, len(whole), BATCH_ROWS):
                batch = whole.slice(at, BATCH_ROWS)
                arrays = [_text_column(block.path, batch, name) for name in columns]
                lines = np.arange(line, line + len(batch), dtype=np.int64)
                yield from_arrow(block.path, columns, arrays, lines)
                line += len(batch)

    def _session(self, path: str) -> Any:
        """A read session of the table, or of the temporary table that holds a query's answer."""
        reader = read_client(path)
        from google.api_core.exceptions import GoogleAPICallError
        from google.cloud.bigquery_storage_v1.types import DataFormat, ReadSession

        source = path.removeprefix("bigquery:")
        try:
            if " " in source.strip():
                job = query_client(path, self.project).query(source)
                job.result()
                table, project = job.destination, job.project
                parts = [table.project, table.dataset_id, table.table_id]
            else:
                parts = source.split(".")
                project = self.project or parts[0]
            if len(parts) != 3:
                raise ConfigError(f"{path}: wanted bigquery:project.dataset.table, or a query")
            name = "projects/{}/datasets/{}/tables/{}".format(*parts)
            session = ReadSession(table=name, data_format=DataFormat.ARROW)
            return reader.create_read_session(parent=f"projects/{project}", read_session=session)
        except GoogleAPICallError as error:
            raise DataError(f"{path}: BigQuery says: {error.message}") from error


def read_client(path: str) -> Any:
    """The client of the Storage Read API, with the user's default credentials."""
    try:
        from google.cloud.bigquery_storage import BigQueryReadClient
    except ImportError as error:
        raise _not_installed(path) from error
    return _with_credentials(path, BigQueryReadClient)


def query_client(path: str, project: str) -> Any:
    """The client that runs queries."""
    try:
        from google.cloud.bigquery import Client
    except ImportError as error:
        raise _not_installed(path) from error
    return _with_credentials(path, lambda: Client(project=project or None))


def _not_installed(path: str) -> ConfigError:
    return ConfigError(f"{path}: the BigQuery client is not installed; pip install polisemia[gcp]")


def _with_credentials(path: str, make: Any) -> Any:
    from google.auth.exceptions import GoogleAuthError

    try:
        return make()
    except GoogleAuthError as error:
        raise DataError(f"{path}: no credentials for BigQuery; gcloud auth application-default login") from error


def _schema(message: Any) -> pa.Schema:
    """Of a read session, or of the first message of a stream."""
    return pa.ipc.read_schema(pa.py_buffer(message.arrow_schema.serialized_schema))


def _text_column(path: str, batch: pa.RecordBatch, name: str) -> pa.Array:
    column = batch.column(name)
    if text_type(column.type) is None:
        raise DataError(f"{path}: column {name!r} is {column.type}; wanted texts, numbers, or lists of them")
    return column
