"""Versions come and go: loaded before the old ones leave, never half, and a failure leaves what is served alone."""

import shutil
import threading

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2, prediction_log_pb2

from serving.spec import State
from tests.serving.running import SECONDS, eventually, floats, predict_request, running
from tests.serving.tiny import broken, line

POLL = {"file_system_poll_wait_seconds": 0.05}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of versions by slope, to copy from."""
    folder = tmp_path_factory.mktemp("lines")
    return {slope: line(folder / str(slope), float(slope)) for slope in (1, 2, 3)}


@pytest.fixture
def base(tmp_path, models):
    """A model `default` whose version 1 gives x back."""
    put(models, 1, tmp_path / "model" / "1")
    return tmp_path / "model"


def put(models, slope, version):
    """As a careful copy does: the folder appears whole."""
    staging = version.parent / f".{version.name}"
    shutil.copytree(models[slope], staging)
    staging.rename(version)


def slope_of(client, name="default", version=None):
    outputs, number = client.predict({"x": floats(1)}, name, version=version)
    return int(outputs["y"][0]), number


def config_of(*models):
    """A model_config_list of (name, base path, more fields as text)."""
    entries = [
        f"config {{ name: '{name}' base_path: '{path}' model_platform: 'tensorflow' {more} }}"
        for name, path, more in models
    ]
    return f"model_config_list {{ {' '.join(entries)} }}"


def reload(client, text):
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, request.config)
    return client.models.HandleReloadConfigRequest(request, SECONDS)


def status_of(call, *arguments):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments)
    return caught.value.code().name, caught.value.details()


class Load:
    """Clients that ask without a pause, and what they were answered."""

    def __init__(self, client, threads=4):
        self.client, self.answers, self.failures = client, set(), []
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(threads)]

    def ask(self):
        while not self.stopped.is_set():
            try:
                self.answers.add(slope_of(self.client))
            except grpc.RpcError as error:
                self.failures.append((error.code(), error.details()))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("batching", [False, True])
def test_versions_swap_under_load_without_one_failed_request(base, models, batching):
    with running(model_base_path=str(base), enable_batching=batching, **POLL) as (_, client), Load(client) as load:
        for version in (2, 3):
            put(models, version, base / str(version))
            eventually(lambda version=version: (version, version) in load.answers)
        eventually(lambda: client.states()[1][0] is State.END and client.states()[2][0] is State.END)
    assert not load.failures
    assert load.answers == {(1, 1), (2, 2), (3, 3)}


def test_a_version_that_fails_to_load_leaves_the_old_one_and_says_so(base):
    with running(model_base_path=str(base), max_num_load_retries=1, load_retry_interval_micros=1, **POLL) as (
        _,
        client,
    ):
        broken(base / "2")
        state, message = eventually(lambda: (s := client.states().get(2)) and s[0] is State.END and s)
        assert "2/saved_model.pb" in message
        assert client.states()[1] == (State.AVAILABLE, "") and slope_of(client) == (1, 1)


def test_a_version_that_failed_is_tried_again(base, models):
    with running(model_base_path=str(base), max_num_load_retries=50, load_retry_interval_micros=50_000, **POLL) as (
        _,
        client,
    ):
        broken(base / "2")
        state, message = eventually(lambda: (s := client.states().get(2)) and s[1] and s)
        assert state is State.LOADING and slope_of(client) == (1, 1)
        shutil.copytree(models[2], base / "2", dirs_exist_ok=True)
        eventually(lambda: slope_of(client) == (2, 2))
        assert client.states()[2] == (State.AVAILABLE, "")


def test_a_version_that_failed_and_is_replaced_is_loaded(base, models):
    with running(model_base_path=str(base), max_num_load_retries=0, **POLL) as (_, client):
        broken(base / "2")
        eventually(lambda: client.states().get(2, (None,))[0] is State.END)
        shutil.rmtree(base / "2")
        put(models, 3, base / "3")
        eventually(lambda: slope_of(client) == (3, 3))
        put(models, 2, base / "4")
        eventually(lambda: slope_of(client) == (2, 4))


def test_a_folder_that_is_being_copied_is_no_version(base, models):
    (base / "2").mkdir()
    (base / "model.txt").write_text("no version either")
    with running(model_base_path=str(base), **POLL) as (_, client):
        assert slope_of(client) == (1, 1) and set(client.states()) == {1}
        put(models, 3, base / "3")
        eventually(lambda: slope_of(client) == (3, 3))
        assert 2 not in client.states()


def test_a_version_number_may_have_zeros_before_it(tmp_path, models):
    put(models, 2, tmp_path / "00000123")
    with running(model_base_path=str(tmp_path)) as (_, client):
        assert slope_of(client) == (2, 123) and slope_of(client, version=123) == (2, 123)


def test_going_back_to_an_older_version(base, models):
    put(models, 2, base / "2")
    with running(model_base_path=str(base), **POLL) as (_, client), Load(client, 2) as load:
        assert slope_of(client) == (2, 2)
        shutil.rmtree(base / "2")
        eventually(lambda: slope_of(client) == (1, 1))
    assert not load.failures


def test_deleting_all_versions_unloads_the_model(base):
    with running(model_base_path=str(base), **POLL) as (_, client):
        shutil.rmtree(base / "1")
        eventually(lambda: client.states()[1][0] is State.END)
        assert status_of(slope_of, client) == ("NOT_FOUND", "Servable not found for request: Latest(default)")


def test_a_base_path_that_is_out_of_reach_changes_nothing(base):
    with running(model_base_path=str(base), **POLL) as (server, client):
        base.rename(base.with_name("elsewhere"))
        server.core._look()
        assert slope_of(client) == (1, 1)


@pytest.mark.parametrize(
    "policy, served",
    [("latest { num_versions: 2 }", {2, 3}), ("all {}", {1, 2, 3}), ("specific { versions: 1 versions: 3 }", {1, 3})],
)
def test_version_policies(base, models, tmp_path, policy, served):
    for version in (2, 3):
        put(models, version, base / str(version))
    config = tmp_path / "models.config"
    config.write_text(config_of(("default", base, f"model_version_policy {{ {policy} }}")))
    with running(model_config_file=str(config)) as (_, client):
        assert {version for version, (state, _) in client.states().items() if state is State.AVAILABLE} == served
        assert slope_of(client) == (max(served), max(served))
        for version in served:
            assert slope_of(client, version=version) == (version, version)
        for version in {1, 2, 3} - served:
            wanted = f"Servable not found for request: Specific(default, {version})"
            assert status_of(slope_of, client, "default", version) == ("NOT_FOUND", wanted)


def test_labels_follow_the_config(base, models, tmp_path):
    put(models, 2, base / "2")
    (tmp_path / "models.config").write_text(config_of(("default", base, "model_version_policy { all {} }")))

    def labelled(label):
        request = predict_request({"x": floats(1)})
        request.model_spec.version_label = label
        return client.prediction.Predict(request, SECONDS).model_spec.version.value

    def config(labels):
        return config_of(("default", base, f"model_version_policy {{ all {{}} }} {labels}"))

    with running(model_config_file=str(tmp_path / "models.config")) as (_, client):
        wanted = ("INVALID_ARGUMENT", "Unrecognized servable version label: stable")
        assert status_of(labelled, "stable") == wanted
        reload(client, config("version_labels { key: 'stable' value: 1 } version_labels { key: 'canary' value: 2 }"))
        assert (labelled("stable"), labelled("canary")) == (1, 2)
        reload(client, config("version_labels { key: 'stable' value: 2 }"))
        assert labelled("stable") == 2 and status_of(labelled, "canary")[0] == "INVALID_ARGUMENT"
        code, text = status_of(reload, client, config("version_labels { key: 'stable' value: 9 }"))
        assert code == "FAILED_PRECONDITION" and "version 9 of model default, which is not currently available" in text
        assert labelled("stable") == 2


def test_a_label_at_the_start_needs_the_flag(base, tmp_path):
    path = tmp_path / "models.config"
    path.write_text(config_of(("default", base, "version_labels { key: 'stable' value: 1 }")))
    with pytest.raises(Exception, match="not currently available for inference"), running(model_config_file=str(path)):
        pass
    with running(model_config_file=str(path), allow_version_labels_for_unavailable_models=True) as (_, client):
        request = predict_request({"x": floats(1)})
        request.model_spec.version_label = "stable"
        assert client.prediction.Predict(request, SECONDS).model_spec.version.value == 1


def test_reloading_a_config_adds_and_removes_models(base, models, tmp_path):
    put(models, 3, tmp_path / "other" / "7")
    with running(model_base_path=str(base)) as (_, client):
        answer = reload(client, config_of(("other", tmp_path / "other", "")))
        assert answer.status.error_code == 0 and slope_of(client, "other") == (3, 7)
        eventually(lambda: client.states()[1][0] is State.END)
        assert status_of(slope_of, client)[0] == "NOT_FOUND"


@pytest.mark.parametrize(
    "config, code, part",
    [
        ("", "INVALID_ARGUMENT", "Only ModelConfigList is currently supported"),
        ([("a", "/a", ""), ("a", "/b", "")], "INVALID_ARGUMENT", "Illegal to list model a multiple times"),
        ([("a", "a/b", "")], "INVALID_ARGUMENT", "Expected model a to have an absolute path or URI"),
        ([("a", "/no/such", "")], "NOT_FOUND", "Unable to find a numerical version path for servable a"),
        ([("a", "BROKEN", "")], "UNKNOWN", "1 model(s) did not become available: {{{name: a version: 1} due to error"),
        ([("a", "/a", "model_type: TENSORFLOW")], "INVALID_ARGUMENT", "Illegal setting both"),
        ("model_config_list { config { name: 'a' base_path: '/a' } }", "INVALID_ARGUMENT", "Illegal setting neither"),
        (
            "model_config_list { config { name: 'a' base_path: '/a' model_platform: 'caffe' } }",
            "INVALID_ARGUMENT",
            "requests unsupported platform caffe",
        ),
    ],
)
def test_a_config_that_cannot_be_served_is_refused(base, tmp_path, config, code, part):
    text = config if isinstance(config, str) else config_of(("default", base, ""), *config)
    if "BROKEN" in text:
        broken(tmp_path / "broken" / "1")
        text = text.replace("BROKEN", str(tmp_path / "broken"))
    with running(model_base_path=str(base)) as (_, client):
        found, message = status_of(reload, client, text)
        assert found == code and part in message
        assert slope_of(client) == (1, 1)


def test_the_config_file_is_read_again(base, models, tmp_path):
    put(models, 2, tmp_path / "two" / "1")
    path = tmp_path / "models.config"
    path.write_text(config_of(("default", base, "")))
    with running(model_config_file=str(path), model_config_file_poll_wait_seconds=0.05) as (server, client):
        path.write_text("model_config_list {")
        threading.Event().wait(0.3)
        assert slope_of(client) == (1, 1)
        path.write_text(config_of(("two", tmp_path / "two", "")))
        eventually(lambda: client.states()[1][0] is State.END)
        eventually(lambda: server.core._manager.states("two").get(1))
        server.core._manager.wait(["two"])
        assert slope_of(client, "two") == (2, 1)


def test_with_a_poll_of_0_nothing_is_read_again(base, models, tmp_path):
    path = tmp_path / "models.config"
    path.write_text(config_of(("default", base, "")))
    with running(model_config_file=str(path)) as (_, client):
        path.write_text(config_of(("two", base, "")))
        put(models, 2, base / "2")
        threading.Event().wait(0.3)
        assert slope_of(client) == (1, 1) and set(client.states()) == {1}


def record(path, *requests):
    """The file that warms a version up."""
    (path / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(path / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())


def test_a_version_is_warmed_before_it_serves(base):
    record(base / "1", predict_request({"x": floats(1, 2)}), predict_request({"x": floats(3)}))
    with running(model_base_path=str(base), num_request_iterations_for_warmup=3) as (server, client):
        page = server.core.metrics.render()
        assert f':tensorflow:serving:model_warmup_latency_count{{model_path="{base}/1",status="OK"}} 1.0' in page
        assert slope_of(client) == (1, 1)


@pytest.mark.parametrize(
    "wrong, part",
    [
        (lambda path: record(path, predict_request({"z": floats(1)})), "input tensor alias not found in signature: z"),
        (lambda path: record(path, *[predict_request({"x": floats(1)})] * 1001), "exceeds the maximum (1000)"),
        (
            lambda path: (record(path), (path / "assets.extra/tf_serving_warmup_requests").write_text("text" * 9)),
            "TFRecord",
        ),
    ],
)
def test_a_version_that_fails_its_warm_up_is_not_served(base, models, wrong, part):
    with running(model_base_path=str(base), max_num_load_retries=0, **POLL) as (_, client):
        shutil.copytree(models[2], base / ".2")
        wrong(base / ".2")
        (base / ".2").rename(base / "2")
        _, message = eventually(lambda: (s := client.states().get(2)) and s[0] is State.END and s)
        assert part in message and slope_of(client) == (1, 1)


def test_warm_up_may_be_switched_off(base):
    record(base / "1", predict_request({"z": floats(1)}))
    with running(model_base_path=str(base), enable_model_warmup=False) as (_, client):
        assert slope_of(client) == (1, 1)
