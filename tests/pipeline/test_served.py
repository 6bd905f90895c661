"""Tests `pipeline/served.py` and what a run says of it: back to an older version, and what is served from then on."""

import json
import shutil

import pytest
from etils import epath

from components.golden import GOLDEN
from components.saved_model import find_model, read_properties
from components.versions import lineage, prune, publish, served_now
from pipeline.cli import main
from pipeline.history import write_record
from pipeline.served import rollback
from tests.components import exported
from tests.pipeline.conftest import copy_home


@pytest.fixture(scope="module")
def trained(project):
    """A home where `tiny` has run twice: version 1, then a model of another seed, version 2."""
    for seed in ("0", "1"):
        with pytest.raises(SystemExit) as stop:
            main(["run", str(project / "tiny.toml"), "--home", str(project / "runs"), "--set", f"trainer.seed={seed}"])
        assert not stop.value.code
    return project / "runs"


@pytest.fixture
def home(trained, tmp_path):
    """That home, for a test to change."""
    return copy_home(trained, tmp_path / "runs")


def again(project, *sets: str) -> list[str]:
    return ["run", str(project / "tiny.toml"), "--json", "--set", "trainer.seed=1", *sets]


def test_the_older_model_is_the_newest_version(home, polisemia):
    code, record, _ = polisemia("rollback", "tiny", "--json")
    served, folder = record["served"], home / "tiny/served/tiny"
    assert code == 0 and served["path"] == str(folder / "3")
    assert (served["version"], served["replaces"], served["copy_of"]) == (3, 2, 1)
    assert record["rollback"] == {"from": 2, "to": 1}
    assert json.loads((home / "tiny/latest.json").read_text()) == record
    assert json.loads((home / "tiny/history/3.json").read_text()) == record
    first, second, third = lineage(folder)
    assert third.origin == first.origin != second.origin and third.record["withdraws"] == second.origin
    assert third.record["metrics"] == first.record["metrics"] and first.record["metrics"]["accuracy"] > 0.7
    files = [
        p.relative_to(folder / "1") for p in (folder / "1").rglob("*") if p.is_file() and p.name != "polisemia.json"
    ]
    assert len(files) > 4 and all((folder / "1" / f).read_bytes() == (folder / "3" / f).read_bytes() for f in files)
    assert sorted(p.name for p in folder.iterdir()) == ["1", "2", "3"]


def test_a_run_with_nothing_changed_says_what_is_served_and_pushes_nothing(home, project, polisemia):
    polisemia("rollback", "tiny")
    code, record, _ = polisemia(*again(project))
    assert code == 0 and all(run["cached"] for runs in record["stages"].values() for run in runs)
    assert (record["served"]["version"], record["served"]["copy_of"], record["served"]["pushed"]) == (3, 1, 2)
    assert str(find_model(home / "tiny")[0]) == str(home / "tiny/served/tiny/3")
    code, record, _ = polisemia(*again(project, "--set", "evaluator.resamples=60"))
    made = {stage for stage, runs in record["stages"].items() for run in runs if not run["cached"]}
    assert made == {"evaluator", "pusher"}, "the pusher looks again, at a model that was withdrawn"
    assert record["served"]["version"] == 3 and len(lineage(home / "tiny/served/tiny")) == 3
    code, record, _ = polisemia("run", str(project / "tiny.toml"), "--json", "--set", "trainer.seed=0")
    assert record["served"]["version"] == 3 and "pushed" not in record["served"], "its model is the one served"


def test_back_and_forth(home, polisemia):
    folder = home / "tiny/served/tiny"
    polisemia("rollback", "tiny")
    code, _, err = polisemia("rollback", "tiny")
    assert code == 2 and "has no version older than 1, which is served; wanted --to 2" in err
    code, record, _ = polisemia("rollback", "tiny", "--to", "2", "--json")
    assert code == 0 and (record["served"]["version"], record["served"]["copy_of"]) == (4, 2)
    assert lineage(folder)[-1].origin == lineage(folder)[1].origin
    code, out, _ = polisemia("rollback", str(home / "tiny"))
    assert code == 0 and out == f"served: {folder / '5'}, version 1's model again\n"


def test_a_version_that_does_not_answer_as_it_did_is_refused(home, polisemia):
    golden = home / "tiny/served/tiny/1" / GOLDEN
    asked = [json.loads(line) for line in golden.read_text().splitlines()]
    asked[1]["response"]["outputs"]["label"] = ["neither"]
    golden.write_text("".join(json.dumps(each) + "\n" for each in asked))
    before = (home / "tiny/latest.json").read_text()
    code, _, err = polisemia("rollback", "tiny")
    name = f"the request with {asked[1]['name']} to signature '{asked[1]['request']['signature_name']}'"
    assert code == 1 and "rollback: version 1 is refused, nothing has changed" in err and name in err
    golden.unlink()
    code, _, err = polisemia("rollback", "tiny")
    assert code == 1 and "no assets.extra/golden.jsonl inside" in err
    assert [v.number for v in lineage(home / "tiny/served/tiny")] == [1, 2]
    assert (home / "tiny/latest.json").read_text() == before and not (home / "tiny/history/3.json").exists()


def test_what_is_not_there_is_said(home, project, polisemia):
    code, _, err = polisemia("rollback", "tini")
    assert code == 2 and "rollback: no run of 'tini'" in err and "did you mean 'tiny'" in err
    code, _, err = polisemia("rollback", "tiny", "--to", "7")
    assert code == 2 and "has no such version; wanted --to 1" in err
    code, _, err = polisemia("rollback", "tiny", "--to", "2")
    assert code == 2 and "this model is served already, as version 2; wanted --to 1" in err
    polisemia(*again(project, "--set", "pusher.keep=1", "--set", "evaluator.resamples=70"))
    code, _, err = polisemia("rollback", "tiny", "--to", "1")
    assert code == 2 and "pusher.keep has removed this version; there is no other model" in err
    shutil.rmtree(home / "tiny/served")
    code, _, err = polisemia("rollback", "tiny")
    assert code == 2 and "'tiny' has served nothing" in err


def test_show_lists_the_versions(home, project, polisemia):
    polisemia("rollback", "tiny")
    polisemia(*again(project, "--set", "pusher.keep=1"))
    code, out, _ = polisemia("show", "tiny")
    origins = [version.origin for version in lineage(home / "tiny/served/tiny")]
    lines = [line.split() for line in out.splitlines()[-3:]]
    assert [line[:3] for line in lines] == [
        ["1", "removed", origins[0]],
        ["2", "removed", origins[1]],
        ["3", "served", origins[0]],
    ]
    assert lines[2][3:5] == lines[0][3:5] == ["accuracy", lines[0][4]] and lines[2][-2:] == ["2", "1"]
    assert "served/tiny/3, version 1's model again" in out
    assert "this run's own model was version 2 and is not pushed again; pusher.keep has removed it since" in out
    code, record, _ = polisemia("show", "tiny", "--json")
    assert [each["state"] for each in record["versions"]] == ["removed", "removed", "served"]
    assert read_properties(home / "tiny/served/tiny/3")["model_artifact"] == origins[0]


def test_a_bucket_is_rolled_back(bucket, tmp_path):
    root, models = epath.Path("gs://models/store/reviews"), tmp_path / "models"
    served = root / "served/reviews"
    for name, evidence in (("aaaa", 1.0), ("bbbb", 2.0)):
        saved = exported.save(models / name, texts=[b"good"], evidence=evidence)
        publish(epath.Path(saved), served, {"model_artifact": name})
    write_record(root, {"name": "reviews", "served": served_now(served)})
    record = rollback("reviews", None, "gs://models/store")
    assert (record["served"]["path"], record["served"]["copy_of"]) == ("gs://models/store/reviews/served/reviews/3", 1)
    folder = bucket / "models/store/reviews/served/reviews"
    assert (folder / "3/saved_model.pb").read_bytes() == (folder / "1/saved_model.pb").read_bytes()
    prune(served, 1, [2])
    assert [(v.number, v.origin, v.here) for v in lineage(served)] == [
        (1, "aaaa", False),
        (2, "bbbb", True),
        (3, "aaaa", True),
    ]
