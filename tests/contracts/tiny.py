"""The smallest tokenizer, families, examples and batches that the model contracts can be checked on."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_text

from data.schema import (
    CLASSES,
    IDS,
    IDS_PAIR,
    LABEL,
    LENGTH,
    LENGTH_PAIR,
    SCORE,
    TARGET,
    TARGET_IDS,
    TARGET_LENGTH,
    TEXT,
    TEXT_PAIR,
    WEIGHT,
    WORD_BYTES,
    WORD_BYTES_PAIR,
)
from data.store import NO_LABEL, OF_LABELS, split_words
from data.tokenizers.base import SpecialTokens
from data.tokenizers.graph import GraphTokenizer
from models.build import lacks
from models.families import FAMILIES
from models.families.base import Family, Vocabulary
from models.tasks import TASKS
from models.tasks.base import Places, Task

MAX_TOKENS = 16
WIDTH = 64  # bytes of a word; families that read them may want fewer
# A new family adds its smallest size here; without a line it is checked at its defaults.
SIZES = {
    "bag_of_words": {"ngrams": (1, 2)},
    "tfidf": {"ngrams": (1, 3)},
    "word2vec": {"width": 8},
    "glove": {"width": 8, "pooling": "idf"},
    "fasttext": {"width": 8, "buckets": 50},
    "rnn": {"width": 8, "embedding": 8},
    "lstm": {"width": 8, "embedding": 8},
    "gru": {"width": 8, "embedding": 8},
    "transformer": {"layers": 1, "width": 8, "heads": 2},
    "elmo": {"embedding": 4, "filters": [[1, 4], [2, 4]], "units": 8, "width": 4},
    "bert": {"layers": 2, "width": 8, "heads": 2},
    "roberta": {"layers": 1, "width": 8, "heads": 2},
    "distilbert": {"layers": 1, "width": 8, "heads": 2},
    "albert": {"layers": 2, "width": 8, "heads": 2, "embedding": 4},
    "gpt2": {"layers": 1, "width": 8, "heads": 2},
    "t5": {"layers": 1, "width": 8, "heads": 2},
}


TAG_OF = {"film": "B-THING", "plot": "B-THING", "not": "B-NOT", "bad": "I-NOT"}
# What the examples' texts are answered with, and the labels of the model, by task.
ANSWERS = {
    "classification": (lambda texts: ["yes", "no"] * (len(texts) // 2), ["no", "yes"]),
    "tagging": (
        lambda texts: [[TAG_OF.get(word, "O") for word in text.split()] for text in texts],
        ["B-NOT", "B-THING", "I-NOT", "O"],
    ),
    "multi_label": (
        lambda texts: [[word for word in ("film", "good") if word in text.split()] for text in texts],
        ["film", "good"],
    ),
    "ordinal": (lambda texts: [str(1 + n % 3) for n in range(len(texts))], ["1", "2", "3"]),
    "question_answering": (None, []),
    "word_in_context": (lambda texts: ["F", "T"] * (len(texts) // 2), ["F", "T"]),
    "similarity": (lambda texts: [0.0, 0.75, 0.25, 0.5, 1.0, 0.125, 0.875, 0.375], []),
    "language_modeling": (None, []),
    "masked_language_modeling": (None, []),
    "bidirectional_language_modeling": (None, []),
    "text_to_text": (None, []),
}
# What a task is checked with where its defaults are too large.
PARAMS: dict[str, dict] = {
    "language_modeling": {"generation": {"max_tokens": 4}, "stride": 5},
    "bidirectional_language_modeling": {"stride": 3},
    "masked_language_modeling": {"top": 3, "spacing": 3},
    "text_to_text": {"generation": {"max_tokens": 5}},
}


def last_word(text: str) -> tuple[str, int]:
    """The word, and where it starts."""
    return text.split()[-1], text.rindex(" ") + 1


# Other columns of the examples, made of a text and its pair, by task.
BESIDE = {
    "question_answering": {
        "answers": lambda text, pair: [last_word(pair)[0]],
        "answer_starts": lambda text, pair: [str(last_word(pair)[1])],
    },
    "word_in_context": {
        "place": lambda text, pair: f"{last_word(text)[1]}:{len(text)}",
        "place_pair": lambda text, pair: "0:3",
    },
}


class Words(GraphTokenizer):
    """Words between spaces; five special tokens, then the words given."""

    kind = "tiny"
    separator = " "
    whole_words = True

    def __init__(self, words: str):
        super().__init__(
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words.split()], SpecialTokens(0, 1, 2, 3, 4), {}
        )

    def _build(self):
        initial = tf.lookup.KeyValueTensorInitializer(self.vocabulary, tf.range(len(self.vocabulary)))
        return (tf.lookup.StaticHashTable(initial, default_value=1),)

    def _words(self, texts):
        return tf.strings.split(texts)

    def _tokenize(self, texts):
        (table,) = self._resources
        words = self._words(texts)
        return words.with_values(table.lookup(words.values))

    def _tokenize_with_offsets(self, texts):
        (table,) = self._resources
        words, starts, ends = tensorflow_text.WhitespaceTokenizer().split_with_offsets(texts)
        return words.with_values(table.lookup(words.values)), starts, ends

    def _not_here(self, *_, **__):
        raise NotImplementedError

    count = learn = load = decode = _write = _not_here


WORDS = Words("good bad film plot not very dull fun")
VOCABULARY = Vocabulary.of(WORDS)


def family(name: str, **params) -> Family:
    return FAMILIES[name](**(SIZES.get(name, {}) | params))


def task(name: str) -> Task:
    return TASKS[name](**PARAMS.get(name, {})).bound(WORDS)


def fitting(task_name: str) -> list[str]:
    """Names of the families that give what a task needs."""
    return [name for name, kind in FAMILIES.items() if not lacks(kind, TASKS[task_name])]


def offering(what: str) -> list[str]:
    """Names of the families that offer something."""
    return [name for name, kind in FAMILIES.items() if what in kind.offers]


def needs_pairs(task_name: str) -> bool:
    """Whether a task has no use for a text alone."""
    kind = TASKS[task_name]
    return TEXT_PAIR in {kind.columns.get(name, name) for name in kind.inputs}


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
    others = texts[2:] + texts[:2]
    if pairs or needs_pairs(task_name):
        columns[TEXT_PAIR] = pa.array(others)
    for name, make in BESIDE.get(task_name, {}).items():
        columns[name] = pa.array([make(*both) for both in zip(texts, others, strict=True)])
    answer, labels = ANSWERS[task_name]
    if answer:
        columns[LABEL if labels else SCORE] = pa.array(answer(texts))
    if TARGET in TASKS[task_name].required:
        columns[TARGET] = pa.array([" ".join(reversed(text.split())) for text in texts])
    return pa.record_batch(columns), labels


def batch(task_name: str, length: int, pairs: bool = False, empty: bool = False) -> dict[str, np.ndarray]:
    """The eight examples as a batch of `length` tokens a row; `empty` takes all tokens from the last one."""
    pairs |= needs_pairs(task_name)
    rows, labels = examples(task_name, pairs)
    kind = task(task_name)
    places = {text: Places(*WORDS.encode_with_offsets(rows.column(text).to_pylist())[1:]) for text in kind.aligned}
    made = {
        name: _padded(name, column, length, len(labels)) for name, column in kind.encode(rows, labels, places).items()
    }
    made[WEIGHT] = np.ones(len(rows), np.float32)
    names = (TEXT, IDS, LENGTH, WORD_BYTES), (TEXT_PAIR, IDS_PAIR, LENGTH_PAIR, WORD_BYTES_PAIR)
    for text, ids, count, words in names[: 1 + pairs]:
        kept = [row.encode() for row in rows.column(text).to_pylist()]
        kept[-1] *= not empty
        made[words] = split_words([np.frombuffer(row, np.uint8) for row in kept], length, WIDTH)
        flat, splits = WORDS.encode(rows.column(text).to_pylist())
        made[count] = np.diff(splits).astype(np.int32)
        made[count][-1] *= not empty
        made[ids] = _filled(flat, splits, made[count], length)
    if TARGET in rows.schema.names:
        flat, splits = WORDS.encode(rows.column(TARGET).to_pylist())
        made[TARGET_LENGTH] = np.diff(splits).astype(np.int32)
        made[TARGET_IDS] = _filled(flat, splits, made[TARGET_LENGTH], length)
    return made


def _filled(values: np.ndarray, splits: np.ndarray, lengths: np.ndarray, length: int) -> np.ndarray:
    rows = np.zeros([len(lengths), length], np.int32)
    for row, start, n in zip(rows, splits, lengths, strict=False):
        row[:n] = values[start : start + n]
    return rows


def _padded(name: str, column, length: int, labels: int) -> np.ndarray:
    """A column of the token record as the store gathers it."""
    if name == CLASSES:
        return np.array([np.isin(np.arange(labels), row) for row in column.to_pylist()], np.float32)
    if not isinstance(column, tuple):
        return column.to_numpy(zero_copy_only=False)
    values, splits = column
    rows = np.full([len(splits) - 1, length], NO_LABEL if name in OF_LABELS else 0, np.int32)
    for row, start, end in zip(rows, splits, splits[1:], strict=False):
        row[: end - start] = values[start:end]
    return rows


def padded(batch: Mapping[str, np.ndarray], by: int) -> dict[str, np.ndarray]:
    """The same batch with `by` more tokens of padding."""
    widened = {k: v for k, v in batch.items() if v.ndim > 1 and k != CLASSES}
    return {**batch, **{k: np.pad(v, [(0, 0), (0, by), (0, 0)][: v.ndim]) for k, v in widened.items()}}
