"""Tests `polisemia retrain`: a first model, nothing new, new data, and a challenger that is not good enough."""

import contextlib
import io
import json
import shutil

import pytest
from etils import epath

from components.artifacts import TokenizerFiles
from components.base import Runtime
from components.leaks import read_table
from pipeline.cleaning import _with_inputs
from pipeline.cli import main
from pipeline.config import check_config, load_config
from pipeline.report import summary
from pipeline.retraining import with_room
from pipeline.runner import Run
from tests.pipeline.conftest import CONFIG, copy_home, write_rows

WARM = """
[decider]
keep_steady = false

[warm_start]
epochs = 2
optimizer = { learning_rate = 0.02 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pipeline that has run on one span."""
    folder = tmp_path_factory.mktemp("retrain")
    write_rows(folder / "span-1.csv", 300, 1)
    config = CONFIG.format(folder=folder).replace("epochs = 8\n", "epochs = 8\noptimizer_state = true\n")
    (folder / "tiny.toml").write_text(config + WARM)
    assert retrain(folder) == 0
    return folder


def retrain(folder, *sets: str) -> int:
    options = [part for each in sets for part in ("--set", each)]
    with pytest.raises(SystemExit) as stop:
        main(["retrain", str(folder / "tiny.toml"), "--home", str(folder / "runs"), *options])
    return stop.value.code or 0


def latest(folder) -> dict:
    return json.loads((folder / "runs/tiny/latest.json").read_text())


def made(record: dict) -> set[tuple[str, str]]:
    return {(name, run["span"]) for name, runs in record["stages"].items() for run in runs if not run["cached"]}


def test_retraining_goes_on_from_what_is_served(folder, capsys):
    first = latest(folder)
    assert first["retrain"]["decision"] == "first" and first["served"]["version"] == 1

    assert retrain(folder) == 0
    record = latest(folder)
    assert record["retrain"]["decision"] == "keep" and "there is nothing new" in record["retrain"]["verdict"]
    assert made(record) == {("decider", "")} and record["served"]["version"] == 1

    write_rows(folder / "span-2.csv", 60, 2)
    assert retrain(folder) == 0
    record = latest(folder)
    assert record["retrain"]["decision"] == "fine_tune" and record["retrain"]["pushed"]
    by_span = {span for name, span in made(record) if span}
    assert by_span == {"2"} and not made(record) & {("tokenizer_gen", ""), ("transform", "1")}
    (trained,) = (folder / "runs/tiny/trainer").glob(f"{record['stages']['trainer'][0]['fingerprint']}/manifest.json")
    properties = json.loads(trained.read_text())["properties"]
    assert properties["training"]["epochs"] == 2
    assert properties["warm_start"]["champion"] == first["stages"]["trainer"][0]["fingerprint"]
    moments = properties["warm_start"]["optimizer"]
    assert moments["carried"] > 0 and moments["new"] == 0 and moments["steps"] > 0
    assert record["served"]["version"] == 2
    assert "takes over" in capsys.readouterr().out

    assert retrain(folder, "example_gen.spans=last:1", "trainer.epochs=3") == 0
    assert latest(folder)["retrain"]["decision"] == "keep", "what is trained on is all known"


def show(folder, *more: str) -> dict:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        main(["show", *more, "--home", str(folder / "runs"), "--json"])
    return json.loads(out.getvalue())


def test_lineage_and_clean_go_back_through_the_champion(folder):
    records = [json.loads((folder / f"runs/tiny/history/{n}.json").read_text()) for n in (1, 3)]
    champion, warm = (f"trainer/{record['stages']['trainer'][0]['fingerprint']}" for record in records)
    graph = show(folder, "--lineage", "tiny")
    assert [champion, warm, "champion"] in graph["edges"] and graph["nodes"][champion]["params"]
    assert not [name for name in graph["nodes"] if name.startswith(("champion/", "warm/"))]
    needed = _with_inputs(epath.Path(folder / "runs/tiny"), {tuple(warm.split("/"))})
    assert tuple(champion.split("/")) in needed


def test_show_tells_what_became_of_each_retrain(folder):
    verdicts = [run["verdict"] for run in show(folder, "tiny")["runs"]]
    assert verdicts[:4] == ["blessed", "champion kept", "fine_tune: took over", "champion kept"]


def test_a_challenger_that_is_not_surely_better_is_refused_with_the_interval(folder):
    write_rows(folder / "span-3.csv", 80, 3)
    before = latest(folder)["served"]
    code = retrain(folder, "comparator.rule=better", "comparator.margin=0.05", "comparator.slices=['shop']")
    record = latest(folder)
    assert code == 3 and not record["retrain"]["pushed"]
    assert "the champion stays: accuracy goes from" in record["retrain"]["verdict"]
    assert "the rule 'better' wants more than +0.05 at the lower end: missed" in record["retrain"]["verdict"]
    assert record["served"]["version"] == before["version"]
    compared = record["stages"]["comparator"][0]["artifact"]
    assert show(folder, "tiny")["runs"][-1]["verdict"] == "fine_tune: refused"
    found = json.loads((folder / compared / "comparison.json").read_text())
    assert set(found["slices"]) <= {"shop = north", "shop = south"} and 0 <= found["mcnemar_p"] <= 1


GROWS = ("decider.full_rows=1", "decider.full_words=1", "comparator.margin=1.0")


def test_a_grown_vocabulary_has_room_for_new_tokens_and_its_report_says_what_became_of_the_old(tmp_path):
    write_rows(tmp_path / "span-1.csv", 200, 1)
    (tmp_path / "tiny.toml").write_text(CONFIG.format(folder=tmp_path))
    sets = ["trainer.family={ name = 'lstm', width = 4, embedding = 4 }", "trainer.epochs=1", "evaluator.at_least={}"]
    sets += ["tokenizer_gen.kind=words", "tokenizer_gen.vocabulary_size=60", "evaluator.slices=[]"]
    assert retrain(tmp_path, *sets) == 0
    first = latest(tmp_path)
    write_rows(tmp_path / "span-2.csv", 60, 2)
    text = (tmp_path / "span-2.csv").read_text()
    (tmp_path / "span-2.csv").write_text(text.replace("the", "unheard").replace("thing", "of").replace("was", "words"))
    assert retrain(tmp_path, *sets, *GROWS, "decider.grow_by=0.5") == 0
    record = latest(tmp_path)
    assert record["retrain"]["grow"] and record["retrain"]["pushed"]
    before, tokenizer, model = (
        json.loads(epath.Path(each["stages"][stage][0]["artifact"], "manifest.json").read_text())["properties"]
        for each, stage in ((first, "tokenizer_gen"), (record, "tokenizer_gen"), (record, "trainer"))
    )
    tokens = model["warm_start"]["tokens"]
    assert before["size"] <= 60 < tokenizer["size"] == tokens["kept"] + tokens["new"]
    assert tokens["new"] >= 3 and tokens["kept"] > 40 and tokens["dropped"] == before["size"] - tokens["kept"]


def test_a_grown_vocabulary_is_as_large_as_the_config_says_or_larger_than_it_was():
    base = {"name": "a", "task": "classification", "example_gen": {"input": "a.csv"}}
    config = check_config({**base, "tokenizer_gen": {"vocabulary_size": 50}, "trainer": {"family": "lstm"}})
    champion = TokenizerFiles("tokenizer", {"properties": {"size": 41}})
    assert with_room(config, champion, 0.2).sections["tokenizer_gen"]["vocabulary_size"] == 50
    assert with_room(config, champion, 0.5).sections["tokenizer_gen"]["vocabulary_size"] == 62
    assert config.sections["tokenizer_gen"]["vocabulary_size"] == 50


def test_a_grown_vocabulary_under_counted_ngrams_is_an_error_that_says_what_to_do(folder, capsys):
    (folder / "span-3.csv").unlink()
    with (folder / "span-4.csv").open("w") as file:
        file.write("opinion,verdict,shop\n")
        file.writelines(f"unheard{n % 7} of{n % 5} words{n % 3} fine,good,north\n" for n in range(100))
    assert retrain(folder, *GROWS) == 1
    assert "counts n-grams of the vocabulary, which cannot grow under it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line, message",
    [
        ("warm_start.epoch=3", "warm_start.epoch: unknown key; did you mean 'epochs'?"),
        ("warm_start.family=lstm", "warm_start.family: a model that goes on from another is of its family"),
        ("example_gen.spans=newest", "example_gen.spans: "),
        ("example_gen.spans=7-9", "example_gen.spans: got '7-9', and the input has spans 1, 2"),
        ("comparator.slices=['shops']", "comparator.slices: the examples have no 'shops'; did you mean 'shop'?"),
        ("comparator.metric=acuracy", "comparator.metric: 'classification' has no 'acuracy'; did you mean 'accuracy'?"),
        ("comparator.rule=best", "comparator.rule: input should be 'not_worse' or 'better'"),
    ],
)
def test_mistakes_are_named(folder, capsys, line, message):
    assert retrain(folder, line) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def three(tmp_path):
    """A function that makes the tokens of three spans, and the run that has made them."""
    for span, rows in (("1", 120), ("2", 60), ("3", 60)):
        write_rows(tmp_path / f"span-{span}.csv", rows, int(span))
    (tmp_path / "tiny.toml").write_text(CONFIG.format(folder=tmp_path))
    checked, home = load_config(str(tmp_path / "tiny.toml")), epath.Path(tmp_path / "runs")
    (first,) = Run(checked, home, Runtime()).to("tokenizer_gen").artifacts("tokenizer_gen")
    return lambda: Run(checked, home, Runtime(), pinned={"tokenizer_gen": first.artifact}).to("transform")


def test_a_changed_span_is_read_again_and_those_after_it_keep_their_tokens(three, tmp_path):
    three()
    with (tmp_path / "span-2.csv").open("a") as file:
        file.writelines(f"one more fine thing for {n},good,north\n" for n in range(30))  # some in the test split
    made = {(run.stage, run.span) for run in three().made if not run.cached}
    assert {("example_gen", "2"), ("transform", "2"), ("split_guard", "3")} <= made
    assert not made & {("transform", "1"), ("transform", "3"), ("example_gen", "3"), ("split_guard", "1")}


def test_rows_of_a_new_span_that_an_earlier_test_split_has_are_not_trained_on(three, tmp_path):
    before = three()
    test = [run.artifact for run in before.artifacts("example_gen")][0].shards("test")
    texts = [text for shard in test for text in read_table(shard).column("text").to_pylist()]
    with (tmp_path / "span-3.csv").open("a") as file:
        file.writelines(f"{text.upper()},good,north\n" for text in texts)
    after = three()
    rows, kept, guards = [], [], []
    for run in (before, after):
        examples, guard, tokens = (
            next(made.artifact.properties for made in run.artifacts(stage) if made.span == "3")
            for stage in ("example_gen", "split_guard", "transform")
        )
        rows.append(sum(examples["rows"].values()))
        kept.append(sum(tokens["splits"][split]["texts"] for split in ("train", "valid")))
        guards.append(guard)
    assert rows[1] - rows[0] == len(texts)
    assert guards[0]["exact"] == 0 and guards[1]["exact"] > len(texts) / 2
    assert kept[0] == kept[1]
    record = after.record()
    assert record["leaks"]["3"]["exact"] == guards[1]["exact"]
    assert f"span 3: {guards[1]['exact']} exact" in "\n".join(summary(record))


def test_older_spans_may_weigh_less(folder):
    from components.artifacts import Tokens
    from components.rows import rows_of
    from models.families import FAMILIES
    from models.tasks import TASKS

    record = latest(folder)
    tokens = [Tokens.load(folder / run["artifact"]) for run in record["stages"]["transform"]][:2]
    rows = [each.properties["splits"]["train"]["texts"] for each in tokens]
    family, task = FAMILIES["lstm"](), TASKS["classification"]()
    store = rows_of(tokens, "train", ["bad", "good"], family, 0.5, task, 16, None)
    assert store.weights.tolist() == [0.25] * rows[0] + [1.0] * rows[1]
    assert set(rows_of(tokens, "train", ["bad", "good"], family, 0.0, task, 16, None).weights.tolist()) == {1.0}


@pytest.fixture
def two(folder, tmp_path):
    """A copy of the project after spans 1 and 2, which has pushed twice."""
    for name in ("span-1.csv", "span-2.csv"):
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "tiny.toml").write_text((folder / "tiny.toml").read_text().replace(str(folder), str(tmp_path)))
    copy_home(folder / "runs", tmp_path / "runs")
    return tmp_path


def killed_after_its_push(two, records: int) -> dict:
    """Leaves a home as the retrain over span 2 did that was killed when so many records were there; its record."""
    root = two / "runs/tiny"
    pushed = json.loads((root / "history/3.json").read_text())
    for path in (root / "history").iterdir():
        if int(path.stem) > records:
            path.unlink()
    shutil.copy(root / f"history/{records}.json", root / "latest.json")
    (root / "unfinished.json").write_text(json.dumps({str(two / "tiny.toml"): {"stages": pushed["stages"]}}))
    return pushed


def test_a_retrain_that_was_killed_before_its_record_ends_as_it_would_have(two):
    pushed = killed_after_its_push(two, records=2)
    assert retrain(two) == 0
    record = latest(two)
    assert (record["retrain"], record["served"]) == (pushed["retrain"], pushed["served"])
    assert made(record) == set() and not (two / "runs/tiny/history/4.json").exists()
    assert retrain(two) == 0 and latest(two)["retrain"]["decision"] == "keep"


def test_a_retrain_that_was_killed_when_it_had_its_record_has_its_challenger_for_champion(two):
    pushed = killed_after_its_push(two, records=3)
    write_rows(two / "span-3.csv", 60, 3)
    retrain(two)
    assert latest(two)["retrain"]["champion"] == pushed["served"]["model_artifact"]


def test_what_was_rolled_back_does_not_take_over_again(two):
    with pytest.raises(SystemExit):
        main(["rollback", "tiny", "--to", "1", "--home", str(two / "runs")])
    assert retrain(two) == 3
    record = latest(two)
    assert not record["retrain"]["pushed"] and record["served"]["copy_of"] == 1
    assert "the challenger was served before, as version 2, and is not pushed again" in record["retrain"]["verdict"]


def test_a_worker_of_a_cluster_that_is_not_the_chief_takes_no_lock(folder, monkeypatch):
    assert retrain(folder, "example_gen.spans=1-2") == 0, "the chief has made all there is to make"
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    monkeypatch.setattr("pipeline.home.fcntl.flock", lambda *_: pytest.fail("it would wait for the chief for ever"))
    runs = len(list((folder / "runs/tiny/history").iterdir()))
    assert retrain(folder, "example_gen.spans=1-2") == 0
    assert len(list((folder / "runs/tiny/history").iterdir())) == runs, "the record is the chief's"
