"""The data path: CPU per row of the stages against bare loops, two cores against one, peak memory.

    python -m benchmarks.data_path          every row of the table
    python -m benchmarks.data_path --rows 20000   quicker, less exact

Both sides of a ratio run in this process, in turns, on the same file, and on as many cores: one, as two that share
caches and a clock take more CPU for the same work. CPU is the process's own (all threads), so other work on the machine
hardly counts. What two cores give is shown beside what they give two bare loops, which share nothing. Peak memory runs
in processes of its own.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.quiet import prepare_imports

prepare_imports()  # as the command line does

WORDS, BYTES = 60, 383  # mean words and bytes of a row
TURNS = 9  # single ones swing by 5 % of CPU, and by 15 % of what two cores give


def write_texts(path: Path, rows: int) -> None:
    """Synthetic reviews: words of a Zipf-like vocabulary of 30,000, log-normal lengths, two labels; CSV."""
    random = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    vocabulary = ["".join(random.choice(letters, size)) for size in random.integers(2, 9, 30_000)]
    shares = 1 / np.arange(2, 30_002)
    with path.open("w") as file:
        file.write("text,label\n")
        for start in range(0, rows, 10_000):
            lengths = np.clip(random.lognormal(np.log(WORDS) - 0.08, 0.4, min(10_000, rows - start)), 5, 300).astype(
                int
            )
            words = random.choice(30_000, lengths.sum(), p=shares / shares.sum())
            for part in np.split(words, np.cumsum(lengths)[:-1]):
                file.write(" ".join([vocabulary[w] for w in part]) + f",{'pos' if part[0] % 2 else 'neg'}\n")


class Stages:
    """The stages from the CSV to the token store, one at a time."""

    def __init__(self, csv: Path, home: Path, workers: int = 0):
        from components.base import Runtime

        self.csv, self.home = csv, home
        self.runtime = Runtime(beam={"direct_num_workers": workers} if workers else {})

    def make(self, stage, **inputs):
        artifact = stage.kind(self.home / stage.name / "0")
        if artifact.path.exists():
            artifact.path.rmtree()
        artifact.clear()
        stage.function(**{stage.output: artifact}, **inputs, runtime=self.runtime)
        artifact.commit()
        return artifact

    def example_gen(self):
        from components.example_gen import example_gen

        return self.make(example_gen, task="classification", input=str(self.csv))

    def statistics_gen(self, examples):
        from components.statistics_gen import statistics_gen

        return self.make(statistics_gen, examples=examples)

    def tokenizer_gen(self, examples):
        from components.tokenizer_gen import tokenizer_gen

        options = {"strip_accents": True}  # the bare loop's normalisation
        return self.make(tokenizer_gen, examples=[examples], kind="wordpiece", vocabulary_size=8000, options=options)

    def transform(self, examples, tokenizer):
        from components.transform import transform

        inputs = {"examples": examples, "tokenizer": tokenizer, "guard": None}
        return self.make(transform, **inputs, task="classification", max_tokens=256)


def bare_loop(csv: Path, vocabulary: Path) -> None:
    """Reads and tokenises in a plain loop and writes nothing: TF Text's FastBertTokenizer, 1024 rows a call."""
    import tensorflow as tf
    import tensorflow_text as tf_text

    words = vocabulary.read_text().splitlines()
    tokenizer = tf_text.FastBertTokenizer(words, lower_case_nfd_strip_accents=True, token_out_type=tf.int32)
    encode = tf.function(
        lambda x: tokenizer.tokenize(x).flat_values, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    with csv.open("rb") as file:
        next(file)
        while lines := file.readlines(1024 * BYTES):
            encode([line.rsplit(b",", 1)[0] for line in lines]).numpy()


def naive_beam(csv: Path, vocabulary: Path, out: Path) -> None:
    """Element-wise Beam: ReadFromText, tokenise one row, WriteToTFRecord of tf.train.Example."""
    import apache_beam as beam
    import tensorflow as tf
    import tensorflow_text as tf_text

    words = vocabulary.read_text().splitlines()
    tokenizer = tf_text.FastBertTokenizer(words, lower_case_nfd_strip_accents=True, token_out_type=tf.int32)
    encode = tf.function(lambda x: tokenizer.tokenize(x).flat_values, input_signature=[tf.TensorSpec([1], tf.string)])

    def example(line: str) -> bytes:
        ids = encode([line.rsplit(",", 1)[0]]).numpy().tolist()
        feature = tf.train.Feature(int64_list=tf.train.Int64List(value=ids))
        return tf.train.Example(features=tf.train.Features(feature={"ids": feature})).SerializeToString()

    with beam.Pipeline(runner="FnApiRunner") as p:
        lines = p | beam.io.ReadFromText(str(csv), skip_header_lines=1)
        lines | beam.Map(example) | beam.io.WriteToTFRecord(str(out / "naive"))


def cpu(work, *args) -> float:
    start = time.process_time()
    work(*args)
    return time.process_time() - start


def wall(work, *args) -> float:
    start = time.perf_counter()
    work(*args)
    return time.perf_counter() - start


def loops_at_once(processes: int, csv: Path, vocabulary: Path) -> float:
    """Seconds until each of these processes has read and tokenised the file, imports and the first loop left out."""
    code = f"from benchmarks.data_path import timed_loop; timed_loop({str(csv)!r}, {str(vocabulary)!r})"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    started = [subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) for _ in range(processes)]
    for each in started:
        each.stdout.readline()  # it is ready
    begin = time.perf_counter()
    for each in started:
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in started:
        each.stdout.readline()
    seconds = time.perf_counter() - begin
    for each in started:
        each.communicate()
    return seconds


def timed_loop(csv: str, vocabulary: str) -> None:
    bare_loop(Path(csv), Path(vocabulary))
    print("ready", flush=True)
    sys.stdin.readline()
    bare_loop(Path(csv), Path(vocabulary))
    print("done", flush=True)


def measure(rows: int) -> list[tuple[str, str, str]]:
    """(what, figure, wanted) for every row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        csv, home = Path(folder, "texts.csv"), Path(folder, "home")
        write_texts(csv, rows)
        stages = Stages(csv, home, workers=1)
        examples = stages.example_gen()
        tokenizer = stages.tokenizer_gen(examples)
        vocabulary = Path(str(tokenizer.path), "vocab.txt")
        bare_loop(csv, vocabulary), stages.transform(examples, tokenizer)  # traces and imports are not timed
        times: dict[str, list[float]] = {"bare": [], "example_gen": [], "statistics_gen": [], "transform": []}
        for _ in range(TURNS):
            times["bare"].append(cpu(bare_loop, csv, vocabulary))
            times["example_gen"].append(cpu(stages.example_gen))
            times["statistics_gen"].append(cpu(stages.statistics_gen, examples))
            times["transform"].append(cpu(stages.transform, examples, tokenizer))
        small = Path(folder, "small.csv")
        write_texts(small, min(rows, 20_000))
        naive = cpu(naive_beam, small, vocabulary, Path(folder)) / min(rows, 20_000)
        per_row = {name: statistics.median(found) / rows * 1e6 for name, found in times.items()}
        cores = {n: [] for n in (1, 2)}
        loops = {n: [] for n in (1, 2)}
        for _ in range(TURNS):
            for n in cores:
                cores[n].append(wall(Stages(csv, home, n).transform, examples, tokenizer))
                loops[n].append(loops_at_once(n, csv, vocabulary))
        together = per_row["example_gen"] + per_row["statistics_gen"] + per_row["transform"]
        two = statistics.median(cores[1]) / statistics.median(cores[2])
        most = 2 * statistics.median(loops[1]) / statistics.median(loops[2])
        found = [(f"{name}, CPU", f"{value:.1f} us a row", "") for name, value in per_row.items()]
        found.append(("transform / bare loop", f"{per_row['transform'] / per_row['bare']:.2f}x", "<= 1.15x"))
        found.append(("all three / bare loop", f"{together / per_row['bare']:.2f}x", "<= 2.5x"))
        found.append(("element-wise Beam / transform", f"{naive * 1e6 / per_row['transform']:.1f}x", ">= 10x"))
        found.append(("transform, one core / two, wall", f"{two:.2f}x", ">= 1.4x"))
        found.append(("the most that two cores give: bare loops", f"{most:.2f}x", ""))
    return found


def peak_memory(rows: int) -> float:
    """GB at most resident in a process of its own that runs every stage to the token store."""
    code = f"from benchmarks.data_path import run_all; run_all({rows})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def run_all(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        csv = Path(folder, "texts.csv")
        subprocess.run(
            [sys.executable, "-c", f"from benchmarks.data_path import *; write_texts(Path({str(csv)!r}), {rows})"],
            check=True,
        )
        stages = Stages(csv, Path(folder, "home"))
        examples = stages.example_gen()
        stages.statistics_gen(examples)
        stages.transform(examples, stages.tokenizer_gen(examples))
    status = Path("/proc/self/status").read_text()  # getrusage would count what the parent held before exec
    print(int(status.split("VmHWM:")[1].split()[0]) / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    rows = parser.parse_args().rows
    table = measure(rows)
    few, many = peak_memory(rows), peak_memory(5 * rows)
    table.append((f"peak memory, {rows} and {5 * rows} rows", f"{few:.2f} and {many:.2f} GB", "within 15 %, <= 1.2 GB"))
    for what, figure, wanted in table:
        print(f"{what:<40} {figure:>24}   {wanted}")


if __name__ == "__main__":
    main()
