"""Runs what docs/serving.md shows: its curl and Python clients against a server with its config files, its commands."""

import contextlib
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf

from components.saved_model import write_properties
from pipeline.serve import serve_command
from serving.options import parse
from serving.protos import BatchingParameters, MonitoringConfig, read_text
from tests.serving.running import free_port, running

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
CLIENTS = [
    (kind, code, shown)
    for (kind, code), (_, shown) in zip(BLOCKS, BLOCKS[1:], strict=False)
    if kind == "python" or code.startswith("curl")
]
FILES = dict(re.findall(r"^```textproto\n# (\S+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
COMMANDS = [
    found.strip() for found in re.findall(r"^(polisemia serve [^#\n]*|python -m serving [^#\n]*)", TEXT, re.MULTILINE)
]
LABELS = ["negativo", "positivo"]


def save(path: Path) -> None:
    """A model with the signatures of a classifier of ours: a text with a disaster in it is negative."""

    def scores(text):
        bad = tf.strings.regex_full_match(text, ".*desastre.*")
        return tf.where(bad[:, None], tf.constant([[0.98, 0.02]]), tf.constant([[0.03, 0.97]]))

    def answer(text):
        found = scores(text)
        return {"label": tf.gather(tf.constant(LABELS), tf.argmax(found, 1)), "scores": found}

    def classify(inputs):
        parsed = tf.io.parse_example(inputs, {"text": tf.io.FixedLenFeature([], tf.string)})
        found = scores(parsed["text"])
        return {"classes": tf.broadcast_to(tf.constant(LABELS), tf.shape(found)), "scores": found}

    def signature(function, name):
        return tf.function(function, input_signature=[tf.TensorSpec([None], tf.string, name=name)])

    signatures = {"serving_default": signature(answer, "text"), "classify": signature(classify, "inputs")}
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures)
    write_properties(path, {"task": "classification", "labels": LABELS, "inputs": ["text"]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The config files of the document beside `runs/opiniones`."""
    folder = tmp_path_factory.mktemp("docs")
    served = folder / "runs/opiniones/served/opiniones"
    for version in (1, 2):
        save(served / str(version))
    latest = {"served": {"model": "opiniones", "version": 2, "path": str(served / "2")}, "stages": {}}
    (folder / "runs/opiniones/latest.json").write_text(json.dumps(latest))
    for name, text in FILES.items():
        (folder / name).write_text(text.replace("/srv/polisemia", str(folder)))
    (folder / "ssl.config").touch()
    return folder


@pytest.fixture(scope="module")
def ports(folder):
    flags = {
        "model_config_file": str(folder / "models.config"),
        "allow_version_labels_for_unavailable_models": True,
        "enable_batching": True,
        "batching_parameters_file": str(folder / "batching.config"),
        "monitoring_config_file": str(folder / "monitoring.config"),
        "rest_api_port": free_port(),
    }
    with running(**flags) as (server, _):
        yield {"8500": server.options.port, "8501": server.options.rest_api_port}


@pytest.mark.parametrize(("kind", "code", "shown"), CLIENTS, ids=[code[:90] for _, code, _ in CLIENTS])
def test_clients(ports, kind, code, shown):
    for port, ours in ports.items():
        code = code.replace(f"localhost:{port}", f"127.0.0.1:{ours}")
    if kind == "python":
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, {})
        assert printed.getvalue() == shown
        return
    if not shutil.which("curl"):
        pytest.skip("there is no curl here")
    done = subprocess.run(["sh", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == shown.strip()
    assert json.loads(shown)


def test_there_are_clients_and_files():
    assert sum(kind == "python" for kind, *_ in CLIENTS) == 2
    assert sum(code.startswith("curl") for _, code, _ in CLIENTS) == 5
    assert set(FILES) == {"batching.config", "models.config", "monitoring.config"}


def test_config_files(folder):
    assert read_text(str(folder / "batching.config"), BatchingParameters).max_batch_size.value == 32
    assert read_text(str(folder / "monitoring.config"), MonitoringConfig).prometheus_config.path == "/metrics"


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_taken(command, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for program in ("docker", "tensorflow_model_server"):
        (folder / program).write_text("#!/bin/sh\n")
        (folder / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    words = command.split()
    if words[0] == "polisemia":
        with_ = words[words.index("--with") + 1] if "--with" in words else ""
        words = [word for word in words[2:] if word not in ("--with", with_)]
        command = serve_command(words, with_)
        assert (command[1:3] == ["-m", "serving"]) == (not with_)
        words = ["python", "-m", "serving", *command[command.index("serving") + 1 :]] if not with_ else []
    if words:
        options = parse(words[3:])
        assert Path(options.model_base_path or options.model_config_file).exists()


def test_defaults_named_in_the_text():
    defaults = parse(["--model_base_path=x"])
    named = re.findall(r"`--(\w+)=([\d.]+)`", TEXT)
    assert len(named) == 4
    for name, value in named:
        assert str(getattr(defaults, name)) == value
