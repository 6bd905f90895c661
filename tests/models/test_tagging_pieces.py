"""Tests `models/tasks/tagging.py` where tokens are pieces of words: entities are whole words, tagged by their first."""

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from data.tokenizers import learning
from data.tokenizers.bpe import BytePair
from data.tokenizers.sentencepiece import SentencePiece
from data.tokenizers.wordpiece import WordPiece
from models.build import build_model
from models.families.base import Encoded, Vocabulary
from models.signatures import Served
from models.tasks.base import Places
from models.tasks.tagging import Tagging
from tests.contracts import tiny

LABELS = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
TEXT = "Joe Lyon saw a Baghdad in New Bonn ."
TAGS = ["B-PER", "I-PER", "O", "O", "B-LOC", "O", "B-LOC", "I-LOC", "O"]
ENTITIES = [("PER", "Joe Lyon"), ("LOC", "Baghdad"), ("LOC", "New Bonn")]
PIECES = ["Jo", "##e", "Ly", "##on", "saw", "a", "Bagh", "##dad", "in", "New", "B", "##onn", ".", ",", "東", "京"]


def tokenizers():
    """Each cuts some word of TEXT; byte-level BPE and SentencePiece have spaces of their own before some."""
    texts = [TEXT] * 4
    return {
        "wordpiece": WordPiece(
            [*learning.BRACKETED, *PIECES], learning.SPECIAL, {"lowercase": False, "strip_accents": False}
        ),
        "bpe": BytePair.learn(BytePair.count(texts), vocabulary_size=268),
        "sentencepiece": SentencePiece.learn(SentencePiece.count(texts), vocabulary_size=30),
    }


TOKENIZERS = tokenizers()
every_kind = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)


class Scripted(keras.layers.Layer):
    """The tags that it was given, by place."""

    def __init__(self, tags):
        super().__init__()
        self.tags = [LABELS.index(tag) for tag in tags]

    def call(self, inputs, training=False):
        _, keep = inputs
        length = tf.reduce_sum(tf.cast(keep, tf.int32), axis=1)
        scores = 9 * tf.one_hot(self.tags, len(LABELS)) * tf.ones_like(keep, tf.float32)[:, :, None]
        return {"scores": scores, "length": length, "tags": tf.argmax(scores, -1, tf.int32)}


def signatures(tokenizer, tags):
    """Of a model that answers a text of so many tokens with these tags."""
    task, family, labels = Tagging(decoder="softmax"), tiny.family("lstm"), LABELS
    model = build_model(family, task, Vocabulary.of(tokenizer), 64, labels, False)
    object.__setattr__(model, "head", Scripted(tags))
    model.encoder.forward = lambda parts, packed, training: Encoded(
        tf.cast(packed["ids"], tf.float32)[:, :, None], None, (), packed["mask"]
    )
    return task.signatures(Served(model, tokenizer, labels, 64, ["text"], family))


def pieces(tokenizer, text):
    return [tokenizer.vocabulary[i] for i in tokenizer.encode([text])[0]]


def learned(tokenizer, text, tags):
    """The tags that training gives the tokens of a text."""
    examples = pa.record_batch({"text": [text], "label": pa.array([tags], pa.list_(pa.string()))})
    places = {"text": Places(*tokenizer.encode_with_offsets([text])[1:])}
    return [LABELS[tag] for tag in Tagging().encode(examples, LABELS, places)["tags"][0]]


def entities(tokenizer, text, tags):
    found = signatures(tokenizer, tags)["serving_default"](tf.constant([text]))
    kinds, texts, starts, ends = (found[name].numpy()[0].tolist() for name in ("type", "text", "start", "end"))
    for part, start, end in zip(texts, starts, ends, strict=True):
        assert text[start:end] == part.decode()
    return [(kind.decode(), part.decode()) for kind, part in zip(kinds, texts, strict=True)]


@every_kind
def test_a_model_that_tells_what_it_learned_answers_the_truth(tokenizer):
    assert len(pieces(tokenizer, TEXT)) > len(TAGS)
    tags = learned(tokenizer, TEXT, TAGS)
    assert entities(tokenizer, TEXT, tags) == ENTITIES
    words = signatures(tokenizer, tags)["words"](tf.constant([TEXT]))["tag"].numpy()[0]
    assert [tag.decode() for tag in words] == TAGS


@every_kind
def test_an_entity_is_whole_words_whatever_their_later_pieces_are_told_to_be(tokenizer):
    tags = learned(tokenizer, TEXT, TAGS)
    _, _, starts, ends = tokenizer.encode_with_offsets([TEXT])
    words = [TEXT[:last].count(" ") for last in np.maximum(ends - 1, starts)]
    begins = np.diff(words, prepend=-1) > 0
    for other in ("O", "B-PER", "I-LOC"):
        assert entities(tokenizer, TEXT, np.where(begins, tags, other).tolist()) == ENTITIES


def test_punctuation_and_scripts_without_spaces_are_words_of_their_own():
    """Of texts as they are sent, in which words need no space between them."""
    tokenizer, text = TOKENIZERS["wordpiece"], "Baghdad, Bonn.東京"
    assert pieces(tokenizer, text) == ["Bagh", "##dad", ",", "B", "##onn", ".", "東", "京"]
    tags = ["B-LOC", "O", "O", "B-PER", "O", "O", "B-LOC", "O"]
    assert entities(tokenizer, text, tags) == [("LOC", "Baghdad"), ("PER", "Bonn"), ("LOC", "東")]
    tokenizer, text = TOKENIZERS["bpe"], "saw Baghdad."
    _, _, starts, ends = tokenizer.encode_with_offsets([text])
    tags = ["B-LOC" if start == 3 else "O" for start in starts]
    assert text[starts[-1] : ends[-1]] == "." and entities(tokenizer, text, tags) == [("LOC", "Baghdad")]


def test_spaces_are_no_entity():
    tokenizer, text = TOKENIZERS["bpe"], "\n saw"
    assert pieces(tokenizer, text)[0] == "Ċ"
    assert entities(tokenizer, text, ["B-LOC", *["O"] * (len(pieces(tokenizer, text)) - 1)]) == []


def test_the_score_of_an_entity_is_of_the_tokens_that_begin_its_words():
    found = signatures(TOKENIZERS["wordpiece"], ["B-LOC", "O"])["serving_default"](tf.constant(["Baghdad"]))
    assert found["score"].numpy().ravel() == pytest.approx(np.exp(9) / (np.exp(9) + 4))
    tags = signatures(TOKENIZERS["wordpiece"], ["B-LOC", "O"])["tags"](tf.constant(["Baghdad"]))
    assert tags["tag"].numpy().tolist() == [[b"B-LOC", b"O"]]


def test_texts_without_tokens_or_rows():
    asked = signatures(TOKENIZERS["bpe"], [])["serving_default"]
    assert asked(tf.constant([], tf.string))["length"].numpy().tolist() == []
