"""The models that the conformance cases speak of, and a server of them.

    python -m tests.serving.conformance_models FOLDER     writes the models and FOLDER/models.config

so that the cases can be put to a real server: `tensorflow_model_server --model_config_file=FOLDER/models.config
--allow_version_labels_for_unavailable_models ...`, then `pytest tests/serving --server HOST:GRPC_PORT:REST_PORT`.
"""

import sys
from pathlib import Path

import tensorflow as tf

HALF, TYPES = "half_plus_two", "types"
VERSION, LABEL = 123, "Version_Label"
ECHOED = {"int32": tf.int32, "int8": tf.int8, "uint8": tf.uint8, "int64": tf.int64, "uint32": tf.uint32,
          "uint64": tf.uint64, "float": tf.float32, "double": tf.float64, "bool": tf.bool, "string": tf.string,
          "half": tf.float16}  # fmt: skip


def half_plus_two(path: str) -> None:
    """TensorFlow Serving's own test model: y = x/2 + 2, y2 = x/2 + 3, y3 = x2/2 + 3; all <float32>[B, 1]."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        texts = v1.placeholder(tf.string, name="tf_example")
        features = {
            "x": tf.io.FixedLenFeature([1], tf.float32),
            "x2": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0]),
        }
        parsed = tf.io.parse_example(texts, features)
        x, x2 = tf.identity(parsed["x"], "x"), tf.identity(parsed["x2"], "x2")
        for tensor in (x, x2):
            tensor.set_shape([None, 1])
        half, two, three = (
            v1.get_variable(name, initializer=v) for name, v in zip("abc", (0.5, 2.0, 3.0), strict=True)
        )
        y, y2, y3 = tf.add(half * x, two, "y"), tf.add(half * x, three, "y2"), tf.add(half * x2, three, "y3")
        session.run(v1.global_variables_initializer())
        build = v1.saved_model.signature_def_utils.build_signature_def
        info = v1.saved_model.build_tensor_info

        def signature(inputs, outputs, method):
            named = [{name: info(tensor) for name, tensor in tensors.items()} for tensors in (inputs, outputs)]
            return build(*named, f"tensorflow/serving/{method}")

        signatures = {
            "serving_default": signature({"x": x}, {"y": y}, "predict"),
            "regress_x_to_y": signature({"inputs": texts}, {"outputs": y}, "regress"),
            "regress_x_to_y2": signature({"inputs": texts}, {"outputs": y2}, "regress"),
            "regress_x2_to_y3": signature({"inputs": x2}, {"outputs": y3}, "regress"),
            "classify_x_to_y": signature({"inputs": texts}, {"scores": y}, "classify"),
            "classify_x2_to_y3": signature({"inputs": x2}, {"scores": y3}, "classify"),
        }
        builder = v1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


class Types(tf.Module):
    """Signatures that give back what they get, for what half_plus_two cannot show."""

    def signatures(self) -> dict:
        def echo(dtype):
            spec = tf.TensorSpec(None, dtype, name="x")
            return tf.function(lambda x: {"y": tf.identity(x)}, input_signature=[spec])

        def of(function, **dtypes):
            return tf.function(function, input_signature=[tf.TensorSpec(None, t, name=n) for n, t in dtypes.items()])

        several = {
            "int_tensor": tf.int32,
            "str_tensor": tf.string,
            "float_tensor": tf.float32,
            "dbl_tensor": tf.float64,
        }
        names = ("int_tensor", "str_tensor", "float_tensor", "dbl_tensor")
        numbers = {"x": tf.io.FixedLenFeature([], tf.float32)}
        words = {"names": tf.io.FixedLenFeature([2], tf.string), "ratings": tf.io.FixedLenFeature([2], tf.float32)}
        context = {"query": tf.io.FixedLenFeature([], tf.string), "age": tf.io.FixedLenFeature([], tf.int64)}

        def both(inputs):
            found = tf.io.parse_example(inputs, words)
            return {"classes": found["names"], "scores": found["ratings"]}

        def joined(inputs):
            found = tf.io.parse_example(inputs, context)
            return {"classes": tf.stack([found["query"], tf.strings.as_string(found["age"])], 1)}

        return {
            **{name: echo(dtype) for name, dtype in ECHOED.items()},
            "several": of(lambda *values: dict(zip(names, values, strict=True)), **several),
            "bytes": of(lambda x: {"y_bytes": tf.identity(x)}, x=tf.string),
            "mixed": of(lambda x: {"s_bytes": tf.identity(x), "text": tf.strings.upper(x)}, x=tf.string),
            "scalar": of(lambda x: {"y": tf.reduce_sum(x)}, x=tf.float32),
            "uneven": of(lambda x: {"a": tf.identity(x), "b": tf.concat([x, x], 0)}, x=tf.int32),
            "complex": of(lambda x: {"y": tf.complex(x, x)}, x=tf.float32),
            "none": of(lambda x: {"y": x[:0]}, x=tf.float32),
            "regress": of(lambda inputs: {"outputs": tf.io.parse_example(inputs, numbers)["x"]}, inputs=tf.string),
            "classify": of(both, inputs=tf.string),
            "context": of(joined, inputs=tf.string),
        }


def types(path: str) -> None:
    module = Types()
    tf.saved_model.save(module, path, signatures=module.signatures())


def write(folder: Path) -> Path:
    """Writes both models and their config, which gives half_plus_two a label; returns the config's path."""
    text = ""
    for name, save, labels in (
        (HALF, half_plus_two, f"version_labels {{ key: '{LABEL}' value: {VERSION} }}"),
        (TYPES, types, ""),
    ):
        save(str(folder / name / str(VERSION)))
        policy = f"model_version_policy {{ specific {{ versions: {VERSION} }} }}"
        text += (
            f"config {{ name: '{name}' base_path: '{folder / name}' model_platform: 'tensorflow' {policy} {labels} }}\n"
        )
    path = folder / "models.config"
    path.write_text(f"model_config_list {{\n{text}}}\n")
    return path


if __name__ == "__main__":
    print(write(Path(sys.argv[1]).resolve()))
