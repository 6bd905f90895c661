"""The documents say what the code says: docs/config.md, the configs, links and commands of the READMEs."""

import re
import tomllib
from pathlib import Path

import pytest

from data.errors import ConfigError
from models.families import FAMILIES
from models.objectives import OBJECTIVES
from pipeline.config import check_config, load_config
from pipeline.reference import reference

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.es.md")


def test_config_reference_is_written_from_the_code():
    assert (ROOT / "docs/config.md").read_text() == reference(), "run `make docs`"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.name)
def test_every_config_is_right_and_opens_with_its_result(path):
    assert load_config(str(path)).name
    assert re.match(r"# .*\d", path.read_text()), "wanted the result it was seen to give, in its first line"


@pytest.mark.parametrize("name", READMES)
def test_toml_in_the_readme_is_right(name):
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        check_config(tomllib.loads(block))


@pytest.mark.parametrize(
    "name",
    [
        *READMES,
        "CONTRIBUTING.md",
        *(f"docs/{page}.md" for page in ("dataflow", "families", "generation", "retraining", "search", "serving")),
    ],
)
def test_links_and_named_files_exist(name):
    path = ROOT / name
    text = path.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert not [link for link in links if not (path.parent / link).exists()]


@pytest.mark.parametrize("name", READMES)
def test_commands_of_the_readme_exist(name):
    from typer.main import get_command

    from pipeline.cli import app

    text = (ROOT / name).read_text()
    known = set(get_command(app).commands)
    assert set(re.findall(r"^polisemia (\w+)", text, re.MULTILINE)) <= known
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets


def test_objectives_of_families_are_those_of_the_code():
    text = (ROOT / "docs/families.md").read_text()
    told = {
        family: re.findall(r"`(\w+)`", goals)
        for names, goals in re.findall(r"^\| (`.*) \| (`.*) \|$", text.split("## `[pretrainer]")[1], re.MULTILINE)
        for family in re.findall(r"`(\w+)`", names)
    }
    for name, kind in FAMILIES.items():
        fitting = {goal for goal, objective in OBJECTIVES.items() if _fits(objective(), kind())}
        assert fitting == set(told.get(name, ())), name
        assert kind.objective == (told[name][0] if name in told else ""), name


def _fits(objective, family) -> bool:
    try:
        objective.check(family)
    except ConfigError:
        return False
    return True
