"""A Python that cannot import Keras, nor anything of ours that would: it answers jobs as `native_session.main` does."""

import json
import sys
from collections.abc import Mapping
from typing import Any

sys.modules["keras"] = None  # importing it now fails

import tensorflow as tf  # noqa: E402

from components.native_session import from_json, to_json  # noqa: E402
from components.saved_model import register_text_ops  # noqa: E402


def main() -> None:
    register_text_ops()
    for line in sys.stdin:
        job = json.loads(line)
        loaded = tf.saved_model.load(job["saved_model"])
        answers = [ask(loaded.signatures[r["signature_name"]], r["inputs"]) for r in job["requests"]]
        print(json.dumps({"answers": answers}), flush=True)


def ask(signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
    found = signature(**{name: tf.constant(from_json(rows), tf.string) for name, rows in inputs.items()})
    return {"outputs": {name: to_json(value.numpy().tolist()) for name, value in found.items()}}
