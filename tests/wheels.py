"""The TensorFlow and TF Text that TF Serving 2.20 links, as wheels beside those of this environment."""

import fcntl
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

WHEELS = ("tensorflow-cpu==2.20.0", "tensorflow-text==2.20.0")


@pytest.fixture(scope="session")
def older_tensorflow() -> str:
    """A folder with both packages, kept in the system's temporary folder; skips where no registry gives them."""
    folder = Path(tempfile.gettempdir()) / "polisemia-tensorflow-2.20"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be at it
        if not (folder / "whole").exists():
            pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps", "--upgrade")
            done = subprocess.run([*pip, "--target", str(folder), *WHEELS], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"pip cannot install {' and '.join(WHEELS)}: {done.stderr.strip()[-300:]}")
            (folder / "whole").touch()
    return str(folder)
