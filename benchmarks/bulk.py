"""`polisemia predict` and bulk_inferrer against a bare loop over the same SavedModel, and against Beam's RunInference.

    python -m benchmarks.bulk [--rows 100000] [--family lstm|bert]

The bare loop reads and writes nothing: its texts are in memory, sorted by length over the whole file, 256 rows a call.
`predict` reads a file and writes every row with its answer. All sides have the same model and rows and run in this
process in turns; a ratio is how much of the bare loop's throughput is left, by CPU seconds and by the clock. Peak
memory is that of processes of their own.
"""

import argparse
import csv
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.common import artifact, print_table, run

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data/samples/opiniones"
REPEATS = 3
BATCH_ROWS = 256
BLOCKS = (1 << 18, 1 << 20, 1 << 22)
FAMILIES = {
    "lstm": {"name": "lstm", "width": 64, "embedding": 64},
    "bert": {"name": "bert", "layers": 2, "width": 128, "heads": 2},
}


class Seconds(NamedTuple):
    cpu: float
    wall: float


def write_texts(folder: Path, rows: int) -> None:
    """Rows of one to six reviews of the sample (log-normal) with other keys beside them, in every format."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import tensorflow as tf

    pick, table = random.Random(0), []
    reviews = [r["opinion"] for r in csv.DictReader((SAMPLE / "span-1.csv").open(errors="replace")) if r["opinion"]]
    for n in range(rows):
        count = min(6, max(1, int(pick.lognormvariate(0.3, 0.7))))
        table.append({"id": str(n), "text": " ".join(pick.choices(reviews, k=count)), "shop": pick.choice("abc")})
    with (folder / "texts.jsonl").open("w") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table)
    with (folder / "texts.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    pq.write_table(pa.Table.from_pylist(table), folder / "texts.parquet", row_group_size=10_000)
    with tf.io.TFRecordWriter(str(folder / "texts.tfrecord")) as records:
        for row in table:
            features = {n: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode()])) for n, v in row.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            records.write(example.SerializeToString())


def train(family: str, home: Path) -> Path:
    """The folder of a model artifact, trained briefly: how well it answers does not matter here."""
    config = {
        "name": "bulk",
        "task": "classification",
        "example_gen": {
            "input": str(SAMPLE / "span-1.csv"),
            "fields": {"text": "opinion", "label": "sentimiento"},
            "max_rejected": 0.05,
        },
        "transform": {"max_tokens": 128},
        "trainer": {"family": FAMILIES[family], "epochs": 1},
    }
    return artifact(run(config, home, "trainer"), "trainer")


def bare_loop(signature: Any, texts: list[bytes]) -> None:
    import tensorflow as tf

    texts = sorted(texts, key=len)
    for start in range(0, len(texts), BATCH_ROWS):
        for output in signature(text=tf.constant(texts[start : start + BATCH_ROWS])).values():
            output.numpy()


def predict(model: Path, input: Path, output: str) -> None:
    from components.bulk_inferrer import predict_file
    from components.saved_model import find_model

    predict_file(*find_model(model), str(input), str(input.with_name(output)))


def stage(model: Path, input: Path, block_bytes: int) -> None:
    """bulk_inferrer with one worker."""
    from components import bulk_inferrer
    from components.artifacts import Model, Predictions
    from components.base import Runtime

    predictions = Predictions(input.with_name("predictions"))
    predictions.clear()
    before, bulk_inferrer.BLOCK_BYTES = bulk_inferrer.BLOCK_BYTES, block_bytes
    runtime = Runtime({"direct_num_workers": 1})
    bulk_inferrer.bulk_inferrer(Model.load(model), predictions, runtime, input=str(input))
    bulk_inferrer.BLOCK_BYTES = before


def run_inference(model: Path, input: Path) -> None:
    """The same job, a row an element: ReadFromText, RunInference in batches of 256 on the signature, WriteToText."""
    import apache_beam as beam
    from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        rows = pipeline | beam.io.ReadFromText(str(input)) | beam.Map(lambda line: (line, json.loads(line)["text"]))
        answered = rows | RunInference(KeyedModelHandler(handler(str(model / "saved_model"))))
        answered | beam.Map(with_answer) | beam.io.WriteToText(str(input.with_name("run_inference.jsonl")))


def handler(saved_model: str) -> Any:
    """Beam's own handlers open a SavedModel with Keras, which cannot load it: this is the least that can."""
    import tensorflow as tf
    from apache_beam.ml.inference.base import ModelHandler

    from components.saved_model import SIGNATURE, load_exported

    class Handler(ModelHandler):
        def load_model(self):
            return load_exported(saved_model).signatures[SIGNATURE]

        def run_inference(self, batch, model, inference_args=None):
            found = model(text=tf.constant(batch))
            return list(zip(found["label"].numpy(), found["scores"].numpy(), strict=True))

        def batch_elements_kwargs(self):
            return {"min_batch_size": BATCH_ROWS, "max_batch_size": BATCH_ROWS}

    return Handler()


def with_answer(pair: tuple[str, Any]) -> str:
    line, (label, scores) = pair
    return json.dumps({**json.loads(line), "prediction": {"label": label.decode(), "scores": scores.tolist()}})


def seconds(work: Callable[[], None]) -> Seconds:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Seconds(time.process_time() - cpu, time.perf_counter() - wall)


def measure(sides: dict[str, Callable[[], None]]) -> dict[str, Seconds]:
    """Median seconds of each side, in turns, after one that traces and imports."""
    found: dict[str, list[Seconds]] = {name: [] for name in sides}
    for turn in range(REPEATS + 1):
        for name, work in sides.items():
            print(f"  {name} ...", file=sys.stderr)
            took = seconds(work)
            found[name] += [took] if turn else []
    return {name: Seconds(*map(statistics.median, zip(*took, strict=True))) for name, took in found.items()}


def peak_memory(model: Path, input: Path) -> float:
    """GB at most resident in a process of its own that answers a file into Parquet."""
    code = (
        f"from pathlib import Path; from benchmarks.bulk import predict; predict(Path({str(model)!r}), "
        f"Path({str(input)!r}), 'memory.parquet'); print(Path('/proc/self/status').read_text())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return int(done.stdout.split("VmHWM:")[1].split()[0]) / 1e6


def compare(rows: int, model: Path, folder: Path) -> list[tuple[str, ...]]:
    from components.saved_model import SIGNATURE, load_exported

    write_texts(folder, rows)
    signature = load_exported(model / "saved_model").signatures[SIGNATURE]
    texts = [json.loads(line)["text"].encode() for line in (folder / "texts.jsonl").open()]
    kinds = [("jsonl", "jsonl"), ("csv", "jsonl"), ("tfrecord", "jsonl"), ("parquet", "parquet"), ("jsonl", "parquet")]
    sides: dict[str, Callable[[], None]] = {"bare loop": lambda: bare_loop(signature, texts)}
    for read, written in kinds:
        sides[f"predict, {read} to {written}"] = lambda read=read, written=written: predict(
            model, folder / f"texts.{read}", f"out.{written}"
        )
    for size in BLOCKS:
        sides[f"bulk_inferrer, blocks of {size >> 10} KB"] = lambda size=size: stage(
            model, folder / "texts.jsonl", size
        )
    sides["RunInference"] = lambda: run_inference(model, folder / "texts.jsonl")
    found = measure(sides)
    bare = found["bare loop"]
    return [
        (
            name,
            f"{took.cpu / rows * 1e6:.1f}",
            f"{bare.cpu / took.cpu:.2f}x",
            f"{bare.wall / took.wall:.2f}x",
            ">= 0.85x" if name.startswith("predict") else "",
        )
        for name, took in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--family", choices=FAMILIES, default="lstm")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = train(given.family, folder)
        table = compare(given.rows, model, folder)
        few = peak_memory(model, folder / "texts.jsonl")
        write_texts(folder, 5 * given.rows)
        many = peak_memory(model, folder / "texts.jsonl")
    head = ("what", "CPU, us a row", "throughput / bare, CPU", "by the clock", "wanted")
    print_table(f"{given.rows} rows, {given.family}", [head, *table])
    print(f"\npeak memory, {given.rows} and {5 * given.rows} rows into Parquet: {few:.2f} and {many:.2f} GB")


if __name__ == "__main__":
    main()
