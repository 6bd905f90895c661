"""The bytes of words, from Beam to the batch and in the exported graph: no difference at all."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.artifacts import TokenizerFiles
from components.transform import transform
from data.errors import ConfigError
from data.schema import WORD_BYTES, WORD_BYTES_PAIR
from data.store import Shards, TokenStore, split_words
from data.tokenizers import TOKENIZERS
from models.families.base import Vocabulary
from models.families.bert import Bert
from models.packing import pack
from models.signatures import export
from models.tasks.base import Task
from models.tasks.classification import Classification
from pipeline.config import check_config
from tests.contracts import component as contract
from tests.contracts.tokenizer import NASTY, PLAIN
from tests.data.tokenizers.texts import TEXTS

MAX_TOKENS, WIDTH = 40, 7  # some texts and some words are longer


class Reader(Bert):
    """A family that reads bytes, as far as the data path knows."""

    word_bytes = WIDTH


class Reads(keras.Model):
    """Answers the bytes it is given, in place of logits."""

    def __init__(self, name):
        super().__init__()
        self.column = name

    def call(self, batch, training=False):
        return tf.cast(batch[self.column], tf.int32)


class Silent(Reader):
    """Has no vectors to embed with."""

    offers = frozenset()


class Raw(Classification):
    signatures = Task.signatures

    def answer(self, logits, labels):
        return {"bytes": logits}


@pytest.fixture(scope="module")
def rows():
    texts = [text for text in [*NASTY, *PLAIN, *TEXTS] if text.strip()]  # an empty text is rejected before
    return [{"text": text, "text_pair": other, "label": "x"} for text, other in zip(texts, texts[::-1], strict=True)]


@pytest.fixture(scope="module", params=[{}, {"punctuation": False, "min_characters": 2, "lowercase": False}])
def words(request):
    kind = TOKENIZERS["words"]
    return kind.learn(kind.count(TEXTS, **request.param), vocabulary_size=60, **request.param)


@pytest.mark.parametrize("name, text", [(WORD_BYTES, "text"), (WORD_BYTES_PAIR, "text_pair")])
def test_the_store_and_the_saved_model_hold_the_same_bytes(rows, words, name, text, tmp_path):
    files = TokenizerFiles(tmp_path / "tokenizer")
    files.clear()
    words.save(files.path)
    files.properties.update(kind="words")
    files.commit()
    examples = contract.make_examples(tmp_path / "examples", {"train": rows})
    examples.properties["fields"] = {}
    inputs = {"examples": examples, "tokenizer": files, "guard": None}
    params = {"task": "classification", "max_tokens": MAX_TOKENS, "word_bytes": WIDTH}
    tokens = contract.run(transform, tmp_path / "tokens", inputs, **params)
    store = TokenStore([Shards(tokens.shards("train"), ["x"])], ["x"], WIDTH)
    batch = store.gather(np.arange(len(store)), MAX_TOKENS)
    assert batch[name].shape == (len(rows), MAX_TOKENS, WIDTH) and batch[name].dtype == np.uint8

    export(Reads(name), Silent(), Raw(), words, ["x"], MAX_TOKENS, ["text", "text_pair"], tmp_path / "model")
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    dealt = [row for number in range(2) for row in rows[number::2]]  # as make_examples deals them to two shards
    served = serve(**{field: tf.constant([row[field] for row in dealt]) for field in ("text", "text_pair")})["bytes"]
    served = np.pad(served.numpy(), [(0, 0), (0, MAX_TOKENS - served.shape[1]), (0, 0)])
    assert np.array_equal(served, batch[name])
    there = batch[name].any(axis=2).sum(axis=1)
    assert there.tolist() == batch["length" if name == WORD_BYTES else "length_pair"].tolist()
    assert len(TokenStore([Shards(tokens.shards("train"), ["x"])], ["x"]).gather(np.arange(2), 3)) == 6  # not asked for


def test_words_are_cut_and_padded():
    rows = [np.frombuffer(row, np.uint8) for row in (b"ab c defgh", b"", b"x")]
    words = split_words(rows, 3, 4)
    assert [[bytes(word).rstrip(b"\0") for word in row] for row in words] == [
        [b"ab", b"c", b"defg"],
        [b"", b"", b""],
        [b"x", b"", b""],
    ]
    assert split_words(rows, 1, 1)[:, 0, 0].tolist() == [ord("a"), 0, ord("x")]


@pytest.mark.parametrize("special_tokens", ["bert", ""])
def test_packing_moves_bytes_with_their_ids(special_tokens):
    """Each id's bytes are the id itself here, so that they must still be after packing; special tokens have zeros."""
    random = np.random.default_rng(0)
    batch = {"length": np.array([5, 2, 0], np.int32), "length_pair": np.array([1, 3, 3], np.int32)}
    for ids, words in (("ids", WORD_BYTES), ("ids_pair", WORD_BYTES_PAIR)):
        batch[ids] = random.integers(10, 99, [3, 5]).astype(np.int32)
        batch[words] = np.repeat(batch[ids].astype(np.uint8)[:, :, None], 4, axis=2)
    for limit in (20, 6):
        found = pack(batch, Vocabulary(99, 0, 1, 2, 3), limit, special_tokens)
        ids = found["ids"].numpy() * (found["ids"].numpy() >= 10)
        assert ids.any()
        assert np.array_equal(found[WORD_BYTES].numpy(), np.repeat(ids[:, :, None], 4, axis=2))
    single = {name: batch[name] for name in ("ids", "length", WORD_BYTES)}
    shape = tf.function(lambda b: pack(b, Vocabulary(99, 0, 1, 2, 3), 20, "bert"), jit_compile=True)(single)
    assert shape[WORD_BYTES].shape == (3, 7, 4)


def test_other_tokenizers_are_refused(monkeypatch):
    from models.families import FAMILIES

    monkeypatch.setitem(FAMILIES, "reader", Reader)
    raw = {"name": "x", "task": "classification", "example_gen": {"input": "x"}, "trainer": {"family": "reader"}}
    with pytest.raises(ConfigError, match="tokenizer_gen.kind: got 'wordpiece'; wanted 'words': .* bytes of words"):
        check_config(raw)
    config = check_config({**raw, "tokenizer_gen": {"kind": "words"}})
    assert config.sections["transform"]["word_bytes"] == WIDTH
    bpe = TOKENIZERS["bpe"].learn(TOKENIZERS["bpe"].count(TEXTS), vocabulary_size=300)
    with pytest.raises(ConfigError, match="got 'bpe', whose tokens are not whole words"):
        bpe.encode_words(["a"], 3, 4)
