"""What TensorFlow prints while it is imported does not reach the user, unless it fails or they ask for its log."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def imported(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "from pipeline.quiet import prepare_imports; prepare_imports()\n"
        "import importlib.util; importlib.util.find_spec('tensorflow')  # libraries look whether it is there\n"
        "import tensorflow, os; os.write(2, b'after')"
    )
    clean = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True)


def test_the_import_is_quiet_and_what_follows_is_not(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os; os.write(2, b'noise')")
    assert imported(tmp_path).stderr == "after"


def test_a_failing_import_tells_all(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os; os.write(2, b'noise'); raise ImportError('no such library')")
    told = imported(tmp_path).stderr
    assert "noise" in told and "no such library" in told


def test_who_asks_for_the_log_gets_it(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os; os.write(2, b'noise')")
    assert imported(tmp_path, TF_CPP_MIN_LOG_LEVEL="0").stderr == "noiseafter"


def test_keras_takes_no_plots_along_and_others_still_find_them():
    code = (
        "import sys; from pipeline.quiet import prepare_imports; prepare_imports()\n"
        "import keras, tensorflow, keras_hub\n"
        "print([name for name in ('sklearn', 'matplotlib') if name in sys.modules])\n"
        "import matplotlib, sklearn"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_arrow_gives_memory_back_unless_told_otherwise():
    code = (
        "from pipeline.quiet import prepare_imports; prepare_imports()\n"
        "import pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    )
    for environment, backend in (({}, "system"), ({"ARROW_DEFAULT_MEMORY_POOL": "mimalloc"}, "mimalloc")):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | environment, capture_output=True)
        assert done.stdout.decode() == f"{backend}\n"
