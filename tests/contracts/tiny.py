"""The smallest tokenizer, families, examples and batches that the model contracts can be checked on."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import tensorflow as tf

from data.schema import IDS, IDS_PAIR, LABEL, LENGTH, LENGTH_PAIR, TEXT, TEXT_PAIR, WEIGHT
from data.tokenizers.base import SpecialTokens, Tokenizer
from models.build import vocabulary_of
from models.families import FAMILIES
from models.families.base import Family
from models.tasks import TASKS
from models.tasks.base import Task

MAX_TOKENS = 16
# A new family adds its smallest size here; without a line it is checked at its defaults.
SIZES = {
    "bag_of_words": {"ngrams": (1, 2)},
    "tfidf": {"ngrams": (1, 3)},
    "rnn": {"width": 8, "embedding": 8},
    "lstm": {"width": 8, "embedding": 8},
    "gru": {"width": 8, "embedding": 8},
    "transformer": {"layers": 2, "width": 8, "heads": 2},
    "bert": {"layers": 2, "width": 8, "heads": 2},
    "roberta": {"layers": 1, "width": 8, "heads": 2},
    "distilbert": {"layers": 1, "width": 8, "heads": 2},
    "albert": {"layers": 2, "width": 8, "heads": 2, "embedding": 4},
    "gpt2": {"layers": 1, "width": 8, "heads": 2},
    "t5": {"layers": 1, "width": 8, "heads": 2},
}


class Words(Tokenizer):
    """Words between spaces; five special tokens, then the words given."""

    kind = "tiny"

    def __init__(self, words: str):
        self.vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words.split()]
        self.special, self.options = SpecialTokens(0, 1, 2, 3, 4), {}
        ids = tf.range(len(self.vocabulary))
        initial = tf.lookup.KeyValueTensorInitializer(tf.constant(self.vocabulary), ids)
        self.table = tf.lookup.StaticHashTable(initial, default_value=1)

    def graph(self, texts):
        words = tf.strings.split(texts)
        return words.with_values(self.table.lookup(words.values))

    def encode(self, texts):
        ragged = self.graph(tf.constant(list(texts), tf.string, [len(texts)]))
        return ragged.values.numpy(), ragged.row_splits.numpy()

    @property
    def trackables(self):
        return [self.table]

    def _not_here(self, *_, **__):
        raise NotImplementedError

    count = learn = load = save = graph_with_offsets = decode = _not_here


WORDS = Words("good bad film plot not very dull fun")
VOCABULARY = vocabulary_of(WORDS)


def family(name: str, **params) -> Family:
    return FAMILIES[name](**(SIZES.get(name, {}) | params))


def task(name: str) -> Task:
    return TASKS[name]()


def fitting(task_name: str) -> list[str]:
    """Names of the families that give what a task needs."""
    return [name for name, kind in FAMILIES.items() if TASKS[task_name].needs <= kind.offers]


def offering(what: str) -> list[str]:
    """Names of the families that offer something."""
    return [name for name, kind in FAMILIES.items() if what in kind.offers]


def examples(task_name: str, pairs: bool = False) -> tuple[pa.RecordBatch, list[str]]:
    """Eight examples a model of any family can learn by heart, and their labels."""
    texts = [
        "good film",
        "bad film",
        "fun plot",
        "dull plot",
        "very good",
        "very dull",
        "not bad not dull",
        "not good film",
    ]
    columns = {TEXT: pa.array(texts)}
    if pairs:
        columns[TEXT_PAIR] = pa.array(texts[2:] + texts[:2])
    answers = {"classification": {LABEL: pa.array(["yes", "no", "yes", "no", "yes", "no", "yes", "no"])}}
    return pa.record_batch({**columns, **answers[task_name]}), ["no", "yes"]


def batch(task_name: str, length: int, pairs: bool = False, empty: bool = False) -> dict[str, np.ndarray]:
    """The eight examples as a batch of `length` tokens a row; `empty` takes all tokens from the last one."""
    rows, labels = examples(task_name, pairs)
    made = {
        name: column.to_numpy(zero_copy_only=False) for name, column in task(task_name).encode(rows, labels).items()
    }
    made[WEIGHT] = np.ones(len(rows), np.float32)
    for text, ids, count in ((TEXT, IDS, LENGTH), (TEXT_PAIR, IDS_PAIR, LENGTH_PAIR))[: 1 + pairs]:
        flat, splits = WORDS.encode(rows.column(text).to_pylist())
        made[count] = np.diff(splits).astype(np.int32)
        made[count][-1] *= not empty
        made[ids] = np.zeros([len(rows), length], np.int32)
        for row, (start, n) in enumerate(zip(splits[:-1], made[count], strict=True)):
            made[ids][row, :n] = flat[start : start + n]
    return made


def padded(batch: Mapping[str, np.ndarray], by: int) -> dict[str, np.ndarray]:
    """The same batch with `by` more tokens of padding."""
    return {k: np.pad(v, [(0, 0), (0, by)]) if k in (IDS, IDS_PAIR) else v for k, v in batch.items()}
