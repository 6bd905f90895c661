"""Language models, translation and summaries: what they reach in their time.

    python -m benchmarks.tasks_language FOLDER ROW...    each row is resumable: its stages and checkpoints are in FOLDER
    python -m benchmarks.tasks_language FOLDER           the table of what the rows gave

A row that was stopped goes on where it was. Wants ../shared/data (benchmarks/common.py). The learning rate falls with
the epochs, which are set to what two idle cores do in the time that the row has: PTB 40 minutes, Tatoeba 45,
Shakespeare 20.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import CORPORA, artifact, folder_and_rows, print_kept, run, value

PTB = CORPORA / "ptb_mikolov"
PTB_WORDS = {
    "kind": "words",
    "vocabulary_size": 10_004,  # 9,999 words, the end of a line, and four special tokens that no text has
    "min_count": 1,
    "options": {"lowercase": False, "punctuation": "attached"},
}
BLOCK = 65
HELD_OUT = 2000
PAIRS = 100_000
SENTENCES = {
    "lstm": {
        "family": {"name": "lstm", "width": 256, "embedding": 256, "layers": 1, "dropout": 0.3, "attention": "luong"},
        "epochs": 8,
        "batch_tokens": 4096,
        "optimizer": {"learning_rate": 2e-3, "schedule": "linear", "warmup": 0.05},
    },
    "transformer": {
        "family": {"name": "transformer", "layers": 3, "width": 256, "heads": 4, "dropout": 0.1},
        "epochs": 6,
        "batch_tokens": 4096,
        "optimizer": {"learning_rate": 1e-3, "schedule": "linear", "warmup": 0.1},
        "precision": "mixed_bfloat16",
        "head": {"label_smoothing": 0.1},
    },
}


def ptb(folder: Path, name: str, family: dict[str, Any], trainer: dict[str, Any], wanted: int) -> dict[str, Any]:
    """Perplexity of PTB's valid words, ends of lines among them: of blocks, as Zaremba et al. 2014 count it but for
    their carried state, and line by line, each from its beginning."""
    record = run(
        {
            "name": f"ptb-{name}",
            "task": "language_modeling",
            "example_gen": {"input": {s: str(PTB / f"ptb.{f}.txt") for s, f in SPLITS.items()}},
            "tokenizer_gen": PTB_WORDS,
            "transform": {"max_tokens": BLOCK},
            "trainer": {"family": family, "checkpoint_seconds": 60.0, **trainer},
        },
        folder / "runs",
    )
    with (artifact(record, "trainer") / "history.csv").open() as file:
        epochs = list(csv.DictReader(file))
    curve = " ".join(f"{float(row['val_perplexity']):.0f}" for row in epochs)
    return {
        "result": f"{float(epochs[-1]['val_perplexity']):.1f}",
        "beside": f"by epoch {curve}; line by line {value(record, 'word_perplexity'):.1f}; "
        f"unigrams {record['evaluation']['baseline']['word_perplexity']:.0f}",
        "seconds": f"{record['stages']['trainer'][0]['seconds']:.0f}",
        "wanted": f"<= {wanted}",
    }


SPLITS = {"train": "train", "valid": "valid", "test": "valid"}


def translate(folder: Path, name: str) -> dict[str, Any]:
    """BLEU on sentences whose English is in no training pair, greedy and with four beams, one model."""
    setting = SENTENCES[name]
    files = _tatoeba(folder)
    scores = {}
    for method, generation in (("greedy", {"method": "greedy"}), ("beam", {"method": "beam", "beams": 4})):
        head = {**setting.get("head", {}), "generation": {**generation, "max_tokens": 48}}
        if method == "greedy":
            record = run(_translation(name, files, {**setting, "head": head}), folder / "runs")
            baseline = record["evaluation"]["baseline"]["bleu"]
            scores[method] = value(record, "bleu"), value(record, "chrf")
        else:
            scores[method] = _with_beams(record, files["test"], generation)
    (greedy, chrf), beam = scores["greedy"], scores["beam"]
    return {
        "result": f"greedy {greedy:.1f}, beam 4 {beam:.1f}",
        "beside": f"chrF {chrf:.1f}; copied source {baseline:.1f}",
        "seconds": f"{record['stages']['trainer'][0]['seconds']:.0f}",
        "wanted": f"BLEU >= {20 if name == 'transformer' else 16}, beam not below greedy",
    }


def _translation(name: str, files: dict[str, str], trainer: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"tatoeba-{name}",
        "task": "text_to_text",
        "example_gen": {
            "input": files,
            "format": {"name": "tsv", "columns": ["text", "target"], "quoting": False},
            "splits": {"train": 0.99, "valid": 0.01},
        },
        "tokenizer_gen": {"kind": "sentencepiece", "vocabulary_size": 8000, "options": {"model_type": "bpe"}},
        "transform": {"max_tokens": 64},
        "trainer": {"checkpoint_seconds": 60.0, **trainer},
        "evaluator": {"resamples": 200},
    }


def _with_beams(record: dict[str, Any], path: str, generation: dict[str, Any]) -> float:
    """BLEU of the same model's answers with other options, without training it again."""
    from sacrebleu.metrics import BLEU

    from components.saved_model import find_model
    from components.writing import write

    rows = [line.split("\t") for line in Path(path).read_text().splitlines()]
    directory, properties = find_model(artifact(record, "trainer"))
    written = []
    for start in range(0, len(rows), 250):
        prompts = [source for source, _ in rows[start : start + 250]]
        written += [best["text"] for best, *_ in write(directory, properties, prompts, generation, ())]
    return BLEU().corpus_score(written, [[target for _, target in rows]]).score


def _tatoeba(folder: Path) -> dict[str, str]:
    """100,000 pairs to learn from and 2,000 English sentences apart, one translation each, drawn with a seed."""
    import random

    lines = (CORPORA / "tatoeba_eng_spa" / "spa.txt").read_text(encoding="utf-8").splitlines()
    pairs = [tuple(line.split("\t")[:2]) for line in lines if line.count("\t")]
    english = sorted({source for source, _ in pairs})
    random.Random(0).shuffle(english)
    apart = set(english[:HELD_OUT])
    train = [pair for pair in pairs if pair[0] not in apart]
    random.Random(0).shuffle(train)
    first = dict(reversed([pair for pair in pairs if pair[0] in apart]))  # of several translations the first
    parts = {"train": train[:PAIRS], "test": sorted(first.items())}
    for split, rows in parts.items():
        (folder / f"tatoeba-{split}.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    return {split: str(folder / f"tatoeba-{split}.tsv") for split in parts}


def summaries(folder: Path, family: dict[str, Any]) -> dict[str, Any]:
    """ROUGE of BBC summaries beside the articles' first three sentences."""
    record = run(
        {
            "name": f"bbc-{family['name']}",
            "task": "text_to_text",
            "example_gen": {
                "input": str(CORPORA / "bbc_news_summary" / "bbc_news_summary.jsonl"),
                "fields": {"text": "article", "target": "summary"},
            },
            "tokenizer_gen": {"kind": "sentencepiece", "vocabulary_size": 8000},
            "transform": {"max_tokens": 384},
            "trainer": {
                "family": family,
                "epochs": 8,
                "batch_tokens": 4096,
                "checkpoint_seconds": 60.0,
                "precision": "mixed_bfloat16",
                "head": {"generation": {"max_tokens": 200, "no_repeat_ngram": 3}},
            },
            "evaluator": {"resamples": 100},
        },
        folder / "runs",
    )
    names, lead = ("rouge_1", "rouge_2", "rouge_l"), record["evaluation"]["baseline"]
    return {
        "result": " ".join(f"{value(record, name):.3f}" for name in names),
        "beside": "lead-3 " + " ".join(f"{lead[name]:.3f}" for name in names),
        "seconds": f"{record['stages']['trainer'][0]['seconds']:.0f}",
        "wanted": "printed",
    }


def shakespeare(folder: Path) -> dict[str, Any]:
    """Bits per byte of the last tenth of tiny Shakespeare, 400 lines at a time, and a sample."""
    from components.saved_model import find_model
    from components.writing import write

    lines = (CORPORA / "tinyshakespeare" / "input.txt").read_text().splitlines()
    bounds = {"train": (0.0, 0.85), "valid": (0.85, 0.9), "test": (0.9, 1.0)}
    files = {}
    for split, (start, end) in bounds.items():
        part = lines[int(start * len(lines)) : int(end * len(lines))]
        texts = ["\n".join(part[n : n + 400]) for n in range(0, len(part), 400)]
        path = folder / f"shakespeare-{split}.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts if text.strip()))
        files[split] = str(path)
    record = run(
        {
            "name": "shakespeare",
            "task": "language_modeling",
            "example_gen": {"input": files},
            "tokenizer_gen": {"kind": "bpe", "vocabulary_size": 1000},
            "transform": {"max_tokens": 128},
            "trainer": {
                "head": {"stride": 16},
                "family": {"name": "gpt2", "layers": 2, "width": 128, "heads": 4, "dropout": 0.1},
                "epochs": 20,
                "batch_tokens": 2048,
                "optimizer": {"learning_rate": 2e-3, "schedule": "cosine", "warmup": 0.05},
                "early_stopping": {"metric": "loss", "patience": 3},
                "checkpoint_seconds": 60.0,
            },
        },
        folder / "runs",
    )
    directory, properties = find_model(artifact(record, "trainer"))
    options = {"method": "sample", "temperature": 0.8, "top_p": 0.9, "max_tokens": 60, "seed": 1}
    ((sample,),) = write(directory, properties, ["KING RICHARD:\n"], options, ())
    return {
        "result": f"{value(record, 'bits_per_byte'):.3f}",
        "beside": f"unigrams {record['evaluation']['baseline']['bits_per_byte']:.3f}; sample: {sample['text']!r}",
        "seconds": f"{record['stages']['trainer'][0]['seconds']:.0f}",
        "wanted": "<= 2.5",
    }


RNN = {"name": "lstm", "layers": 2, "width": 200, "embedding": 200, "bidirectional": False, "dropout": 0.3}
GPT2 = {"name": "gpt2", "layers": 3, "width": 192, "heads": 4, "dropout": 0.2}
# Zaremba et al. 2014 sum over 20 places where the loss here is their mean: their rate of 1 and norm of 5 are these.
FAST = {"name": "sgd", "momentum": 0.0, "learning_rate": 20.0, "clip_norm": 0.25, "schedule": "linear"}
SLOW = {"learning_rate": 2e-3, "schedule": "linear", "warmup": 0.1}
ROWS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "ptb-lstm": lambda folder: ptb(folder, "lstm", RNN, {"epochs": 12, "batch_tokens": 1040, "optimizer": FAST}, 130),
    "ptb-gpt2": lambda folder: ptb(folder, "gpt2", GPT2, {"epochs": 12, "batch_tokens": 2080, "optimizer": SLOW}, 150),
    "tatoeba-lstm": lambda folder: translate(folder, "lstm"),
    "tatoeba-transformer": lambda folder: translate(folder, "transformer"),
    "bbc-transformer": lambda folder: summaries(folder, {"name": "transformer", "layers": 2, "width": 128, "heads": 4}),
    "bbc-t5": lambda folder: summaries(folder, {"name": "t5", "layers": 2, "width": 128, "heads": 4}),
    "shakespeare": shakespeare,
}


def main() -> None:
    folder, names = folder_and_rows(ROWS, __doc__ or "")
    folder = folder.absolute()
    for name in names:
        (folder / "rows" / f"{name}.json").write_text(json.dumps(ROWS[name](folder)))
    header = ("row", "result", "beside", "training seconds", "wanted")
    print_kept("language", header, ("result", "beside", "seconds", "wanted"), ROWS, folder)


if __name__ == "__main__":
    main()
