"""Models and texts for benchmarks/serving.py: random weights, tokenizers learned on the embedded sample."""

import csv
import shutil
from collections import Counter
from functools import cache
from pathlib import Path
from unittest.mock import patch

import tensorflow as tf

SAMPLE = Path(__file__).parent.parent / "data" / "samples" / "opiniones"
LABELS = ["negativo", "positivo"]
MAX_TOKENS = 126  # and two that packing adds
WARM = (1, 8, 32)  # batch sizes of the warm-up requests


@cache
def texts() -> list[str]:
    """The sample's reviews, about 35 tokens each."""
    paths = sorted(SAMPLE.glob("span-*.csv"))  # with a few broken rows, as the sample's files have
    rows = [row for path in paths for row in csv.DictReader(path.open(encoding="utf-8", errors="replace"))]
    return [row["opinion"] for row in rows if row["opinion"]]


@cache
def tokenizer(kind: str):
    from data.tokenizers import TOKENIZERS

    counts: Counter[str] = Counter(TOKENIZERS[kind].count(texts()))
    return TOKENIZERS[kind].learn(counts, vocabulary_size=4000)


def save(base: Path, layers: int = 2, width: int = 128, kind: str = "wordpiece", padded: bool = False) -> Path:
    """Version 1 of a classifier in `base`, warm-up requests with it. padded: rows to the full length, in the graph."""
    from components.saved_model import write_properties
    from models import signatures
    from models.build import build_model
    from models.families import FAMILIES
    from models.families.base import Vocabulary
    from models.tasks.classification import Classification

    learned = tokenizer(kind)
    special = None not in (learned.special.start, learned.special.end)
    name = "bert" if special else "transformer"
    family = FAMILIES[name](layers=layers, width=width, heads=max(2, width // 64))
    longest = MAX_TOKENS + 2 if special else MAX_TOKENS
    model = build_model(family, Classification(), Vocabulary.of(learned), longest, LABELS, pairs=False)
    path = base / "1"
    with patch.object(signatures, "_dense", _padded if padded else signatures._dense):
        signatures.export(model, family, Classification(), learned, LABELS, longest, ["text"], path)
    write_properties(path, {"task": "classification", "labels": LABELS, "inputs": ["text"], "max_tokens": longest})
    _warm_up(path, base.name)
    return path


def _padded(ids: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    ids = ids[:, :MAX_TOKENS]
    return ids.to_tensor(shape=[None, MAX_TOKENS]), tf.cast(ids.row_lengths(), tf.int32)


def _warm_up(path: Path, name: str) -> None:
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    (path / "assets.extra").mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        for size in WARM:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.inputs["text"].CopyFrom(tf.make_tensor_proto(texts()[:size]))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def save_tokenizer(path: Path, kind: str) -> Path:
    """The tokenizer alone: `ids` gives what the model's graph begins with, `nothing` what a call itself costs."""
    learned = tokenizer(kind)
    module = tf.Module()
    module.tokenizer = learned.trackables
    specs = [tf.TensorSpec([None], tf.string, name="text")]
    ids = tf.function(lambda text: {"ids": learned.graph(text).to_tensor()}, input_signature=specs, autograph=False)
    nothing = tf.function(lambda text: {"size": tf.size(text)}, input_signature=specs, autograph=False)
    tf.saved_model.save(module, str(path), signatures={"ids": ids, "nothing": nothing})
    return path


def new_version(base: Path, version: int) -> None:
    """Another copy of the newest version, in place at once, as a pusher does it."""
    newest = max((entry for entry in base.iterdir() if entry.name.isdigit()), key=lambda entry: int(entry.name))
    shutil.copytree(newest, base.parent / f"{base.name}.part")
    (base.parent / f"{base.name}.part").rename(base / str(version))
