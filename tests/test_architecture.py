"""The design's rules, read from the syntax trees: who may import whom, who may touch argv, network, environment."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from data.formats import FORMATS
from data.tokenizers import TOKENIZERS
from models.families import FAMILIES
from models.objectives import OBJECTIVES
from models.tasks import TASKS
from pipeline.graph import GRAPH

ROOT = Path(__file__).parent.parent
LAYERS = ["data", "models", "components", "pipeline"]  # each may import those before it
# Each table's entries live in files that never import each other; what they share has files of its own.
TABLES = {
    "formats": FORMATS.values(),
    "tokenizers": TOKENIZERS.values(),
    "families": FAMILIES.values(),
    "tasks": TASKS.values(),
    "objectives": OBJECTIVES.values(),
    "stages": [node.stage.function for node in GRAPH],
}
ENVIRONMENT = {"models/strategy.py", "models/hub.py", "components/example_gen.py"}


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """Dotted names of every module that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer):
    above = [*LAYERS[LAYERS.index(layer) + 1 :], "serving", "tests", "benchmarks"]
    wrong = [(str(p.relative_to(ROOT)), m) for p in sources(layer) for m in imports(p) if m.split(".")[0] in above]
    assert not wrong


def test_serving_imports_none_of_ours():
    wrong = [(p.name, m) for p in sources("serving") for m in imports(p) if m.split(".")[0] in LAYERS]
    assert not wrong


@pytest.mark.parametrize("table", TABLES)
def test_entries_of_a_table_do_not_import_each_other(table):
    modules = {entry.__module__ for entry in TABLES[table]}
    found = {module: imports(ROOT / (module.replace(".", "/") + ".py")) & (modules - {module}) for module in modules}
    assert not {module: neighbours for module, neighbours in found.items() if neighbours}


def test_models_and_data_know_no_beam():
    assert not [p.name for p in sources("data", "models") for m in imports(p) if m.startswith("apache_beam")]


def test_environment_and_argv_are_touched_in_named_places_only():
    wrong = []
    for path in sources("data", "models", "components"):
        name = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text())):
            touched = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "argv")
            if touched and name not in ENVIRONMENT:
                wrong.append((name, node.lineno, node.attr))
    assert not wrong


def test_the_command_line_loads_nothing_heavy():
    """`--help`, `show` and a run with nothing to do must answer at once."""
    code = (
        "import sys; import pipeline.cli, pipeline.config, pipeline.runner, pipeline.report\n"
        "print([m for m in ('tensorflow', 'keras', 'apache_beam', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sources(*LAYERS, "serving"), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 300, f"{len(lines)} lines: two ideas in one file?"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            first = node.body[0].lineno
            assert node.end_lineno - first < 60, f"{node.name}: {node.end_lineno - first} lines"
