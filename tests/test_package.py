"""Tests `setup.py`: what Beam stages for its workers is complete, and runs in a process of its own."""

import os
import signal
import subprocess
import sys
import sysconfig
import tarfile
import time
import venv
from pathlib import Path

import pytest

from components.artifacts import Examples, Statistics
from components.base import Runtime
from components.example_gen import example_gen
from components.statistics_gen import statistics_gen
from data.errors import StageError
from tests.package import PACKAGES, ROOT, run


def test_the_source_distribution_is_complete(sdist):
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"setup.py", "pyproject.toml", "constraints.txt", "LICENSE"} <= names
    assert {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")} <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]


def test_the_package_brings_the_samples(installed):
    samples = [path.relative_to(ROOT) for path in (ROOT / "data" / "samples").rglob("*.csv")]
    assert samples and all((installed / sample).exists() for sample in samples)


def test_the_command_line_starts_from_a_wheel(sdist, tmp_path):
    """In an environment that has what we depend on, but nothing of this checkout."""
    pip = (sys.executable, "-m", "pip", "--quiet", "--no-input")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(sdist), cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", symlinks=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", str(wheel), cwd=tmp_path)
    paths = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    Path(paths, "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    place = run(python, "-c", "import pipeline.cli; print(pipeline.cli.__file__)", cwd=Path("/"))
    assert place.startswith(paths)
    assert "Usage" in run(str(Path(python).parent / "polisemia"), "--help", cwd=Path("/"))


@pytest.fixture(scope="module")
def job_server(installed, tmp_path_factory):
    """`[beam]` for Beam's own portable job server; its worker is another process that has only the built package."""
    folder = tmp_path_factory.mktemp("job_server")
    port = folder / "port"
    command = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", "0", "--port_file", str(port), "--staging_dir", str(folder / "staging")],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        while not port.exists():
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        worker = f"env PYTHONPATH={installed} {sys.executable} -m apache_beam.runners.worker.sdk_worker_main"
        yield {
            "runner": "PortableRunner",
            "job_endpoint": f"localhost:{port.read_text()}",
            "environment_type": "beam:env:harness_subprocess_python:v1",
            "environment_config": worker,
        }
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # its workers too
        server.wait(10)


def make(folder: Path, beam: dict) -> dict[str, bytes]:
    """Examples and statistics of a small file. Path -> content of all that was written."""
    source, runtime = folder.parent / "reviews.csv", Runtime(beam=beam)
    source.write_text("text,label\n" + "".join(f"texto {n} de {n % 7},{'sí' if n % 3 else 'no'}\n" for n in range(500)))
    examples, statistics = Examples(folder / "examples"), Statistics(folder / "statistics")
    examples.clear()
    params = example_gen.params(task="classification", input=str(source)).model_dump()
    example_gen(examples, runtime, **params)
    examples.commit()
    statistics.clear()
    statistics_gen(examples, statistics, runtime, **statistics_gen.params().model_dump())
    statistics.commit()
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_worker_in_its_own_process_writes_the_same_bytes(job_server, tmp_path):
    here, there = make(tmp_path / "here", {}), make(tmp_path / "there", job_server)
    assert here == there and "examples/manifest.json" in there


def test_what_fails_in_such_a_worker_is_one_line(job_server, tmp_path):
    examples = Examples(tmp_path, {"files": {"train/none.parquet": {}}, "properties": {}})
    with pytest.raises(StageError) as caught:
        statistics_gen(
            examples, Statistics(tmp_path / "out"), Runtime(beam=job_server), **statistics_gen.params().model_dump()
        )
    assert "statistics_gen: the Beam runner failed: FileNotFoundError: " in str(caught.value)
    assert "none.parquet" in str(caught.value) and "\n" not in str(caught.value)
