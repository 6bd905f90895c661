"""Tests `components/beam.py` on the real local runner, and `components/beam_options.py` on Beam's own parser."""

import gc
import time

import pytest
from etils import epath

from components.base import Runtime
from components.beam import _run, over_blocks
from components.beam_options import make_pipeline, pipeline_options
from data.errors import ConfigError, DataError, StageError


def square(block, offset):
    return [(block, block * block + offset)]


def refuse_odd(block):
    if block % 2:
        raise DataError(f"block {block}: odd")
    return [block]


def divide(block):
    return [1 // block]


def wait(block, seconds):
    time.sleep(seconds)
    return [block]


def join(found):
    return sorted(pair for one in found for pair in one)


def run(tmp_path, blocks, work=square, args=(0,), progress=lambda done, total: None, **beam):
    return over_blocks(
        Runtime(beam=beam, progress=progress), "test", blocks, work, args, join, epath.Path(tmp_path / "scratch")
    )


def set_apart(block):
    return [gc.get_freeze_count()]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_block_is_merged_once_whatever_the_workers(tmp_path, workers):
    assert run(tmp_path, range(40), args=(7,), direct_num_workers=workers) == [(n, n * n + 7) for n in range(40)]
    assert not list((tmp_path / "scratch").iterdir()), "the summary goes once it is read"


def test_no_blocks_give_the_merge_of_nothing(tmp_path):
    assert run(tmp_path, []) == []


def test_the_data_errors_of_all_blocks_come_in_one_message(tmp_path):
    with pytest.raises(DataError) as caught:
        run(tmp_path, [0, 5, 2, 3, 5, 1], refuse_odd, ())
    assert str(caught.value) == "block 1: odd\nblock 3: odd\nblock 5: odd"


def test_what_a_worker_cannot_do_is_one_line_with_its_place(tmp_path, capfd):
    with pytest.raises(StageError) as caught:
        run(tmp_path, [1, 0], divide, ())
    message = str(caught.value)
    assert message.startswith("test: ZeroDivisionError: integer division or modulo by zero (")
    assert "test_beam.py:" in message and "\n" not in message
    assert not capfd.readouterr().err
    assert "in divide" in caught.value.__cause__.__notes__[0], "the traceback is kept for those who debug"


def test_the_garbage_collector_leaves_alone_what_was_there_before_the_pass(tmp_path):
    (during,) = run(tmp_path, [1], set_apart, (), direct_num_workers=1)
    assert during > 10_000 and gc.get_freeze_count() == 0
    with pytest.raises(StageError):
        run(tmp_path, [0, 1, 1, 1], divide, ())
    assert gc.get_freeze_count() == 0


def test_a_few_blocks_need_no_runner_and_say_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("components.beam.make_pipeline", None)
    few = run(tmp_path, [1, 2, 2]), errors_of(tmp_path, [1, 3, 0])
    monkeypatch.undo()
    assert few == (run(tmp_path, [1, 2, 2], direct_num_workers=1), errors_of(tmp_path, [1, 3, 0, 0]))
    assert few == ([(1, 1), (2, 4), (2, 4)], "block 1: odd\nblock 3: odd")


def errors_of(tmp_path, blocks: list[int]) -> str:
    with pytest.raises(DataError) as caught:
        run(tmp_path, blocks, refuse_odd, ())
    return str(caught.value)


def test_progress_is_told_up_to_the_end(tmp_path):
    told = []
    run(tmp_path, range(8), wait, (0.1,), lambda *now: told.append(now), direct_num_workers=1)
    assert told[-1] == (8, 8) and told == sorted(told)
    assert any(0 < done < 8 for done, _ in told)


def test_workers_elsewhere_want_a_home_they_can_reach(tmp_path):
    dry = {
        "runner": "DataflowRunner",
        "project": "fake-project",
        "region": "europe-west1",
        "dry_run": True,
        "no_auth": True,
    }
    with pytest.raises(ConfigError, match="cannot reach .*wanted --home gs://"):
        run(tmp_path, [1], temp_location="gs://fake-bucket/tmp", **dry)


class Interrupted:
    """A job whose wait is broken off at the keyboard."""

    def __init__(self):
        self.cancelled = False

    def run(self):
        return self

    def wait_until_finish(self):
        raise KeyboardInterrupt

    def cancel(self):
        self.cancelled = True


def test_a_job_is_not_left_behind():
    job = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        _run(job, "test")
    assert job.cancelled


@pytest.mark.parametrize("name", ["DirectRunner", "directrunner", "direct", "FnApiRunner"])
def test_the_local_runner_is_never_the_one_that_downloads(name):
    pipeline = make_pipeline({"runner": name, "direct_num_workers": 3})
    assert type(pipeline.runner).__name__ == "FnApiRunner"
    options = pipeline.options.get_all_options()
    assert (options["direct_running_mode"], options["direct_num_workers"]) == ("multi_threading", 3)
    assert type(make_pipeline({}).runner).__name__ == "FnApiRunner"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"experiments": ["one", "two"]}, {"experiments": ["one", "two"]}),
        ({"experiments": "one"}, {"experiments": ["one"]}),
        ({"streaming": False, "no_auth": True}, {"streaming": False, "no_auth": True}),
        ({"use_public_ips": False}, {"use_public_ips": False}),
        ({"no_use_public_ips": True}, {"use_public_ips": False}),
        ({"no_use_public_ips": False}, {"use_public_ips": True}),
        (
            {"worker_machine_type": "e2-standard-4", "disk_size_gb": 50},
            {"machine_type": "e2-standard-4", "disk_size_gb": 50},
        ),
        ({"environment_config": {"command": "boot"}}, {"environment_config": '{"command": "boot"}'}),
        ({"save_main_session": True}, {"save_main_session": True}),
        ({}, {"save_main_session": False}),
    ],
)
def test_options_reach_beam_as_they_are_meant(given, wanted):
    options = pipeline_options(given).get_all_options()
    assert {name: options[name] for name in wanted} == wanted


def test_every_wrong_option_is_named_and_beam_stays_silent(caplog, capfd):
    with pytest.raises(ConfigError) as caught:
        pipeline_options(
            {
                "num_worker": 2,
                "direct_num_workers": "many",
                "direct_running_mode": "threads",
                "streaming": "yes",
                "region": ["a", "b"],
            }
        )
    wrong = {"num_worker", "direct_num_workers", "direct_running_mode", "streaming", "region"}
    assert {problem.split(":")[0] for problem in caught.value.problems} == {f"beam.{name}" for name in wrong}
    assert "beam.num_worker: no such option in Apache Beam; did you mean 'num_workers'?" in caught.value.problems
    assert "beam.streaming: got 'yes'; wanted true or false" in caught.value.problems
    assert "beam.region: got ['a', 'b']; wanted one value" in caught.value.problems
    assert not caplog.records and not capfd.readouterr().err


def test_a_runner_that_is_not_there_or_lacks_an_option_is_a_config_error():
    with pytest.raises(ConfigError, match="Unexpected pipeline runner: Nope. Valid values are"):
        make_pipeline({"runner": "Nope"})
    with pytest.raises(ConfigError) as caught:
        make_pipeline(
            {"runner": "DataflowRunner", "temp_location": "gs://fake-bucket/tmp", "no_auth": True, "dry_run": True}
        )
    assert "beam: Missing required option: project." in caught.value.problems
