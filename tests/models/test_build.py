"""Tests `models/build.py`."""

import subprocess
import sys

import numpy as np
import pytest

from data.errors import ConfigError
from models.build import adapt, build_model
from models.families.base import Vocabulary
from models.tasks.classification import Classification
from tests.contracts import tiny


def build(name: str, max_tokens: int = 16, pairs: bool = False, vocabulary: Vocabulary = tiny.VOCABULARY):
    return build_model(tiny.family(name), Classification(), vocabulary, max_tokens, ["no", "yes"], pairs)


def test_a_model_is_built_with_all_its_variables():
    assert [weight.shape for weight in build("lstm").weights][:1] == [(len(tiny.WORDS.vocabulary), 8)]


def test_a_tokenizer_tells_its_size_and_special_tokens():
    assert Vocabulary.of(tiny.WORDS) == Vocabulary(13, 0, 1, 2, 3, 4, tiny.WORDS.vocabulary)


@pytest.mark.parametrize("pairs, least", [(False, 3), (True, 5)])
def test_max_tokens_must_leave_room_for_a_text(pairs, least):
    build("bert", least, pairs)
    with pytest.raises(ConfigError, match=f"transform.max_tokens: got {least - 1}, .*wanted {least} or more"):
        build("bert", least - 1, pairs)


def test_a_family_with_special_tokens_wants_a_tokenizer_that_has_them():
    with pytest.raises(ConfigError, match="family 'bert' puts start and end tokens around .* such as 'wordpiece'"):
        build("bert", vocabulary=Vocabulary(30, 0, 1))


def test_long_texts_are_cut_to_max_tokens():
    model = build("bert", max_tokens=6)
    batch = {"ids": np.arange(5, 13, dtype=np.int32)[None, :], "length": np.array([8], np.int32)}
    cut = {"ids": batch["ids"][:, :4], "length": np.array([4], np.int32)}
    np.testing.assert_allclose(model(batch), model(cut), atol=1e-6)


def test_what_families_count_sees_pairs_as_training_does():
    batch = tiny.batch("classification", 5, pairs=True)
    single = {name: array for name, array in batch.items() if "pair" not in name}
    both, one = (adapt(tiny.family("tfidf"), [each], tiny.VOCABULARY, 16)["texts"] for each in (batch, single))
    assert both.sum() > one.sum()
    assert adapt(tiny.family("lstm"), [batch], tiny.VOCABULARY, 16) == {}


class NextToken(Classification):
    """The part of a language model's task that build_model reads."""

    needs = frozenset({"causal"})

    def unpack(self, encoded, packed, batch):
        return encoded.sequence


@pytest.mark.parametrize("name", tiny.offering("causal"))
def test_a_task_that_needs_causal_gets_the_decoder_and_its_scores_of_the_vocabulary(name):
    model = build_model(tiny.family(name), NextToken(), tiny.VOCABULARY, 16, (), False)
    ids = np.array([[5, 6, 7, 8]], np.int32)
    logits = model({"ids": ids, "length": np.array([4], np.int32)})
    assert logits.shape == (1, 4, tiny.VOCABULARY.size)
    np.testing.assert_allclose(model({"ids": ids[:, :2], "length": np.array([2], np.int32)}), logits[:, :2], atol=1e-6)


def test_reading_backwards_is_refused_where_the_next_token_is_predicted():
    with pytest.raises(ConfigError, match="trainer.family.bidirectional: got true .* wanted false"):
        build_model(tiny.family("lstm", bidirectional=True), NextToken(), tiny.VOCABULARY, 16, (), False)


def test_checking_a_config_loads_no_tensorflow():
    code = (
        "import sys; from models.build import check_fit; from models.families import FAMILIES\n"
        "check_fit('bert', 'classification'); FAMILIES['bert'](); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
