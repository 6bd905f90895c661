"""The command line: `tensorflow_model_server`'s flags by their names; what is not supported is refused by name."""

import pytest

from serving.options import REFUSED, Options, parse

BASE = "--model_base_path=/models/m"


def wrong(capsys, *arguments):
    """What is said of a wrong command line."""
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_the_defaults_are_theirs():
    options = parse([BASE])
    assert options == Options(model_base_path="/models/m")
    assert (options.port, options.rest_api_port, options.host) == (8500, 0, "127.0.0.1")
    assert (options.file_system_poll_wait_seconds, options.max_num_load_retries) == (1, 5)
    assert not options.enable_batching and options.enable_model_warmup


@pytest.mark.parametrize(
    "argument, name, value",
    [
        ("--enable_batching", "enable_batching", True),
        ("--enable_batching=false", "enable_batching", False),
        ("--enable_model_warmup=0", "enable_model_warmup", False),
        ("--port=1", "port", 1),
        ("--drain_seconds=0.5", "drain_seconds", 0.5),
        ("--model_name=m", "model_name", "m"),
    ],
)
def test_values_are_read_by_type(argument, name, value):
    assert getattr(parse([BASE, argument]), name) == value


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_with_the_reason(capsys, name):
    assert f"--{name} is not supported: {REFUSED[name]}" in wrong(capsys, BASE, f"--{name}=1")


@pytest.mark.parametrize(
    "arguments, part",
    [
        ([], "give --model_base_path or --model_config_file"),
        ([BASE, "--no_such_flag=1"], "unrecognized arguments: --no_such_flag=1"),
        ([BASE, "--model_nam=m"], "unrecognized arguments"),
        ([BASE, "--port=x"], "argument --port: invalid int value: 'x'"),
        ([BASE, "--enable_batching=maybe"], "'maybe': wanted true or false"),
        ([BASE, "--port=0"], "nothing to listen on"),
        ([BASE, "--rest_api_port=8500"], "--rest_api_port cannot be the same as --port"),
        ([BASE, "--batching_parameters_file=f"], "without --enable_batching"),
        ([BASE, "--tensorflow_session_parallelism=1", "--tensorflow_intra_op_parallelism=1"], "not both"),
    ],
)
def test_wrong_command_lines(capsys, arguments, part):
    assert part in wrong(capsys, *arguments)


def test_every_flag_is_explained(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    said = capsys.readouterr().out
    assert all(f"--{name}" in said for name in Options.__dataclass_fields__)


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        parse(["--version"])
    assert caught.value.code == 0 and "TensorFlow Library: 2." in capsys.readouterr().out
