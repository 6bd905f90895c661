"""`polisemia serve`: the model is found, and the program that serves it is started with the right flags."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import ConfigError
from pipeline.serve import find_served, serve_command
from tests.components.exported import save

ROOT = Path(__file__).parents[2]
OWN = [sys.executable, "-m", "serving"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A pipeline's home that serves version 2."""
    home = tmp_path_factory.mktemp("home")
    model = home / "served" / "opinions"
    for version in ("1", "2"):
        save(model / version)
    latest = {"served": {"model": "opinions", "version": 2, "path": str(model / "2")}, "stages": {}}
    (home / "latest.json").write_text(json.dumps(latest))
    return home


def test_a_served_model_a_version_of_it_and_a_pipeline_s_home_are_the_same(served):
    model = served / "served" / "opinions"
    for place in (model, model / "2", served):
        assert find_served(str(place)) == ("opinions", str(model))


def test_a_saved_model_elsewhere_is_version_1(tmp_path):
    name, base = find_served(str(save(tmp_path / "my model")))
    assert name == "my_model" and (Path(base) / "1" / "saved_model.pb").exists()


def test_where_there_is_no_model(tmp_path):
    with pytest.raises(ConfigError, match="no model in it"):
        find_served(str(tmp_path))
    with pytest.raises(ConfigError, match="no such model"):
        find_served(str(tmp_path / "none"))


def test_our_server_batches_and_has_a_rest_port(served):
    flags = {"--model_name=opinions", f"--model_base_path={served / 'served' / 'opinions'}"}
    command = serve_command([str(served)])
    assert command[:3] == OWN and set(command[3:]) == {*flags, "--rest_api_port=8501", "--enable_batching=true"}
    command = serve_command(["--rest_api_port=0", str(served), "--enable_batching=false", "--model_name=m"])
    given = {
        "--rest_api_port=0",
        "--enable_batching=false",
        "--model_name=m",
        f"--model_base_path={served}/served/opinions",
    }
    assert set(command[3:]) == given


@pytest.mark.parametrize(
    "arguments, with_, part",
    [
        (["MODEL", "--model_base_path=/m"], "", "MODEL .* and --model_base_path: give one of them"),
        (["MODEL", "--port", "9000"], "", "flags as --name=value"),
        (["MODEL"], "podman", "--with podman: wanted tensorflow_model_server or docker"),
        (["MODEL"], "docker", "there is no docker on PATH"),
        (["MODEL"], "tensorflow_model_server", "there is no tensorflow_model_server on PATH"),
    ],
)
def test_wrong_commands(served, monkeypatch, arguments, with_, part):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=part):
        serve_command([str(served) if argument == "MODEL" else argument for argument in arguments], with_)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A docker and a tensorflow_model_server that say how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("docker", "tensorflow_model_server"):
        (folder / name).write_text('#!/bin/sh\necho "$(basename "$0")"\nfor each in "$@"; do echo "$each"; done\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def polisemia(*arguments):
    command = [sys.executable, "-m", "pipeline", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_the_real_server_is_started_with_the_same_flags(served, programs):
    done = polisemia(str(served), "--with", "tensorflow_model_server", "--port=9000", "--enable_batching")
    assert done.returncode == 0, done.stderr
    program, *flags = done.stdout.split()
    assert program == "tensorflow_model_server"
    assert set(flags) == {
        "--model_name=opinions",
        f"--model_base_path={served}/served/opinions",
        "--port=9000",
        "--rest_api_port=8501",
        "--enable_batching=true",
    }


def test_a_container_sees_the_model_and_opens_ports_on_the_loopback(served, programs):
    done = polisemia(str(served), "--with=docker", "--image=tensorflow/serving:2.19.1")
    assert done.returncode == 0, done.stderr
    base = f"{served}/served/opinions"
    assert done.stdout.split() == [
        *("docker", "run", "--rm", "--publish", "127.0.0.1:8500:8500", "--publish", "127.0.0.1:8501:8501"),
        *("--mount", f"type=bind,source={base},target={base},readonly", "--entrypoint", "tensorflow_model_server"),
        *("tensorflow/serving:2.19.1", "--model_name=opinions", f"--model_base_path={base}", "--rest_api_port=8501"),
    ]


def test_a_container_sees_what_files_name(served, programs, tmp_path):
    config = tmp_path / "models.config"
    config.write_text(f"model_config_list {{ config {{ name: 'a' base_path: '{served}/served/opinions' }} }}")
    command = serve_command([f"--model_config_file={config}"], "docker")
    mounted = [part.split(",")[1] for part in command if part.startswith("type=bind")]
    assert mounted == [f"source={config}", f"source={served}/served/opinions"]


def test_a_container_sees_what_a_link_points_at(programs, tmp_path):
    place = save(tmp_path / "model")
    command = serve_command([str(place)], "docker")
    assert f"type=bind,source={place},target={place},readonly" in command


@pytest.mark.parametrize("with_", ["docker", "tensorflow_model_server"])
def test_a_flag_of_ours_is_refused_by_the_real_server(served, programs, with_):
    done = polisemia(str(served), "--with", with_, "--drain_seconds=1")
    assert done.returncode == 2 and "--drain_seconds is a flag of our own server" in done.stderr


def test_our_server_is_started(served):
    done = polisemia(str(served), "--version")
    assert done.returncode == 0 and "TensorFlow Library: 2." in done.stdout
    done = polisemia(str(served), "--use_alts_credentials")
    assert done.returncode == 2 and "--use_alts_credentials is not supported" in done.stderr
