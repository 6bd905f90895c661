"""Tests `models/tasks/text_to_text.py` and its judgement: what is read, what is told, and the field's own metrics."""

import numpy as np
import pyarrow as pa
import pytest
import sacrebleu
import tensorflow as tf
from rouge_score.rouge_scorer import RougeScorer

from data.errors import ConfigError
from data.tokenizers.base import SpecialTokens
from models.build import build_model
from models.evaluation.text_to_text import TextToTextJudgement
from models.packing import pack
from models.tasks.text_to_text import TextToText
from tests.contracts import tiny

BATCH = {
    "ids": np.array([[5, 6, 0], [7, 8, 9]], np.int32),
    "length": np.array([2, 3], np.int32),
    "target_ids": np.array([[9, 0], [8, 7]], np.int32),
    "target_length": np.array([1, 2], np.int32),
}
START, END = tiny.VOCABULARY.start, tiny.VOCABULARY.end


def test_a_source_is_reversed_behind_its_prefix():
    task = TextToText(prefix="very dull", reverse_source=True).bound(tiny.WORDS)
    found = task.arranged(BATCH)
    before = tiny.WORDS.encode(["very dull"])[0].tolist()
    assert found["ids"].numpy().tolist() == [[*before, 6, 5, 0], [*before, 9, 8, 7]]
    assert found["length"].numpy().tolist() == [4, 5]


def test_what_is_fed_is_the_target_behind_a_start_and_what_is_told_ends():
    fed = pack(BATCH, tiny.VOCABULARY, 16, "")
    assert fed["target_ids"].numpy().tolist() == [[START, 9, 0], [START, 8, 7]]
    assert fed["target_mask"].numpy().tolist() == [[True, True, False], [True, True, True]]
    ids, here = TextToText().bound(tiny.WORDS).told(BATCH)
    assert ids.numpy()[here.numpy()].tolist() == [9, END, 8, 7, END]
    assert pack(BATCH, tiny.VOCABULARY, 2, "")["target_ids"].shape == (2, 2)  # a long target loses its end


def test_smoothing_spreads_the_target():
    task = TextToText(label_smoothing=0.2).bound(tiny.WORDS)
    logits = tf.random.stateless_normal([2, 3, tiny.VOCABULARY.size], [0, 1])
    log_p = tf.nn.log_softmax(logits).numpy()
    wanted = [[9, END], [8, 7, END]]
    expected = [
        np.mean([-(0.8 * log_p[n, i, t] + 0.2 * log_p[n, i].mean()) for i, t in enumerate(row)])
        for n, row in enumerate(wanted)
    ]
    np.testing.assert_allclose(task.loss(logits, BATCH), expected, rtol=1e-5)


def test_a_tokenizer_without_an_end_is_refused():
    endless = tiny.Words("a")
    endless.special = SpecialTokens(0, 1)
    with pytest.raises(ConfigError, match="this tokenizer has none"):
        TextToText().bound(endless)


def test_a_rows_prefix_is_written_before_its_text():
    columns = {"text": pa.array(["a", "b"]), "prefix": pa.array(["sum:", ""]), "target": pa.array(["x", "y"])}
    assert TextToText.complete(columns)[0]["text"].to_pylist() == ["sum: a", "b"]


def test_reversing_changes_what_the_model_reads_and_padding_does_not():
    task = TextToText(reverse_source=True).bound(tiny.WORDS)
    model = build_model(tiny.family("gru", dropout=0.0), task, tiny.VOCABULARY, 16, [], False)
    logits = model(BATCH)
    wider = {**BATCH, "ids": np.pad(BATCH["ids"], [(0, 0), (0, 3)])}
    np.testing.assert_allclose(model(wider), logits, atol=1e-5)


SOURCES = ["One. Two! Three? Four.", "Sólo esto"]
WANTED = ["The cat sat on the mat today.", "A niño ate."]
WRITTEN = ["The cat sat on a mat.", "a niño ate"]


def judged(written=WRITTEN):
    examples = pa.table({"key": [1, 2], "text": SOURCES, "target": WANTED})
    answers = {"text": np.array(written, object), "score": np.zeros(2, np.float32)}
    return TextToTextJudgement(answers, examples, examples, [])


def test_metrics_are_the_libraries_own():
    found = {name: each["value"] for name, each in judged().measure(50, 0).items()}
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(WRITTEN, [WANTED]).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(WRITTEN, [WANTED]).score)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    first = scorer.score(WANTED[0], WRITTEN[0])  # the second has letters that rouge-score's own tokenizer drops
    alone = {name: each["value"] for name, each in judged().measure(5, 0, np.array([0])).items()}
    for ours, theirs in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
        assert alone[ours] == pytest.approx(first[theirs].fmeasure)
    assert found["exact_match"] == 0.5 and found["f1"] == pytest.approx((2 * 4 / (4 + 5) + 1) / 2)


@pytest.mark.parametrize(
    "written", [["nothing", "at all"], ["", ""], ["The cat", "A niño"], ["The dog ran away from me.", "x"], WANTED]
)
def test_bleu_of_few_matches_is_sacrebleus(written):
    found = judged(written).measure(5, 0)
    assert found["bleu"]["value"] == pytest.approx(sacrebleu.corpus_bleu(written, [WANTED]).score)


def test_the_baseline_is_the_first_three_sentences():
    metrics, says = judged().baseline()
    leads = ["One. Two! Three?", "Sólo esto"]
    assert metrics["chrf"] == pytest.approx(sacrebleu.corpus_chrf(leads, [WANTED]).score) and "three" in says


def test_how_sacrebleu_counted_is_said():
    signature = judged().details(1, 0)["signatures"]["bleu"]
    assert "|tok:13a|" in signature and f"sacrebleu's signature of bleu: {signature}" in judged().remarks()
