"""The server around the services: its ports, its bounds, and its end."""

import datetime
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.errors import ServingError
from tests.serving.running import SECONDS, Client, eventually, floats, free_port, predict_request, running
from tests.serving.tiny import broken, gate, line

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    line(folder / "1", 2.0)
    return folder


@pytest.fixture(scope="module")
def gate_base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    gate(folder / "1")
    return folder


def doubled(client, **more):
    return client.predict({"x": floats(2)}, **more)[0]["y"].tolist()


def let_through(client, count=100):
    client.predict({"count": np.int32(count)}, signature="open")


def ask_gate(client, text="1", timeout=SECONDS):
    return client.predict({"text": np.array([text.encode()])}, timeout=timeout)[0]["number"].tolist()


def test_a_unix_socket(base, tmp_path):
    path = tmp_path / "grpc.sock"
    flags = {"model_base_path": str(base), "grpc_socket_path": str(path)}
    with running(**flags) as (_, client), Client(f"unix:{path}") as other:
        assert doubled(other) == doubled(client) == [4]
    assert not path.exists()


def test_a_unix_socket_alone(base, tmp_path):
    path = tmp_path / "grpc.sock"
    with running(model_base_path=str(base), grpc_socket_path=str(path), port=0), Client(f"unix:{path}") as client:
        assert doubled(client) == [4]


def test_channel_arguments_of_both_types(base):
    arguments = "grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb"
    with running(model_base_path=str(base), grpc_channel_arguments=arguments) as (_, client):
        assert doubled(client) == [4]


def test_a_channel_argument_is_used(base):
    small = "grpc.max_receive_message_length=100"
    with running(model_base_path=str(base), grpc_channel_arguments=small) as (_, client):
        assert doubled(client) == [4]
        with pytest.raises(grpc.RpcError) as caught:
            client.predict({"x": np.zeros(1000, np.float32)})
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_what_is_no_channel_argument_is_refused(base):
    with (
        pytest.raises(ServingError, match="'wrong'; wanted name=value"),
        running(model_base_path=str(base), grpc_channel_arguments="wrong"),
    ):
        pass


def test_a_request_has_a_bound(base):
    with running(model_base_path=str(base), max_request_bytes=2000) as (_, client):
        with pytest.raises(grpc.RpcError) as caught:
            client.predict({"x": np.zeros(1000, np.float32)})
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        request = predict_request({"x": floats(1)})
        request.inputs["x"].tensor_shape.dim[0].size = 10**12
        with pytest.raises(grpc.RpcError) as caught:
            client.prediction.Predict(request, SECONDS)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than the limit of 2000 bytes" in caught.value.details()


def test_a_taken_port_is_an_error(base):
    with (
        running(model_base_path=str(base)) as (server, _),
        pytest.raises(ServingError, match=f"cannot listen on 127.0.0.1:{server.options.port}"),
        running(model_base_path=str(base), port=server.options.port),
    ):
        pass


def test_it_listens_on_the_loopback_only(base):
    with running(model_base_path=str(base)) as (server, _):
        listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        addresses = re.findall(rf"(\w+):{server.options.port:04X} \w+:0000 0A", listening)
        assert [address[-8:] for address in addresses] == ["0100007F"]


def test_health(base):
    with running(model_base_path=str(base)) as (server, client):
        stub = health_pb2_grpc.HealthStub(client.channel)
        for name in ("", "tensorflow.serving.PredictionService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name), SECONDS)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with running(model_base_path=str(base), enable_grpc_healthcheck_service=False) as (_, client):
        with pytest.raises(grpc.RpcError) as caught:
            health_pb2_grpc.HealthStub(client.channel).Check(health_pb2.HealthCheckRequest(), SECONDS)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_predict_may_answer_as_bytes(base):
    with running(model_base_path=str(base), enable_serialization_as_tensor_content=True) as (_, client):
        answer = client.prediction.Predict(predict_request({"x": floats(2)}), SECONDS)
        assert answer.outputs["y"].tensor_content == floats(4).tobytes()
        assert not answer.outputs["y"].float_val and doubled(client) == [4]


def test_metrics_count_what_happened(base):
    with running(model_base_path=str(base), enable_batching=True) as (server, client):
        doubled(client)
        with pytest.raises(grpc.RpcError):
            client.predict({}, name="default")
        with pytest.raises(grpc.RpcError):
            client.predict({}, name="from outside")
        page = server.core.metrics.render()
    assert ':tensorflow:serving:request_count{model_name="default",status="OK"} 1.0\n' in page
    assert ':tensorflow:serving:request_count{model_name="default",status="INVALID_ARGUMENT"} 1.0\n' in page
    assert "from outside" not in page and "# TYPE :tensorflow:serving:request_count counter\n" in page
    assert ':request_latency_count{model_name="default",API="Predict",entrypoint="GRPC"} 1.0\n' in page
    assert ':runtime_latency_count{model_name="default",API="Predict",runtime="TF1"} 1.0\n' in page
    assert ":tensorflow:serving:batching_session:wrapped_run_count{} 1.0\n" in page
    assert f':load_attempt_count{{model_path="{base}/1",status="success"}} 1.0\n' in page


def test_the_prometheus_page(base, tmp_path):
    config = tmp_path / "monitoring.txt"
    config.write_text("prometheus_config { enable: true, path: '/monitoring/prometheus/metrics' }")
    port = free_port()
    with running(model_base_path=str(base), rest_api_port=port, monitoring_config_file=str(config)) as (_, client):
        doubled(client)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        connection.request("GET", "/monitoring/prometheus/metrics")
        assert "# TYPE :tensorflow:serving:request_count counter" in connection.getresponse().read().decode()


def test_several_requests_at_once_share_runs(gate_base, tmp_path):
    batching = tmp_path / "batching.txt"
    batching.write_text("num_batch_threads { value: 1 } max_batch_size { value: 8 }")
    flags = {"enable_batching": True, "batching_parameters_file": str(batching)}
    with running(model_base_path=str(gate_base), **flags) as (server, client), ThreadPoolExecutor(9) as threads:
        asked = [threads.submit(ask_gate, client, "0")]
        eventually(lambda: _running(server) == 1)
        asked += [threads.submit(ask_gate, client, str(number)) for number in range(1, 9)]
        eventually(lambda: _queued(server) == 8)
        let_through(client, 2)
        assert [each.result() for each in asked] == [[number] for number in range(9)]


def test_a_full_queue_is_resource_exhausted(gate_base, tmp_path):
    batching = tmp_path / "batching.txt"
    batching.write_text("num_batch_threads { value: 1 } max_batch_size { value: 1 } max_enqueued_batches { value: 1 }")
    flags = {"enable_batching": True, "batching_parameters_file": str(batching)}
    with running(model_base_path=str(gate_base), **flags) as (server, client), ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(ask_gate, client)]
        eventually(lambda: _running(server) == 1)
        asked += [threads.submit(ask_gate, client)]
        eventually(lambda: _queued(server) == 1)
        with pytest.raises(grpc.RpcError) as caught:
            ask_gate(client)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "is full" in caught.value.details()
        let_through(client)
        assert [each.result() for each in asked] == [[1], [1]]


def open_gate(servable):
    """Lets requests through when the server takes none to do it."""
    signature = servable.signatures["open"]
    servable.run({signature.inputs["count"].name: np.int32(9)}, [signature.outputs["put"].name])


def _servable(server):
    return server.core._manager._models["default"][1].servable


def _running(server):
    return _servable(server)._running


def _queued(server):
    return sum(map(len, server.core._batcher._queues.values()))


def test_a_deadline(gate_base):
    with running(model_base_path=str(gate_base), enable_batching=True) as (server, client):
        with pytest.raises(grpc.RpcError) as caught:
            ask_gate(client, timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        let_through(client)
        assert ask_gate(client) == [1]


def test_a_version_in_use_is_unloaded_when_it_is_free(gate_base):
    with running(model_base_path=str(gate_base)) as (server, client), ThreadPoolExecutor(2) as threads:
        asked = threads.submit(ask_gate, client)
        eventually(lambda: _running(server) == 1)
        manager = server.core._manager
        manager.aspire("default", {})
        assert client.states()[1][0].name == "UNLOADING"
        with pytest.raises(grpc.RpcError) as caught:
            ask_gate(client)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        open_gate(_servable(server))
        assert asked.result() == [1]
        eventually(lambda: client.states()[1][0].name == "END")


@pytest.mark.parametrize("batching", [False, True])
def test_stopping_answers_what_is_under_way(gate_base, batching):
    with (
        running(model_base_path=str(gate_base), enable_batching=batching) as (server, client),
        ThreadPoolExecutor(2) as threads,
    ):
        asked = threads.submit(ask_gate, client)
        eventually(lambda: _running(server) == 1)
        servable = _servable(server)
        stopping = threads.submit(server.stop)

        def refused():
            with pytest.raises(grpc.RpcError) as caught:
                ask_gate(client, timeout=0.2)
            return caught.value.code() is grpc.StatusCode.UNAVAILABLE

        eventually(refused)
        assert not stopping.done() and not asked.done()
        open_gate(servable)
        assert asked.result() == [1]
        stopping.result()


def test_a_server_that_cannot_serve_does_not_start(tmp_path):
    broken(tmp_path / "1")
    with (
        pytest.raises(ServingError, match=r"1 model\(s\) did not become available") as caught,
        running(model_base_path=str(tmp_path)),
    ):
        pass
    assert caught.value.code.name == "UNKNOWN"


def test_a_base_path_without_versions_is_said_or_waited_for(base, tmp_path):
    with (
        pytest.raises(ServingError, match="Unable to find a numerical version path for servable default"),
        running(model_base_path=str(tmp_path)),
    ):
        pass
    threading.Timer(0.3, lambda: (tmp_path / "1").symlink_to(base / "1")).start()
    with running(model_base_path=str(tmp_path), file_system_poll_wait_seconds=0.05) as (_, client):
        assert doubled(client) == [4]


def pem(key):
    kind = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


def certificate():
    """Key and self-signed certificate of localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    return pem(key), builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_tls(base, tmp_path):
    key, cert = certificate()
    config = tmp_path / "ssl.txt"
    config.write_text(f"server_key: {json.dumps(key)} server_cert: {json.dumps(cert)}")
    port = free_port()
    with running(model_base_path=str(base), ssl_config_file=str(config), port=port) as (_, plain):
        with Client(f"localhost:{port}", grpc.ssl_channel_credentials(cert.encode())) as client:
            assert doubled(client) == [4]
        with pytest.raises(grpc.RpcError):
            doubled(plain, timeout=1)


def test_tls_that_asks_for_a_certificate(base, tmp_path):
    key, cert = certificate()
    config = tmp_path / "ssl.txt"
    fields = {"server_key": key, "server_cert": cert, "custom_ca": cert, "client_verify": True}
    config.write_text("\n".join(f"{name}: {json.dumps(value)}" for name, value in fields.items()))
    port, root = free_port(), cert.encode()
    with running(model_base_path=str(base), ssl_config_file=str(config), port=port):
        with Client(f"localhost:{port}", grpc.ssl_channel_credentials(root, key.encode(), root)) as client:
            assert doubled(client) == [4]
        with Client(f"localhost:{port}", grpc.ssl_channel_credentials(root)) as client, pytest.raises(grpc.RpcError):
            doubled(client, timeout=1)


def start(*flags, **more):
    environment = {**os.environ, "GRPC_VERBOSITY": "ERROR"}
    command = [sys.executable, "-m", "serving", *flags]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, **more)


def test_sigterm_drains(gate_base, tmp_path):
    """The process itself: it answers what is under way, takes no more, and ends with 0."""
    port, batching = free_port(), tmp_path / "batching.config"
    one_by_one = {"max_batch_size": 1, "num_batch_threads": 1, "max_enqueued_batches": 300}
    batching.write_text("".join(f"{name} {{ value: {value} }}\n" for name, value in one_by_one.items()))
    flags = "--model_name=gate", "--enable_batching", f"--batching_parameters_file={batching}", "--grpc_max_threads=210"
    process = start(f"--port={port}", f"--model_base_path={gate_base}", *flags)
    try:
        assert any(f"Running gRPC ModelServer at 127.0.0.1:{port} ..." in text for text in process.stderr)
        with Client(f"127.0.0.1:{port}") as client:
            asking, opening = predict_request({"text": np.array([b"5"])}, "gate"), {"count": np.int32(300)}
            asked = [client.prediction.Predict.future(asking, SECONDS) for _ in range(200)]
            with pytest.raises(grpc.RpcError):  # it waits for its turn, and is not lost
                client.predict({"text": np.array([b"5"])}, "gate", timeout=0.3)
            assert not any(each.done() for each in asked)
            client.prediction.Predict(predict_request(opening, "gate", "open"), SECONDS)
            process.send_signal(signal.SIGTERM)  # most of them still wait for those before them
            assert [each.result().outputs["number"].float_val[:] for each in asked] == [[5.0]] * 200
        assert process.wait(SECONDS) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()


def test_a_bad_config_file_is_one_line(tmp_path):
    config = tmp_path / "models.config"
    config.write_text("this is no config")
    process = start(f"--port={free_port()}", f"--model_config_file={config}")
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and "Traceback" not in said
    assert f"Failed to start server. Error: INVALID_ARGUMENT: Invalid protobuf file: '{config}'" in said
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in said
