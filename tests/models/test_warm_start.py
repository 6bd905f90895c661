"""Tests `models/warm_start.py`: weights that go on, by token and by label."""

import keras
import numpy as np
import pytest

from data.errors import StageError
from data.tokenizers.words import Words
from models.build import build_model
from models.families.base import Vocabulary
from models.tasks.classification import Classification
from models.tasks.language_modeling import LanguageModeling
from models.warm_start import Known, moved_labels, moved_tokens, report, warm
from tests.contracts import tiny


def words(*known: str) -> Words:
    return Words.learn(dict.fromkeys(known, 5), vocabulary_size=50)


def model(family, tokenizer, labels, known=None, task=None):
    keras.utils.set_random_seed(0 if known is None else 1)
    task = task or Classification()

    def build(vocabulary, labels):
        return build_model(family, task, vocabulary, 16, labels, False, {})

    vocabulary = Vocabulary.of(tokenizer)
    return warm(build, known, vocabulary, labels) if known else build(vocabulary, labels=labels)


def arrays(made) -> list[np.ndarray]:
    return [weight.numpy() for weight in made.weights]


@pytest.mark.parametrize("name", ["lstm", "transformer", "bert"])
def test_the_same_model_goes_on_bit_for_bit(name):
    family, tokenizer = tiny.family(name), words("good", "bad")
    old = model(family, tokenizer, ["no", "yes"])
    new = model(family, tokenizer, ["no", "yes"], Known(arrays(old)))
    assert all(np.array_equal(a, b) for a, b in zip(arrays(old), arrays(new), strict=True))


def test_labels_keep_their_outputs_wherever_they_move():
    family, tokenizer = tiny.family("lstm"), words("good", "bad")
    old = model(family, tokenizer, ["no", "old", "yes"])
    moved = moved_labels(["no", "old", "yes"], ["maybe", "no", "yes"])
    new = model(family, tokenizer, ["maybe", "no", "yes"], Known(arrays(old), labels=moved))
    kernel, before = new.head.kernel.numpy(), old.head.kernel.numpy()
    assert np.array_equal(kernel[:, 1:], before[:, [0, 2]]) and not np.array_equal(kernel[:, 0], before[:, 1])
    assert report(Known([], labels=moved))["labels"] == {"kept": 2, "new": ["maybe"], "dropped": ["old"]}
    assert moved_labels(["a", "b"], ["a", "b"]) is None


def test_tokens_keep_their_vectors_and_new_ones_start_from_their_pieces():
    family, before, after = tiny.family("lstm"), words("good", "sub", "word", "gone"), words("word", "good", "sub-word")
    after = Words([*after.vocabulary[:5], "word", "sub-word", "good"], after.special, after.options)
    old = model(family, before, ["no", "yes"])
    moved = moved_tokens(before, after)
    new = model(family, after, ["no", "yes"], Known(arrays(old), tokens=moved))
    table, was = (each.encoder.parts["embedding"].embeddings.numpy() for each in (new, old))
    for word in ("good", "word", "[UNK]"):
        assert np.array_equal(table[after.vocabulary.index(word)], was[before.vocabulary.index(word)])
    pieces = [was[before.vocabulary.index(piece)] for piece in ("sub", "word")]
    np.testing.assert_allclose(table[after.vocabulary.index("sub-word")], np.mean(pieces, axis=0), rtol=1e-6)
    assert set(moved.dropped) == {"sub", "gone"} and moved.new == ["sub-word"] and moved.kept == 7
    assert moved_tokens(before, before) is None


@pytest.mark.parametrize("name", ["lstm", "gpt2"])
def test_a_decoder_tells_known_tokens_as_before(name):
    family, before, after = tiny.family(name), words("good", "bad", "film"), words("film", "awful", "good", "bad")
    task = LanguageModeling()
    old = model(family, before, [], task=task.bound(before))
    known = Known(arrays(old), tokens=moved_tokens(before, after))
    new = model(family, after, [], known, task.bound(after))
    text = ["good", "film", "bad", "good"]
    shared = [*before.vocabulary[2:5], "good", "bad", "film"]
    told = []
    for made, tokenizer in ((old, before), (new, after)):
        place = tokenizer.vocabulary.index
        batch = {"ids": np.array([[place(word) for word in text]], np.int32), "length": np.array([4], np.int32)}
        told.append(made(batch).numpy()[..., [place(token) for token in shared]])
    assert before.vocabulary.index("film") != after.vocabulary.index("film")
    np.testing.assert_allclose(*told, atol=1e-5)


def test_another_models_weights_are_refused():
    tokenizer = words("good")
    wide = model(tiny.family("lstm", width=4), tokenizer, ["no", "yes"])
    with pytest.raises(StageError, match="are not those of this family and its sizes"):
        model(tiny.family("lstm"), tokenizer, ["no", "yes"], Known(arrays(wide)))
