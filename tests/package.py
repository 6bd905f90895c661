"""The source tree, copied so that building it leaves nothing in the checkout, and the package built from it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("data", "models", "components", "pipeline", "serving")
FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "constraints.txt")  # no README: it may be missing


@pytest.fixture(scope="session")
def source_tree(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="session")
def sdist(source_tree) -> Path:
    """The source distribution, built as Beam builds it for its workers."""
    run(sys.executable, "setup.py", "-q", "sdist", cwd=source_tree)
    (found,) = (source_tree / "dist").glob("*.tar.gz")
    return found


@pytest.fixture(scope="session")
def installed(sdist, tmp_path_factory) -> Path:
    """A folder with the package as pip installs it from the source distribution, without its dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    run(*pip, "--target", str(folder), str(sdist), cwd=folder)
    return folder


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
