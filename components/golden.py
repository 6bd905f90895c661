"""Golden requests: questions and their answers that travel inside a SavedModel, so that it can be proven anywhere.

`write_golden` puts them there, with the requests that warm a server up; `replay` asks them again in TensorFlow's C++
runtime, the one that TF Serving has. A line of `assets.extra/golden.jsonl` is a request and its answer, in the words of
TF Serving's REST interface.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple

from etils import epath

from components.native_client import Side, ask_native, signatures
from components.native_session import from_json, to_json
from components.saved_model import SIGNATURE, as_inputs, load_exported
from components.trusted import check_trusted
from components.warmup import read_warmup, write_warmup
from data.errors import StageError

GOLDEN = "assets.extra/golden.jsonl"
ROWS = 32  # of the examples: as many as the largest batch that warms a server up
WARMUP_ROWS = (1, 8, ROWS)
GOLDEN_ROWS = 8
OPENING = 40  # bytes of each where the answer has a vector a token: the file stays small
ODD = {
    "an empty text": b"",
    "bytes that are no UTF-8": b"\xff\xfe\x00 \xc3(",
    "a text of 20,000 words": b"word " * 20_000,
}
RELATIVE, ABSOLUTE = 1e-4, 1e-5  # tolerance: another CPU adds in another order


class Golden(NamedTuple):
    """A request and its answer.

    request: {signature_name, inputs: {name: rows}}; response: {outputs: {name: rows}} or {error}.
    """

    name: str
    request: dict[str, Any]
    response: dict[str, Any]


def write_golden(saved_model: epath.PathLike, texts: Mapping[str, Sequence[bytes]]) -> None:
    """Puts golden requests, with the answers of this process, and warm-up requests into a SavedModel.

    texts: some rows of examples, one list for each text field of the model. Raises StageError where there is none,
    or a signature has inputs that nobody here knows to make of texts.
    """
    kept = {name: list(column[:ROWS]) for name, column in texts.items()}
    if not all(kept.values()):
        raise StageError(f"{saved_model}: got no texts to ask it; wanted one or more of each of {', '.join(kept)}")
    sides = signatures(saved_model)
    requests = list(_requests(sides, kept))
    answers = _answers_here(saved_model, [request for _, request in requests])
    path = epath.Path(saved_model) / GOLDEN
    path.parent.mkdir(parents=True, exist_ok=True)
    golden = (Golden(*request, answer) for request, answer in zip(requests, answers, strict=True))
    path.write_text("".join(json.dumps(g._asdict(), ensure_ascii=False, sort_keys=True) + "\n" for g in golden))
    write_warmup(saved_model, list(_warmup(sides, kept)))


def read_golden(saved_model: epath.PathLike) -> list[Golden]:
    """The golden requests inside a SavedModel. Raises StageError where it has none."""
    try:
        text = (epath.Path(saved_model) / GOLDEN).read_text()
    except FileNotFoundError:
        raise StageError(
            f"{saved_model}: no {GOLDEN} inside; wanted a SavedModel that this version of Polisemia exported"
        ) from None
    return [Golden(**json.loads(line)) for line in text.split("\n") if line]


def replay(saved_model: epath.PathLike, timed: int = 0, packages: str = "") -> dict[str, float]:
    """Loads a SavedModel in a process with TensorFlow's C++ runtime alone, warms it as TF Serving does, and asks its
    golden requests again.

    timed: how often one row is asked, to measure. packages: a folder with the wheels of another TensorFlow to do it in.
    Returns what `native_session.work` measures. Raises StageError that names the signature and the request that fail.
    """
    golden = read_golden(saved_model)
    check_trusted(saved_model)
    answered = ask_native(saved_model, [each.request for each in golden], read_warmup(saved_model), timed, packages)
    compare_all(golden, answered.pop("answers"), f"{saved_model}, in TensorFlow's C++ runtime,")
    return answered


def compare_all(golden: Sequence[Golden], answers: Sequence[Mapping[str, Any]], who: str) -> None:
    """Raises StageError, with the signature and the request in it, for the first answer that is not the golden one.

    who: names the model and what answered, in the message.
    """
    for each, answer in zip(golden, answers, strict=True):
        _compare(each, answer, who)


def _compare(golden: Golden, answer: Mapping[str, Any], who: str) -> None:
    import numpy as np

    where = f"the request with {golden.name} to signature '{golden.request['signature_name']}'"
    for said in (golden.response, answer):
        if "error" in said:
            raise StageError(f"{who} fails at {where}: {said['error']}")
    wanted, got = golden.response["outputs"], answer["outputs"]
    if wanted.keys() != got.keys():
        raise StageError(f"{who} answers {sorted(got)} to {where}; wanted {sorted(wanted)}")
    for output, value in wanted.items():
        ours, theirs = np.asarray(value), np.asarray(got[output])
        if ours.dtype.kind in "fiub" and theirs.dtype.kind in "fiub":
            if not np.isfinite(theirs).all():
                raise StageError(f"{who} answers '{output}' that is not finite to {where}")
            same = ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=RELATIVE, atol=ABSOLUTE)
        else:
            same = value == got[output]
        if not same:
            raise StageError(
                f"{who} answers another '{output}' to {where}: {str(got[output])[:200]}; wanted {str(value)[:200]}"
            )


def _requests(sides: Mapping[str, dict[str, Side]], texts: Mapping[str, list[bytes]]) -> Iterator[tuple[str, dict]]:
    """(name, request) of every signature: the first rows, and texts that nobody would train on."""
    for name, side in sides.items():
        by_token = any(rank > 2 for rank in side["outputs"].ranks.values())
        rows = {
            field: [t[: OPENING if by_token else None] for t in column[:GOLDEN_ROWS]] for field, column in texts.items()
        }
        yield f"{len(next(iter(rows.values())))} rows", request_of(name, side, rows)
        for what, text in ODD.items():
            if not (by_token and len(text) > OPENING):
                yield what, request_of(name, side, dict.fromkeys(texts, [text]))


def _warmup(sides: Mapping[str, dict[str, Side]], texts: Mapping[str, list[bytes]]) -> Iterator[dict]:
    """Some batch sizes of the answer, one row of each other signature."""
    for name, side in sides.items():
        for count in WARMUP_ROWS if name == SIGNATURE else WARMUP_ROWS[:1]:
            yield request_of(name, side, {field: list(islice(cycle(column), count)) for field, column in texts.items()})


def request_of(name: str, side: Mapping[str, Side], texts: Mapping[str, list[bytes]]) -> dict[str, Any]:
    """The texts as the signature wants them: by name, or as serialised tf.train.Examples in `inputs`."""
    inputs = as_inputs(name, side["inputs"].endpoints, texts)
    return {"signature_name": name, "inputs": {field: to_json(rows) for field, rows in inputs.items()}}


def _answers_here(saved_model: epath.PathLike, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The answers of the loader that the evaluator uses, on the CPU: {outputs} or {error} a request."""
    import tensorflow as tf

    signatures = load_exported(saved_model).signatures

    def answer(request: Mapping[str, Any]) -> dict[str, Any]:
        signature = signatures[request["signature_name"]]
        specs = signature.structured_input_signature[1]
        inputs = {name: tf.constant(from_json(rows), specs[name].dtype) for name, rows in request["inputs"].items()}
        try:
            found = signature(**inputs)
        except (tf.errors.OpError, UnicodeDecodeError) as error:  # a message may quote bytes of the request
            return {"error": " ".join(str(error).split())}
        return {"outputs": {name: _plain(value.numpy()) for name, value in sorted(found.items())}}

    with tf.device("/CPU:0"):
        return [answer(request) for request in requests]


def _plain(value: Any) -> Any:
    """An array as JSON holds it; of a float32, the seven digits that it has."""
    if value.dtype.kind != "f":
        return to_json(value.tolist())
    import numpy as np

    return np.array([float(f"{number:.7g}") for number in value.ravel().tolist()]).reshape(value.shape).tolist()
