"""Tests `data/formats/bigquery.py` with the real client library against a server in this process."""

import sys
from concurrent import futures
from types import SimpleNamespace

import pyarrow as pa
import pytest

from data.errors import ConfigError, DataError
from data.formats import bigquery, format_for
from tests.contracts.format import read_all

TABLE = "bigquery:project.dataset.reviews"
ROWS = pa.table(
    {"text": ["uno", "dos", "tres"], "label": [1, None, 3], "tags": [["a"], [], None], "at": [{"x": 1}] * 3}
)


@pytest.fixture
def requests(monkeypatch):
    """Serves ROWS in two read streams, of two rows and of one; holds the requests that came."""
    pytest.importorskip("google.cloud.bigquery_storage", reason="needs polisemia[gcp]")
    import grpc
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

    seen, streams = [], {"streams/0": ROWS.slice(0, 2), "streams/1": ROWS.slice(2)}
    schema = types.ArrowSchema(serialized_schema=ROWS.schema.serialize().to_pybytes())

    def create_read_session(request, context):
        seen.append(request)
        if "missing" in request.read_session.table:
            context.abort(grpc.StatusCode.NOT_FOUND, "Not found: Table missing")
        return types.ReadSession(arrow_schema=schema, streams=[types.ReadStream(name=name) for name in streams])

    def read_rows(request, context):
        for at, batch in enumerate(streams[request.read_stream].to_batches(max_chunksize=1)):
            data = types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes())
            first = {} if at else {"arrow_schema": schema}
            yield types.ReadRowsResponse(arrow_record_batch=data, row_count=len(batch), **first)

    def codec(request, response):
        return {"request_deserializer": request.deserialize, "response_serializer": response.serialize}

    session = codec(types.CreateReadSessionRequest, types.ReadSession)
    rows = codec(types.ReadRowsRequest, types.ReadRowsResponse)
    handlers = {
        "CreateReadSession": grpc.unary_unary_rpc_method_handler(create_read_session, **session),
        "ReadRows": grpc.unary_stream_rpc_method_handler(read_rows, **rows),
    }
    server = grpc.server(futures.ThreadPoolExecutor(2))
    service = "google.cloud.bigquery.storage.v1.BigQueryRead"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    channel = grpc.insecure_channel(f"localhost:{server.add_insecure_port('localhost:0')}")
    server.start()
    client = BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
    monkeypatch.setattr(bigquery, "read_client", lambda path: client)
    yield seen
    channel.close()
    server.stop(None)


def test_each_read_stream_is_a_block_of_texts(requests):
    reader = format_for(TABLE)
    found = read_all(reader, TABLE, ("label", "text", "tags"))
    assert sorted(found.rows) == [[1, "1", "uno", ["a"]], [1, "3", "tres", None], [2, None, "dos", []]]
    assert (found.blocks, found.rejects) == (2, [])
    assert [request.read_session.table for request in requests] == ["projects/project/datasets/dataset/tables/reviews"]
    assert requests[0].parent == "projects/project"
    assert reader.columns(TABLE) == ("text", "label", "tags", "at")


def test_blocks_are_named_the_same_in_every_session(requests):
    assert [(block.path, block.start) for block in format_for(TABLE).plan(TABLE)] == [(TABLE, 0), (TABLE, 1)]


def test_a_query_is_run_and_its_answer_read(requests, monkeypatch):
    asked = []

    def query(sql):
        asked.append(sql)
        answer = SimpleNamespace(project="project", dataset_id="_anonymous", table_id="answer")
        return SimpleNamespace(result=lambda: None, destination=answer, project="payer")

    monkeypatch.setattr(bigquery, "query_client", lambda path, project: SimpleNamespace(query=query))
    path = "bigquery:SELECT text FROM `project.dataset.reviews`"
    assert len(read_all(format_for(path), path, ("text",)).rows) == 3
    assert asked == ["SELECT text FROM `project.dataset.reviews`"]
    assert requests[0].read_session.table == "projects/project/datasets/_anonymous/tables/answer"
    assert requests[0].parent == "projects/payer"


def test_what_cannot_be_read_is_one_clear_error(requests):
    reader = format_for(TABLE)
    block = reader.plan(TABLE)[0]
    with pytest.raises(DataError, match="no column 'txt'; did you mean 'text'"):
        list(reader.read(block, ("txt",)))
    with pytest.raises(DataError, match="column 'at' is struct<x: int64>; wanted texts"):
        list(reader.read(block, ("at",)))
    with pytest.raises(DataError, match="BigQuery says: Not found: Table missing"):
        reader.plan("bigquery:project.dataset.missing")
    with pytest.raises(ConfigError, match="wanted bigquery:project.dataset.table"):
        reader.plan("bigquery:dataset.table")


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.bigquery_storage", None)
    with pytest.raises(ConfigError, match=r"pip install polisemia\[gcp\]"):
        format_for(TABLE).plan(TABLE)
