"""Nothing from a config, from data or from a model reaches beyond its place: paths, pickles, hostile graphs."""

import ast
import json
import subprocess
from pathlib import Path

import pytest
from etils import epath

from components.sources import find_files, find_spans
from components.trusted import check_trusted
from data.errors import ConfigError, StageError
from pipeline.cli import main
from pipeline.config import check_config
from pipeline.serve import find_served
from tests.pipeline.conftest import CONFIG, write_rows

ROOT = Path(__file__).parent.parent.parent
OURS = ("data", "models", "components", "pipeline", "serving")


def sources() -> list[tuple[str, ast.AST]]:
    paths = [path for folder in OURS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [(str(path.relative_to(ROOT)), ast.parse(path.read_text())) for path in paths]


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "..", "", "a\nb", "a\0b"])
def test_names_that_become_folders_are_names(name):
    raw = {"name": name, "task": "classification", "example_gen": {"input": "a.csv"}, "trainer": {"family": "lstm"}}
    with pytest.raises(ConfigError, match="name: got"):
        check_config(raw)
    if name:
        with pytest.raises(ConfigError, match="pusher.model"):
            check_config({**raw, "name": "x", "pusher": {"model": name}})


def test_spans_are_names_and_never_patterns(tmp_path):
    names = ["..", "*", "[ab]", "{label}", "a", "..%2f"]
    for name in names:
        (tmp_path / f"span-{name}.csv").write_text(name)
    pattern = f"{tmp_path}/span-{{span}}.csv"
    assert sorted(find_spans(pattern)) == sorted(names)
    for name in names:
        (found,) = find_files(pattern, name)
        assert Path(found.path).read_text() == name and found.captures == {"span": name}


def test_data_full_of_paths_stays_in_the_home(tmp_path):
    """Labels, kept columns, tokens, spans and file names that look like paths."""
    project, home = tmp_path / "project", tmp_path / "in/home"
    project.mkdir()
    for span, seed in ((".. .", 1), ("..", 2)):
        write_rows(project / f"span-{span}.csv", 150, seed)
        text = (project / f"span-{span}.csv").read_text()
        text = text.replace("good", "../../../good").replace("bad", f"{tmp_path}/evil").replace("north", "../../n/..")
        (project / f"span-{span}.csv").write_text(text.replace("lovely", "../../../../lovely\0/x"))
    (project / "tiny.toml").write_text(CONFIG.format(folder=project))
    before = {path for path in tmp_path.rglob("*") if home not in path.parents}
    arguments = ["--set", "trainer.epochs=2", "--set", "evaluator.resamples=5", "--set", "evaluator.at_least={}"]
    with pytest.raises(SystemExit) as stop:
        main(["run", str(project / "tiny.toml"), "--home", str(home), *arguments])
    assert not stop.value.code
    after = {path for path in tmp_path.rglob("*") if home not in path.parents}
    assert after - before == {home.parent, home}
    for path in home.glob("tiny/*/*/manifest.json"):
        names = json.loads(path.read_text())["files"]
        assert all((path.parent / name).resolve().is_relative_to(path.parent.resolve()) for name in names)
        assert not [name for name in names if "good" in name or "evil" in name or "lovely" in name]


def test_nothing_is_unpickled_or_unpacked():
    """But for the summary of a Beam pass, which the same run wrote a moment before (components/beam.py)."""
    unsafe = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "torch", "zipfile", "tarfile", "yaml"}
    calls = {"eval", "exec", "unpack_archive", "read_pickle", "enable_unsafe_deserialization", "extractall"}
    wrong = []
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                wrong += [(name, m) for m in modules if m.split(".")[0] in unsafe]
            elif isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                wrong += [(name, called)] if called in calls else []
                wrong += [
                    (name, k.arg) for k in node.keywords if k.arg in ("allow_pickle", "safe_mode", "custom_objects")
                ]
    assert wrong == [("components/beam.py", "pickle")]


LAMBDA = {"function": {"class_name": "__lambda__", "config": {"code": "4wAA", "defaults": None, "closure": None}}}
HOSTILE = {
    "a class of another module": {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", "MARK"]}},
    "code in a Lambda": {"module": "keras.layers", "class_name": "Lambda", "config": LAMBDA},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_preset_with_code_in_it_is_refused(what, tmp_path):
    import keras_hub

    from models.hub import load_backbone, save_backbone

    sizes = {"num_layers": 1, "num_heads": 1, "hidden_dim": 4, "intermediate_dim": 4, "max_sequence_length": 8}
    save_backbone(keras_hub.models.BertBackbone(vocabulary_size=5, **sizes), epath.Path(tmp_path))
    assert load_backbone(str(tmp_path), keras_hub.models.BertBackbone)
    mark = tmp_path / "mark"
    config = json.loads((tmp_path / "config.json").read_text())
    config["config"]["dropout"] = json.loads(json.dumps(HOSTILE[what]).replace("MARK", str(mark)))
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="could not be loaded"):
        load_backbone(str(tmp_path), keras_hub.models.BertBackbone)
    assert not mark.exists()


def hostile(kind: str, place: Path, mark: Path) -> Path:
    """A SavedModel that writes `mark`, or lets its caller read a file, in a signature or while it is loaded."""
    import tensorflow as tf

    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.weight = tf.Variable([1.0])

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def answer(self, text):
            if kind == "writes":
                tf.io.write_file(str(mark), "x")
            if kind == "reads":
                return {"score": tf.map_fn(tf.io.read_file, text)}
            if kind == "python":
                return {"score": tf.numpy_function(lambda t: t, [text], tf.string)}
            if kind == "prints":
                tf.print("x", output_stream=f"file://{mark}")
            if kind == "saves":
                tf.raw_ops.SaveV2(
                    prefix=str(mark), tensor_names=["x"], shape_and_slices=[""], tensors=[tf.identity(self.weight)]
                )
            if kind == "datasets":
                rows = tf.data.TextLineDataset("/etc/hostname")
                return {"score": rows.reduce(tf.constant(""), lambda a, b: a + b)}
            return {"score": tf.strings.join([text, text])}

    model = Model()
    tf.saved_model.save(model, str(place), signatures={"serving_default": model.answer})
    (place / "assets.extra").mkdir()
    properties = {"task": "classification", "inputs": ["text"], "max_tokens": 8}
    (place / "assets.extra/polisemia.json").write_text(json.dumps(properties))
    (place / "assets.extra/golden.jsonl").write_text("")
    return place


@pytest.mark.parametrize("kind", ["writes", "reads", "python", "prints", "saves", "datasets"])
def test_a_hostile_saved_model_is_refused_everywhere_and_a_plain_one_is_not(kind, tmp_path, capsys):
    from components.golden import replay

    check_trusted(hostile("plain", tmp_path / "plain", tmp_path))
    mark = tmp_path / "mark"
    place = hostile(kind, tmp_path / "models/1", mark)
    for mention in (place, place.parent):
        with pytest.raises(SystemExit) as stop:
            main(["predict", str(mention), "--text", "/etc/passwd"])
        assert stop.value.code == 1 and "is not loaded, since it holds" in capsys.readouterr().err
        with pytest.raises(StageError, match="is not loaded"):
            find_served(str(mention))
    with pytest.raises(StageError, match="is not loaded"):
        replay(place)
    assert not mark.exists()


def test_a_lying_name_for_the_saver_hides_nothing(tmp_path):
    """A signature that calls the function which saves checkpoints may not have what that function may."""
    from components.native_client import read_graph

    place = hostile("saves", tmp_path / "1", tmp_path / "mark")
    message = read_graph(place)
    (meta,) = message.meta_graphs
    caller = next(node for node in meta.graph_def.node if node.name != "saver_filename" and "f" in node.attr)
    for function in meta.graph_def.library.function:
        if {"MergeV2Checkpoints", "RestoreV2"} & {node.op for node in function.node_def}:
            del function.node_def[:]  # the true saver, so that what is refused is the signature alone
    meta.saver_def.save_tensor_name = f"{caller.name}:0"
    (place / "saved_model.pb").write_bytes(message.SerializeToString())
    with pytest.raises(StageError, match="SaveV2"):
        check_trusted(place)


def test_the_hdf5_files_that_are_read_hold_numbers(tmp_path):
    """Weights come through h5py as arrays and through KerasHub into a model made by our code: no `.keras`, no code."""
    done = subprocess.run(
        [
            "grep",
            "-rnE",
            r"load_model\(|model_from_json|deserialize_keras_object|keras\.saving",
            *OURS,
            "--include=*.py",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout == ""
