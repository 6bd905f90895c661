"""Loading as TensorFlow Serving loads: TF Text's ops, no Keras, no XLA; and what a closed model says."""

import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from serving.errors import ServingError
from serving.loading import session_config
from serving.options import Options
from serving.servable import Servable, register_text_ops
from tests.serving.running import floats
from tests.serving.tiny import broken, line

ROOT = Path(__file__).parents[2]

ALONE = """
import sys
sys.modules["keras"] = None  # importing it now fails
import numpy as np
from serving.servable import Servable, disable_xla

disable_xla()
servable = Servable(sys.argv[1])
signature = servable.signatures[sys.argv[2]]
feeds = {signature.inputs["text"].name: np.array(["\\u00c1RBOL".encode()], object)}
(value,) = servable.run(feeds, [each.name for each in signature.outputs.values()]).values()
print(value.tolist()[0].decode())
"""


@pytest.fixture(scope="module")
def text_model(tmp_path_factory):
    """Signatures `folded`, through an op of TF Text, and `compiled`, through XLA."""
    import tensorflow_text

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def folded(self, text):
            return {"folded": tensorflow_text.case_fold_utf8(text)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def compiled(self, text):
            doubled = tf.function(lambda x: 2.0 * x, jit_compile=True)
            return {"size": tf.strings.as_string(doubled(tf.cast(tf.strings.length(text), tf.float32)))}

    path, module = tmp_path_factory.mktemp("text") / "1", Model()
    tf.saved_model.save(module, str(path), signatures={"folded": module.folded, "compiled": module.compiled})
    return path


def alone(path, signature):
    command = [sys.executable, "-c", ALONE, str(path), signature]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_ops_of_tf_text_without_keras(text_model):
    done = alone(text_model, "folded")
    assert done.stdout.split() == ["árbol"], done.stderr


def test_xla_is_refused_as_there(text_model):
    done = alone(text_model, "compiled")
    assert done.returncode and "XLA compilation disabled" in done.stderr


def test_text_ops_are_registered_once():
    register_text_ops()
    register_text_ops()
    assert register_text_ops.cache_info().misses == 1


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return str(line(tmp_path_factory.mktemp("line") / "1", 2.0))


def test_what_cannot_be_loaded_says_why(path, tmp_path):
    for place, tags, part in [
        (str(broken(tmp_path / "1")), ["serve"], "saved_model.pb"),
        (str(tmp_path / "none"), ["serve"], "none"),
        (path, ["gpu"], "could not be found in SavedModel"),
    ]:
        with pytest.raises(ServingError, match=part):
            Servable(place, tags)


def test_a_closed_model_is_unavailable(path):
    servable = Servable(path)
    signature = servable.signatures["serving_default"]
    feeds, fetches = {signature.inputs["x"].name: floats(1)}, [signature.outputs["y"].name]
    assert servable.run(feeds, fetches)[fetches[0]].tolist() == [2]
    servable.close()
    with pytest.raises(ServingError) as caught:
        servable.run(feeds, fetches)
    assert caught.value.code.name == "UNAVAILABLE"


def test_callables_are_bounded(path, monkeypatch):
    monkeypatch.setattr("serving.servable.CALLABLES", 2)
    servable = Servable(path)
    signature = servable.signatures["serving_default"]
    x, y = signature.inputs["x"].name, signature.outputs["y"].name
    read = next(op.outputs[0].name for op in servable._session.graph.get_operations() if op.type == "ReadVariableOp")
    for fetches in ([y], [y, read], [read], [y]):
        servable.run({x: floats(1)}, fetches)
        assert len(servable._callables) <= 2
    servable.close()


def test_what_tensorflow_refuses_to_run_is_a_status(path):
    servable = Servable(path)
    x = servable.signatures["serving_default"].inputs["x"].name
    with pytest.raises(ServingError, match="both fed and fetched") as caught:
        servable.run({x: floats(1)}, [x])
    assert caught.value.code.name == "INVALID_ARGUMENT"
    servable.close()


def test_flags_of_the_session(tmp_path):
    file = tmp_path / "session.txt"
    file.write_text("intra_op_parallelism_threads: 3 inter_op_parallelism_threads: 4 allow_soft_placement: true")
    flags = {"tensorflow_session_config_file": str(file), "tensorflow_intra_op_parallelism": 5}
    config = session_config(Options(**flags, per_process_gpu_memory_fraction=0.5))
    threads = (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads)
    assert threads == (5, 4) and config.allow_soft_placement
    assert config.gpu_options.per_process_gpu_memory_fraction == 0.5
    both = session_config(Options(tensorflow_session_parallelism=2))
    assert (both.intra_op_parallelism_threads, both.inter_op_parallelism_threads) == (2, 2)
