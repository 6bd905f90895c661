"""TensorFlow Serving's APIs over a session: which tensors a request feeds and fetches, and what the answer must be.

A session here is anything with `run(feeds, fetches)` by tensor name: a `Servable`, or a batcher in front of one.
Texts of errors are TensorFlow Serving's (predict_util.cc, classifier.cc, regressor.cc, multi_inference.cc).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from serving.errors import ServingError

DEFAULT_SIGNATURE = "serving_default"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


class Session(Protocol):
    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class Classification:
    """Answer of Classify. Of the two, a signature gives one or both.

    classes: labels <object (bytes)>[examples, classes]. scores: <float32>[examples, classes].
    """

    classes: np.ndarray | None
    scores: np.ndarray | None


def predict(
    session: Session, signature: Any, inputs: Mapping[str, np.ndarray], output_filter: Sequence[str]
) -> dict[str, np.ndarray]:
    """Outputs by their names in the signature; all of them when `output_filter` is empty."""
    feeds = _feeds(signature, inputs)
    seen: set[str] = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            expected = ",".join(sorted(signature.outputs))
            raise _invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {{{expected}}}."
            )
        if alias in seen:
            raise _invalid(f"duplicate output tensor alias: {alias}")
        seen.add(alias)
    names = {alias: signature.outputs[alias].name for alias in output_filter or sorted(signature.outputs)}
    values = session.run(feeds, list(names.values()))
    return {alias: values[name] for alias, name in names.items()}


def _feeds(signature: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if len(inputs) != len(signature.inputs):
        sent, wanted = set(inputs), set(signature.inputs)
        raise _invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({_braced(sent)}) != "
            f"len({_braced(wanted)}). Sent extra: {_braced(sent - wanted)}. "
            f"Missing but required: {_braced(wanted - sent)}."
        )
    for alias in inputs:
        if alias not in signature.inputs:
            raise _invalid(
                f"input tensor alias not found in signature: {alias}. "
                f"Inputs expected to be in the set {_braced(signature.inputs)}."
            )
    return {signature.inputs[alias].name: value for alias, value in inputs.items()}


def _braced(names: Any) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def classify(session: Session, signature: Any, examples: Sequence[bytes]) -> Classification:
    """Classes and scores of serialised tf.train.Examples."""
    feed, fetches = classification_tensors(signature)
    return classification(signature, len(examples), session.run({feed: as_tensor(examples)}, fetches))


def regress(session: Session, signature: Any, examples: Sequence[bytes]) -> np.ndarray:
    """Values <float32>[examples] of serialised tf.train.Examples."""
    feed, fetches = regression_tensors(signature)
    return regression(signature, len(examples), session.run({feed: as_tensor(examples)}, fetches))


def multi_inference(
    session: Session, signatures: Mapping[str, Any], tasks: Sequence[tuple[str, str]], examples: Sequence[bytes]
) -> list[Classification | np.ndarray]:
    """Answers of several signatures over the same Examples, in one run of the graph.

    tasks: (signature name, CLASSIFY or REGRESS) of each.
    """
    feeds: set[str] = set()
    fetches: list[str] = []
    seen: set[str] = set()
    for name, method in tasks:
        if name in seen:
            raise _invalid(f"Duplicate evaluation of signature: {name}")
        seen.add(name)
        if name not in signatures:
            raise _invalid(f"Requested signature not found in model graph: {name}")
        if method not in (CLASSIFY, REGRESS):
            raise ServingError("UNIMPLEMENTED", f"Unsupported signature method_name: {method}")
        tensors = classification_tensors if method == CLASSIFY else regression_tensors
        feed, names = tensors(signatures[name])
        feeds.add(feed)
        if len(feeds) > 1:
            raise _invalid("Input tensor must be the same for all Signatures.")
        fetches += names
    values = session.run({feed: as_tensor(examples) for feed in feeds}, fetches)
    return [
        (classification if method == CLASSIFY else regression)(signatures[name], len(examples), values)
        for name, method in tasks
    ]


def as_tensor(examples: Sequence[bytes]) -> np.ndarray:
    """<object (bytes)>[examples]."""
    if not examples:
        raise _invalid("Input is empty.")
    tensor = np.empty(len(examples), object)
    tensor[:] = examples
    return tensor


def classification_tensors(signature: Any) -> tuple[str, list[str]]:
    """Names of the tensor to feed and of those to fetch."""
    if len(signature.inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise _invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise ServingError("FAILED_PRECONDITION", f"No classification inputs found in SignatureDef: {signature}")
    names = [signature.outputs[alias].name for alias in ("classes", "scores") if alias in signature.outputs]
    if not names:
        raise ServingError(
            "FAILED_PRECONDITION",
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {signature}",
        )
    return signature.inputs["inputs"].name, names


def classification(signature: Any, examples: int, values: Mapping[str, np.ndarray]) -> Classification:
    found = {
        alias: values[signature.outputs[alias].name] for alias in signature.outputs if alias in ("classes", "scores")
    }
    for alias, value in found.items():
        wanted, name = (np.dtype(object), "DT_STRING") if alias == "classes" else (np.dtype(np.float32), "DT_FLOAT")
        if value.ndim != 2:
            raise _invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(value)}")
        if value.dtype != wanted:
            raise _invalid(f"Expected {alias} Tensor of {name}. Got: {_type(value)}")
        if len(value) != examples:
            raise _invalid(f"Expected {alias} output batch size of {examples}. Got: {len(value)}")
    classes, scores = found.get("classes"), found.get("scores")
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise _invalid(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    return Classification(classes, scores)


def regression_tensors(signature: Any) -> tuple[str, list[str]]:
    """Names of the tensor to feed and of the one to fetch."""
    if len(signature.inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise _invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise ServingError("FAILED_PRECONDITION", f"No regression inputs found in SignatureDef: {signature}")
    if "outputs" not in signature.outputs:
        raise ServingError("FAILED_PRECONDITION", f"No regression outputs found in SignatureDef: {signature}")
    return signature.inputs["inputs"].name, [signature.outputs["outputs"].name]


def regression(signature: Any, examples: int, values: Mapping[str, np.ndarray]) -> np.ndarray:
    value = values[signature.outputs["outputs"].name]
    if not (value.ndim == 1 or (value.ndim == 2 and value.shape[1] == 1)):
        raise _invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(value)}"
        )
    if len(value) != examples:
        raise _invalid(f"Input batch size did not match output batch size: {examples} vs. {len(value)}")
    if value.dtype != np.float32:
        raise _invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_type(value)}")
    return value.reshape(-1)


def _invalid(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)


def _shape(value: np.ndarray) -> str:
    return "[" + ",".join(map(str, value.shape)) + "]"


def _type(value: np.ndarray) -> str:
    return types_pb2.DataType.Name(tf.as_dtype(value.dtype).as_datatype_enum)
