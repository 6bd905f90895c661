"""What every tokenizer keeps to, whatever its kind: `check_tokenizer(tokenizer)`."""

import pickle
import tempfile
import threading
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


def check_tokenizer(tokenizer: Tokenizer, texts: list[str] | None = None) -> None:
    """Ids, offsets, saving and serving of `tokenizer`, on nasty strings and on `texts`."""
    texts = NASTY + PLAIN + (texts or [])
    fresh = pickle.loads(pickle.dumps(tokenizer))
    expected = rows(*tokenizer.encode(texts))
    check_ids(tokenizer, texts, expected)
    check_graph(tokenizer, texts, expected)
    check_offsets(tokenizer, texts, expected)
    check_threads(fresh, texts, expected)
    check_saved(tokenizer, texts, expected)
    check_served(tokenizer, texts, expected)


def check_ids(tokenizer: Tokenizer, texts: list[str], expected: list[list[int]]) -> None:
    ids, splits = tokenizer.encode(texts)
    assert ids.dtype == np.int32 and splits.dtype == np.int64 and splits.shape == (len(texts) + 1,)
    assert [rows(*tokenizer.encode([text]))[0] for text in texts] == expected, "ids depend on the other rows"
    ids, splits = tokenizer.encode([])
    assert ids.tolist() == [] and splits.tolist() == [0]
    reserved = tokenizer.special.ids - {tokenizer.special.unknown}
    for text, found in zip(texts, expected, strict=True):
        assert all(0 <= i < len(tokenizer.vocabulary) for i in found), text
        assert not reserved & set(found), f"text gives a special token: {text!r}"
    assert tokenizer.decode(sorted(tokenizer.special.ids)).strip() == ""
    assert expected[texts.index("")] == []


def check_graph(tokenizer: Tokenizer, texts: list[str], expected: list[list[int]]) -> None:
    graph = tf.function(tokenizer.graph, input_signature=[tf.TensorSpec([None], tf.string)])
    ids = graph(tf.constant(texts))
    assert ids.dtype == tf.int32 and ids.shape.rank == 2
    for text, got, wanted in zip(texts, ids.to_list(), expected, strict=True):
        assert got == wanted, f"graph and encode differ: {text[:100]!r}"
    assert graph(tf.constant([], tf.string)).to_list() == []
    for broken, got in zip(BROKEN, graph(tf.constant(BROKEN)).to_list(), strict=True):
        assert all(0 <= i < len(tokenizer.vocabulary) for i in got), broken


def check_offsets(tokenizer: Tokenizer, texts: list[str], expected: list[list[int]]) -> None:
    graph = tf.function(tokenizer.graph_with_offsets, input_signature=[tf.TensorSpec([None], tf.string)])
    found = graph(tf.constant(texts))
    assert [part.dtype for part in found] == [tf.int32] * 3
    ids, starts, ends = (part.to_list() for part in found)
    assert ids == expected
    for text, row, start, end in zip(texts, ids, starts, ends, strict=True):
        assert start == sorted(start) and end == sorted(end), text
        assert all(0 <= s <= e <= len(text) for s, e in zip(start, end, strict=True)), text
        for i, s, e in zip(row, start, end, strict=True):
            survived = text[s : e + 1].isascii() and i != tokenizer.special.unknown
            if survived:  # and is not the first part of a character that became two tokens: that is the second's
                piece, source = _seen(tokenizer.decode([i])), _seen(text[s:e])
                assert piece == source, f"token {piece!r} is mapped to {source!r} in {text[:100]!r}"
    assert [part.to_list() for part in graph(tf.constant(["", ""]))] == [[[], []]] * 3
    graph(tf.constant(BROKEN))


def _seen(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c != "\ufffd").strip().lower()


def check_threads(fresh: Tokenizer, texts: list[str], expected: list[list[int]]) -> None:
    found = {}

    def encode(thread: int) -> None:
        found[thread] = rows(*fresh.encode(texts))

    threads = [threading.Thread(target=encode, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found.get(i) for i in range(4)] == [expected] * 4


def check_saved(tokenizer: Tokenizer, texts: list[str], expected: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        tokenizer.save(Path(directory))
        loaded = load_tokenizer(directory)
        for name in ("kind", "vocabulary", "special", "options"):
            assert getattr(loaded, name) == getattr(tokenizer, name), name
        assert rows(*loaded.encode(texts)) == expected
        with tempfile.TemporaryDirectory() as again:
            loaded.save(Path(again))
            for file in Path(directory).iterdir():
                assert file.read_bytes() == (Path(again) / file.name).read_bytes(), file.name


def check_served(tokenizer: Tokenizer, texts: list[str], expected: list[list[int]]) -> None:
    """A SavedModel with two signatures: its ids, read in both ways; its ops; its size."""
    signature = [tf.TensorSpec([None], tf.string, name="text")]

    @tf.function(input_signature=signature, autograph=False)
    def tokens(text):
        ids = tokenizer.graph(text)
        return {"ids": ids.flat_values, "splits": ids.row_splits}

    @tf.function(input_signature=signature, autograph=False)
    def spans(text):
        ids, starts, ends = tokenizer.graph_with_offsets(text)
        return {"ids": ids.flat_values, "starts": starts.flat_values, "ends": ends.flat_values}

    module = tf.Module()
    module.tokenizer = tokenizer.trackables
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(module, directory, signatures={"serving_default": tokens, "spans": spans})
        loaded = tf.saved_model.load(directory).signatures["serving_default"](tf.constant(texts))
        assert rows(loaded["ids"].numpy(), loaded["splits"].numpy()) == expected
        assert _ids_in_a_session(directory, texts) == expected
        content = (Path(directory) / "saved_model.pb").read_bytes()
        size = sum(f.stat().st_size for f in Path(directory).rglob("*") if f.is_file())
        with tempfile.TemporaryDirectory() as vocabulary:
            tokenizer.save(Path(vocabulary))
            bare = sum(f.stat().st_size for f in Path(vocabulary).iterdir())
    assert not [op for op in _ops(content) if op.startswith(MISSING_OPS)]
    assert size <= 6 * bare + (1 << 20), f"{size} bytes for a vocabulary of {bare}"


def _ids_in_a_session(directory: str, texts: list[str]) -> list[list[int]]:
    """By the loader that TensorFlow Serving uses."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        model = tf.compat.v1.saved_model.load(session, ["serve"], directory)
        signature = model.signature_def["serving_default"]
        fetches = [signature.outputs[name].name for name in ("ids", "splits")]
        feed = {signature.inputs["text"].name: [text.encode() for text in texts]}
        return rows(*session.run(fetches, feed))


def _ops(content: bytes) -> set[str]:
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
    return {node.op for function in graph.library.function for node in function.node_def} | {n.op for n in graph.node}


def rows(ids: np.ndarray, splits: np.ndarray) -> list[list[int]]:
    return [ids[a:b].tolist() for a, b in zip(splits[:-1], splits[1:], strict=True)]
