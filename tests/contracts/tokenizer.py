"""What every tokenizer keeps to, whatever its kind: `check_tokenizer(tokenizer)`."""

import pickle
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from data.tokenizers import load_tokenizer
from data.tokenizers.base import Tokenizer

PLAIN = ["The quick brown fox doesn't jump.", "El niño comió 3,50 en Ávila: ¿qué tal, señora?", "one two  three"]
NASTY = [
    "",
    " ",
    " \t\n\r\x0b\x0c ",
    "  two  spaces  ",
    "a\n\n b\n c \n",
    "a\x00b\x07c\x1b[0m\x7f\x85d",
    "\x00",
    "\x00leading and trailing\x00",
    "soft\u00adhyphen zero\u200bwidth joi\u200dner \ufeffmark \u2060word \u202eright",
    "no\u00a0break\u3000wide\u2009thin\u2028line\u2029paragraph\u1680ogham",
    "👨\u200d👩\u200d👧\u200d👦 family ❤\ufe0f 🇪🇸 👍🏽",
    "cafe\u0301 a\u0323\u0301 z\u0335a\u0489l\u0334g\u0310o",
    "مرحبا بالعالم كِتَاب",
    "नमस्ते दुनिया क्षि",
    "中文测试 日本語テスト 한국어 시험 ภาษาไทย",
    "½ ² ﬁ ß ẞ İ ı Ⱥ K ſ ǅ Å ΑΣ ΣΑΣ ŉ ΐ",
    "İİİ ẞẞ ȺȺ hello",
    "[SEP] [CLS] [MASK] [PAD] [UNK] <s> </s> <pad> <mask> <unk> <|endoftext|>",
    "[sep]<S>##ing ▁ ĠĠ Ċ",
    "x" * 300 + " y",
    "word " * 2000,
    "a" * 10_000,
    "é" * 5_000,
    "http://example.com/a?b=c&d=%20#e user@example.com $5.00 £3 50% C++ a_b don't 'tis I'LL",
    "\ufffd \ufffe \uffff \U0010ffff \ue000",
]
BROKEN = [
    b"\xff\xfe",
    b"ok \xc3",
    b"\xed\xa0\x80 surrogate",
    b"\xf0\x9f\x98",
    b"over \xc0\xaf long",
    b"a\x80b\xffc",
    b"\xff",
]
# Not in TensorFlow Serving 2.18, or not at all.
MISSING_OPS = ("PyFunc", "EagerPyFunc", "NumpyFunc", "Xla", "TFText>RoundRobin", "TFText>Utf8Binarize")


def check_tokenizer(tokenizer: Tokenizer, texts: Sequence[str] = ()) -> None:
    """Ids, offsets, saving and serving of `tokenizer`, on nasty strings and on `texts`."""
    texts = [*NASTY, *PLAIN, *texts]
    fresh = pickle.loads(pickle.dumps(tokenizer))
    expected = rows(*tokenizer.encode(texts))
    model = Served(tokenizer)
    check_ids(tokenizer, texts, expected)
    check_graph(tokenizer, model, texts, expected)
    check_offsets(tokenizer, model, texts, expected)
    check_decode(tokenizer, model, texts, expected)
    check_threads(fresh, texts, expected)
    check_saved(tokenizer, texts, expected)
    check_served(tokenizer, model, texts, expected)


class Served(tf.Module):
    """What an exported model does with a tokenizer: two signatures that share it."""

    def __init__(self, tokenizer: Tokenizer):
        super().__init__()
        self._tokenizer, self.tracked = tokenizer, tokenizer.trackables

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
    def ids(self, text):
        ids = self._tokenizer.graph(text)
        assert ids.dtype == tf.int32 and ids.shape.rank == 2
        return {"ids": ids.flat_values, "splits": ids.row_splits}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
    def spans(self, text):
        ids, starts, ends = self._tokenizer.graph_with_offsets(text)
        assert (ids.dtype, starts.dtype, ends.dtype) == (tf.int32,) * 3
        found = {"ids": ids, "starts": starts, "ends": ends}
        return {"splits": ids.row_splits} | {name: part.flat_values for name, part in found.items()}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.int32, name="ids"), tf.TensorSpec([None], tf.int64, name="splits")],
        autograph=False,
    )
    def texts(self, ids, splits):
        return {"texts": self._tokenizer.graph_decode(tf.RaggedTensor.from_row_splits(ids, splits))}


def check_ids(tokenizer: Tokenizer, texts: list[str], expected: list[list[int]]) -> None:
    ids, splits = tokenizer.encode(texts)
    assert ids.dtype == np.int32 and splits.dtype == np.int64 and splits.shape == (len(texts) + 1,)
    for text, wanted in zip(NASTY, expected, strict=False):
        assert rows(*tokenizer.encode([text])) == [wanted], "ids depend on the other rows"
    ids, splits = tokenizer.encode([])
    assert ids.tolist() == [] and splits.tolist() == [0]
    reserved = tokenizer.special.ids - {tokenizer.special.unknown}
    for text, found in zip(texts, expected, strict=True):
        assert all(0 <= i < len(tokenizer.vocabulary) for i in found), text
        assert not reserved & set(found), f"text gives a special token: {text!r}"
    assert tokenizer.decode(sorted(tokenizer.special.ids)).strip() == ""
    assert expected[texts.index("")] == []


def check_graph(tokenizer: Tokenizer, model: Served, texts: list[str], expected: list[list[int]]) -> None:
    for text, got, wanted in zip(texts, ragged(model.ids(tf.constant(texts))), expected, strict=True):
        assert got == wanted, f"graph and encode differ: {text[:100]!r}"
    rows_of = tf.data.Dataset.from_tensor_slices(texts).batch(256).map(tokenizer.graph)  # as a tf.data pipeline asks
    assert [ids for batch in rows_of for ids in batch.to_list()] == expected
    assert ragged(model.ids(tf.constant([], tf.string))) == []
    for broken, got in zip(BROKEN, ragged(model.ids(tf.constant(BROKEN))), strict=True):
        assert all(0 <= i < len(tokenizer.vocabulary) for i in got), broken


def check_offsets(tokenizer: Tokenizer, model: Served, texts: list[str], expected: list[list[int]]) -> None:
    found = model.spans(tf.constant(texts))
    assert ragged(found) == expected
    for text, ids, starts, ends in zip(texts, expected, ragged(found, "starts"), ragged(found, "ends"), strict=True):
        assert starts == sorted(starts) and ends == sorted(ends), text
        assert all(0 <= start <= end <= len(text) for start, end in zip(starts, ends, strict=True)), text
        for i, start, end in zip(ids, starts, ends, strict=True):
            survived = text[start : end + 1].isascii() and i != tokenizer.special.unknown
            if survived:  # and is not the first part of a character that became two tokens: that is the second's
                piece, source = _seen(tokenizer.decode([i])), _seen(text[start:end])
                assert piece == source, f"token {piece!r} is mapped to {source!r} in {text[:100]!r}"
    assert ragged(model.spans(tf.constant(["", ""])), "starts") == [[], []]
    model.spans(tf.constant(BROKEN))


def check_decode(tokenizer: Tokenizer, model: Served, texts: list[str], expected: list[list[int]]) -> None:
    """The graph writes what `decode` writes, special tokens left out, whatever the ids."""
    every = [*expected, sorted(tokenizer.special.ids), [], list(range(len(tokenizer.vocabulary)))[-400:]]
    splits = np.cumsum([0, *map(len, every)])
    ids = np.array([i for row in every for i in row], np.int32)
    for row, got in zip(every, model.texts(ids, splits)["texts"].numpy(), strict=True):
        assert got.decode() == tokenizer.decode(row), row[:20]


def _seen(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c != "\ufffd").strip().lower()


def check_threads(fresh: Tokenizer, texts: list[str], expected: list[list[int]]) -> None:
    """Four threads that all come first."""
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: rows(*fresh.encode(texts)), range(4))) == [expected] * 4


def check_saved(tokenizer: Tokenizer, texts: list[str], expected: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        tokenizer.save(Path(first))
        loaded = load_tokenizer(first)
        for name in ("kind", "vocabulary", "special", "options"):
            assert getattr(loaded, name) == getattr(tokenizer, name), name
        assert rows(*loaded.encode(texts)) == expected
        loaded.save(Path(second))
        assert contents(Path(first)) == contents(Path(second))


def check_served(tokenizer: Tokenizer, model: Served, texts: list[str], expected: list[list[int]]) -> None:
    """The SavedModel's ids, by both loaders; its ops; its size."""
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryDirectory() as vocabulary:
        tf.saved_model.save(model, directory, signatures={"serving_default": model.ids, "spans": model.spans})
        loaded = tf.saved_model.load(directory)
        assert ragged(loaded.signatures["serving_default"](tf.constant(texts))) == expected
        assert _ids_in_a_session(directory, texts) == expected
        tokenizer.save(Path(vocabulary))
        files, bare = contents(Path(directory)), sum(map(len, contents(Path(vocabulary)).values()))
        size = sum(map(len, files.values()))
        assert not [op for op in _ops(files["saved_model.pb"]) if op.startswith(MISSING_OPS)]
        assert size <= 6 * bare + (1 << 20), f"{size} bytes for a vocabulary of {bare}"


def _ids_in_a_session(directory: str, texts: list[str]) -> list[list[int]]:
    """By the loader that TensorFlow Serving uses."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        model = tf.compat.v1.saved_model.load(session, ["serve"], directory)
        signature = model.signature_def["serving_default"]
        fetches = {name: signature.outputs[name].name for name in ("ids", "splits")}
        feed = {signature.inputs["text"].name: [text.encode() for text in texts]}
        return rows(**session.run(fetches, feed))


def _ops(content: bytes) -> set[str]:
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
    return {node.op for function in graph.library.function for node in function.node_def} | {n.op for n in graph.node}


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def ragged(found: dict, name: str = "ids") -> list[list[int]]:
    return rows(found[name].numpy(), found["splits"].numpy())


def rows(ids: np.ndarray, splits: np.ndarray) -> list[list[int]]:
    return [ids[a:b].tolist() for a, b in zip(splits[:-1], splits[1:], strict=True)]
