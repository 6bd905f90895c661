"""Tests docs/dataflow.md: Beam takes every config in it, and its image is of the versions that we run."""

import re
import sys
import tomllib

import apache_beam
import pytest

from components.beam_options import make_pipeline, pipeline_options
from tests.package import PACKAGES, ROOT

TEXT = (ROOT / "docs" / "dataflow.md").read_text(encoding="utf-8")
CONFIGS = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(DOCKERFILE,) = re.findall(r"^```dockerfile\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
OFFLINE = {"dry_run": True, "no_auth": True}


@pytest.mark.parametrize("text", CONFIGS, ids=[re.search(r'runner = "(\w+)"', text)[1] for text in CONFIGS])
def test_every_config_is_one_that_beam_takes(text):
    text = text.replace("PROJECT", "fake-project").replace("BUCKET", "fake-bucket")
    beam = tomllib.loads(text)["beam"]
    pipeline = make_pipeline({**beam, **OFFLINE} if beam["runner"] == "DataflowRunner" else beam)
    assert type(pipeline.runner).__name__ == beam["runner"]


def test_there_is_a_config_for_each_runner():
    assert {re.search(r'runner = "(\w+)"', text)[1] for text in CONFIGS} == {
        "DataflowRunner",
        "FlinkRunner",
        "SparkRunner",
        "PortableRunner",
    }


def test_the_image_is_of_our_versions_and_holds_our_package():
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    base = re.search(r"FROM apache/beam_python([\d.]+)_sdk:([\d.]+)", DOCKERFILE)
    assert base[2] == apache_beam.__version__
    assert base[1] == python or python != "3.11"
    copied = {name for line in re.findall(r"COPY (.*) \S+\n", DOCKERFILE) for name in line.split()}
    assert copied >= {*PACKAGES, "setup.py", "constraints.txt"}
    assert all((ROOT / name).exists() for name in copied)


def test_every_option_named_in_the_text_is_one_of_beams():
    named = re.findall(r"`(\w+ = [^`]+)`", TEXT)
    assert len(named) >= 6
    for text in named:
        pipeline_options(tomllib.loads(text))
