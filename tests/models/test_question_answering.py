"""Tests `models/tasks/question_answering.py`, its head and its judgement: spans, windows and SQuAD's measures."""

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from models import squad
from models.build import build_model
from models.evaluation.question_answering import QuestionAnsweringJudgement
from models.signatures import Served
from models.span_head import NEVER, best_of_each, best_spans
from models.tasks.base import Places
from models.tasks.question_answering import QuestionAnswering
from tests.contracts import tiny


def lists(*rows):
    return pa.array(rows, pa.list_(pa.string()))


def complete(context, answers, starts):
    columns = {"question": pa.array(["q"]), "context": pa.array([context]), "answers": lists(answers)}
    found, rejects = QuestionAnswering.complete({**columns, "answer_starts": lists(starts)})
    assert found["text"].to_pylist() == ["q"] and found["text_pair"].to_pylist() == [context]
    return [reason for mask, reason in rejects if mask[0].as_py()]


@pytest.mark.parametrize(
    "answers, starts, reasons",
    [
        (["Rex"], ["4"], []),
        ([], [], []),
        (["Rex", "no"], ["4", "x"], []),
        (["Rex"], ["5"], ["answers: the first is not at its place in the context"]),
        ([""], ["5"], ["answers: the first is not at its place in the context"]),
        (["Rex"], ["-4"], ["answer_starts: not a whole number"]),
        (["Rex"], [], ["answer_starts: not one an answer"]),
    ],
)
def test_answers_stand_where_they_say(answers, starts, reasons):
    assert complete("año Rex", answers, starts) == reasons


def test_marks_are_the_tokens_that_the_answer_touches():
    # "El Tajo nace" in pieces El Ta jo nace; the answer "ajo" begins inside of a piece.
    examples = pa.record_batch({"answers": lists(["ajo"], []), "answer_starts": lists(["4"], [])})
    places = Places(np.array([0, 4, 5]), np.array([0, 3, 5, 8, 0]), np.array([2, 5, 7, 12, 1]))
    marks, splits = QuestionAnswering().encode(examples, [], {"text_pair": places})["marks_pair"]
    assert marks.tolist() == [0, 1, 2, 0, 0] and splits.tolist() == [0, 4, 5]


def scores(*rows):
    return tf.constant(rows, tf.float32)


def test_the_best_span_is_the_best_of_all_within_the_bound():
    random = np.random.default_rng(0)
    start, end = random.normal(size=[2, 6, 9]).astype(np.float32)
    start[0, 7:] = end[0, 7:] = NEVER
    start[1, 1:] = end[1, 1:] = NEVER
    for longest in (1, 3, 20):
        best = best_spans({"start": tf.constant(start), "end": tf.constant(end)}, longest)
        for row in range(6):
            spans = [(i, j) for i in range(8) for j in range(i, min(i + longest, 8)) if start[row, 1 + j] > NEVER / 2]
            assert bool(best.empty[row]) == (not spans)
            if spans:
                i, j = max(spans, key=lambda span: start[row, 1 + span[0]] + end[row, 1 + span[1]])
                assert (i, j) == (int(best.start[row]), int(best.end[row]))
                wanted = start[row, 1 + i] + end[row, 1 + j] - start[row, 0] - end[row, 0]
                assert float(best.margin[row]) == pytest.approx(wanted, abs=1e-4)


def test_of_windows_the_one_furthest_above_no_answer_counts():
    start = scores([0, 1, 0], [5, 5.5, 9], [0, NEVER, NEVER], [0, -3, -9], [0, 3, -9], [-5, 3, 3])
    best, window = best_of_each(
        best_spans({"start": start, "end": start}, 5), tf.constant([0, 0, 1, 2, 3, 3]), tf.constant(4)
    )
    assert window.numpy().tolist() == [1, 2, 3, 5]  # of the last, a likelier span is in the window before
    assert best.empty.numpy().tolist() == [False, True, False, False] and best.start.numpy()[[0, 2]].tolist() == [1, 0]


def test_a_window_without_the_whole_answer_learns_that_there_is_none():
    logits = {name: scores([3, 0, 0, 0], [3, 0, 0, 0], [3, 0, 0, NEVER]) for name in ("start", "end")}
    batch = {"marks_pair": tf.constant([[0, 1, 2], [1, 0, 0], [0, 0, 3]])}
    loss = QuestionAnswering().loss(logits, batch).numpy()
    sum_of = np.exp(3) + 3
    assert loss[0] == pytest.approx(np.log(sum_of), abs=1e-5) and loss[1] == pytest.approx(np.log(sum_of) - 3, abs=1e-5)
    assert loss[2] == pytest.approx(np.log(sum_of - 1) - 3, abs=1e-5)  # packing cut the answer away


class Scripted(keras.layers.Layer):
    """The answer begins at `good` and ends at `film`."""

    def call(self, inputs, training=False):
        context, keep, *_ = inputs
        ids = tf.cast(context[:, :, 0], tf.int32)
        none = tf.zeros([tf.shape(ids)[0], 1])
        found = [tf.where(keep, tf.where(ids == word, 5.0, -5.0), NEVER) for word in (5, 7)]
        return dict(zip(("start", "end"), (tf.concat([none, each], axis=1) for each in found), strict=True))


def asked(stride, **params):
    from models.families.base import Encoded

    task, family = QuestionAnswering(**params), tiny.family("lstm")
    model = build_model(family, task, tiny.VOCABULARY, tiny.MAX_TOKENS, [], True)
    object.__setattr__(model, "head", Scripted())
    model.encoder.forward = lambda parts, packed, training: Encoded(
        tf.cast(packed["ids"], tf.float32)[:, :, None], None, (), packed["mask"]
    )
    served = Served(model, tiny.WORDS, [], tiny.MAX_TOKENS, ["question", "context"], family, stride, task.merge)
    ask = task.signatures(served)["serving_default"]
    contexts = ["¡ año good  film", "bad " * 30 + "good very film bad", "", "good plot", "bad", b"\xff\xff good film"]
    return contexts, ask(tf.constant(["fun"] * len(contexts)), tf.constant(contexts))


def test_an_answer_is_found_in_any_window_at_the_place_it_was_sent_at():
    contexts, found = asked(stride=4)
    answers = [answer.decode() for answer in found["answer"].numpy()]
    assert answers[:3] == ["good  film", "good very film", ""]
    for context, answer, start, end in list(
        zip(contexts, answers, found["start"].numpy(), found["end"].numpy(), strict=True)
    )[:5]:
        assert context[start:end] == answer if answer else (start, end) == (-1, -1)
    assert answers[5] == "good film" and found["start"][5] == 3 and np.isfinite(found["score"]).all()
    assert found["score"].numpy()[0] > 0.9


def test_without_a_stride_what_is_cut_is_not_answered():
    assert b"good" not in asked(stride=0)[1]["answer"].numpy()[1]


def test_below_the_threshold_nothing_is_answered():
    _, found = asked(stride=4, no_answer=-1.0)
    assert [bool(answer) for answer in found["answer"].numpy()] == [True, True, False, False, False, True]
    assert found["start"].numpy()[4] == -1 and found["no_answer"].numpy()[4] == pytest.approx(10, abs=1e-3)


@pytest.mark.parametrize(
    "answer, wanted, exact, f1",
    [
        ("The Rex!", ["rex"], 1, 1),
        ("a big  dog", ["dog", "big dog."], 1, 1),
        ("big dog barks", ["dog"], 0, 0.5),
        ("dog dog", ["dog"], 0, 2 / 3),
        ("", [], 1, 1),
        ("dog", [], 0, 0),
        ("", ["dog"], 0, 0),
        ("an anthem", ["anthem"], 1, 1),
    ],
)
def test_measures_are_those_of_squad(answer, wanted, exact, f1):
    assert squad.exact_match(answer, wanted) == exact and squad.f1(answer, wanted) == pytest.approx(f1)


ROWS = pa.table({
    "key": [1, 2, 3],
    "text": ["Who barked at noon?", "Who slept?", "Who?"],
    "text_pair": ["At noon the dog Rex barked. The cat Tom slept in the barn."] * 3,
    "answers": lists(["Rex", "the dog Rex"], ["Tom"], []),
})  # fmt: skip


def judged(*answers, no_answer=(-3.0, 2.0, 1.0)):
    columns = {"answer": np.array(answers, object), "no_answer": np.array(no_answer, np.float32)}
    return QuestionAnsweringJudgement(columns, ROWS, ROWS.select(["answers"]), [])


def test_figures_are_split_by_whether_there_is_an_answer():
    judgement = judged("dog Rex", "Rex", "Rex")
    values = {name: each["value"] for name, each in judgement.measure(20, 0).items()}
    assert values == pytest.approx({
        "exact_match": 1 / 3, "f1": 1 / 3, "has_answer_exact_match": 0.5, "has_answer_f1": 0.5, "no_answer_accuracy": 0
    })  # fmt: skip
    details = judgement.details(20, 0)
    assert details["squad"]["HasAns_total"] == 2 and details["squad"]["exact"] == pytest.approx(100 / 3)
    assert details["best_no_answer"]["exact"] == {"threshold": -3.0, "value": pytest.approx(2 / 3)}
    none = judged("dog Rex", "Rex", "Rex", no_answer=(-3.0, 2.0, -5.0)).details(5, 0)["best_no_answer"]["exact"]
    assert none == {"threshold": 0.0, "value": pytest.approx(1 / 3)}  # the first to be answered has no answer
    assert [(name, rows.tolist()) for name, rows in judgement.groups("has_answer")] == [("yes", [0, 1]), ("no", [2])]
    assert judgement.loss.tolist() == [0, 1, 1]


def test_the_baseline_takes_the_words_nearest_to_the_questions():
    window = squad.SlidingWindow([])
    assert window.answer("Who slept in the barn?", ROWS["text_pair"][0].as_py()) == "cat Tom"
    assert window.answer("Who?", "") == "" and window.answer("a", "b") == "b"
    values, says = judged("", "", "").baseline()
    assert 0 <= values["f1"] <= 1 and "Richardson" in says
