"""What every exported model must do, whatever its family and task, in each runtime that may serve it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.golden import compare_all, read_golden, request_of, write_golden
from components.infra_validator import check_ops
from components.native_client import native_job, signatures
from components.native_session import from_json
from components.warmup import read_warmup
from data.tokenizers.base import Tokenizer
from models.build import inputs_of
from models.decoding import Prompt, generate
from models.families.base import Family
from models.generation import Generation
from models.packing import apart
from models.signatures import export
from models.writing import Written
from tests.contracts import tiny
from tests.contracts.likelihoods import check_both_ways, check_filled, check_likelihoods, check_pseudo_likelihoods

ROOT = Path(__file__).parents[2]
OLDEST = "2.18"
LIKELIHOODS = "log_likelihood", "log_likelihood_forwards", "log_likelihood_backwards", "perplexity"
RELATIVE = dict.fromkeys(LIKELIHOODS, 1e-5)  # far above 1: of 20,000 tokens, or an exponential
NASTY = [
    b"",
    b" ",
    b"good film",
    b"\xff\xfe\x80 film",
    b"good\0film \0",
    b"very [MASK], [MASK] film",
    b"good " * 20_000,
    "¡película! 🎬 bad".encode(),
]
LOADERS = {
    "cpp": "from components.native_session import main; main()",
    "python": "from tests.contracts.without_keras import main; main()",
}


def check_exported(
    model, family: Family, task_name: str, directory: Path, pairs: bool, tokenizer: Tokenizer = tiny.WORDS
) -> None:
    """Exports a trained model and runs every check on it."""
    pairs |= tiny.needs_pairs(task_name)
    labels = tiny.examples(task_name)[1]
    inputs = inputs_of(tiny.task(task_name), pairs)
    export(model, family, tiny.task(task_name), tokenizer, labels, tiny.MAX_TOKENS, inputs, directory)
    loaded = tf.saved_model.load(str(directory))  # the signatures alone do not keep the weights alive
    texts = dict.fromkeys(inputs, NASTY)
    check_ops_and_weights(model, directory)
    if "generate" in loaded.signatures:
        check_likelihoods(loaded.signatures["serving_default"], model, task_name)
        check_continued(loaded, model, task_name)
    elif task_name == "bidirectional_language_modeling":
        check_both_ways(loaded.signatures["serving_default"], model)
    elif "fill_mask" in loaded.signatures:
        check_pseudo_likelihoods(loaded.signatures["serving_default"], model)
        check_filled(loaded.signatures["fill_mask"], model, task_name)
    elif getattr(loaded, "writer", None) is not None:
        check_answered(loaded, model, task_name)
    else:
        answering = next(loaded.signatures[name] for name in ("tags", "serving_default") if name in loaded.signatures)
        check_answer(answering, model, task_name, pairs)
    if "embed" in loaded.signatures:
        embed = loaded.signatures["embed"]
        (name,) = embed.structured_input_signature[1]
        check_embed(lambda text: embed(**{name: text}), model, task_name)
    for name, side in signatures(directory).items():
        check_rows(loaded.signatures[name], request_of(name, side, texts)["inputs"])
    write_golden(directory, texts)
    for loader in LOADERS:
        check_loader(directory, loader)


def check_older_tensorflow(model, family: Family, task_name: str, directory: Path, packages: str) -> None:
    """The C++ runtime of another TensorFlow, in the folder `packages`, answers the golden requests the same."""
    labels = tiny.examples(task_name)[1]
    inputs = inputs_of(tiny.task(task_name), pairs=False)
    export(model, family, tiny.task(task_name), tiny.WORDS, labels, tiny.MAX_TOKENS, inputs, directory)
    write_golden(directory, dict.fromkeys(inputs, NASTY))
    check_loader(directory, "cpp", packages)


def check_ops_and_weights(model, directory: Path) -> None:
    """No op that the oldest TF Serving lacks, or that a seed decides; each weight once, and nothing else."""
    assert not [op for op in check_ops(directory, OLDEST) if "Random" in op]
    stored = tf.train.list_variables(str(directory / "variables/variables"))
    written = sorted(shape for name, shape in stored if "_CHECKPOINTABLE" not in name)
    assert written == sorted(list(weight.shape) for weight in model.weights)


def check_answer(serve, model, task_name: str, pairs: bool) -> None:
    """The signature that puts the task's answer as it is answers what the model answers."""
    examples, labels = tiny.examples(task_name, pairs)
    task = tiny.task(task_name)
    columns = {name: task.columns.get(name, name) for name in inputs_of(task, pairs)}
    answers = serve(**{name: tf.constant(examples.column(column).to_pylist()) for name, column in columns.items()})
    expected = tiny.task(task_name).answer(model(tiny.batch(task_name, 5, pairs)), labels)
    assert set(answers) >= set(expected)
    for key, whole in expected.items():
        value = whole[tuple(slice(size) for size in answers[key].shape)]
        assert value.shape == whole.shape or not np.any(whole.numpy()[:, answers[key].shape[1] :])
        assert answers[key].dtype == value.dtype and answers[key].shape == value.shape
        if value.dtype.is_floating:
            np.testing.assert_allclose(answers[key], value, atol=1e-5)
        else:
            assert np.array_equal(answers[key], value)


def check_continued(loaded, model, task_name: str) -> None:
    """What the signature writes after a text, alone or among others, is what the decoder writes after its tokens; the
    functions beside the signatures write the same, and the same at a time, and take other options."""
    texts, task = tiny.examples(task_name)[0].column("text").to_pylist(), tiny.task(task_name)
    found = loaded.signatures["generate"](text=tf.constant(texts))
    for row, text in enumerate(texts):
        start = [tiny.VOCABULARY.end, *tiny.WORDS.encode([text])[0].tolist()]
        prompt = Prompt(tf.constant([start]), tf.constant([len(start)]))
        check_written(generate(model.encoder, prompt, task.generation, tiny.VOCABULARY), found, row)
    check_writer(loaded, texts, found, task.generation)


def check_answered(loaded, model, task_name: str) -> None:
    """The same for what is written for a source."""
    texts, task, batch = (
        tiny.examples(task_name)[0].column("text").to_pylist(),
        tiny.task(task_name),
        tiny.batch(task_name, 5),
    )
    found = loaded.signatures["serving_default"](text=tf.constant(texts))
    for row in range(len(texts)):
        source = {name: tf.constant(batch[name][row : row + 1]) for name in ("ids", "length")}
        encoded = model.read(model.pack(source))
        prompt = Prompt(tf.constant([[tiny.VOCABULARY.start]]), tf.constant([1]), encoded.sequence, encoded.mask)
        check_written(generate(model.encoder, prompt, task.generation, tiny.VOCABULARY), found, row)
    check_writer(loaded, texts, found, task.generation)
    covering = Generation(method="beam", beams=2, max_tokens=3, coverage_penalty=0.5)
    last = generate(model.encoder, prompt, covering, tiny.VOCABULARY)
    np.testing.assert_allclose(
        Written(loaded.writer).generate([texts[-1].encode()], covering)[1][0], last.scores[0, :1], atol=1e-5
    )


def check_written(wanted, found, row: int) -> None:
    ids = wanted.ids[0, 0, : wanted.lengths[0, 0]].numpy()
    assert found["text"][row].numpy().decode() == " ".join(tiny.WORDS.vocabulary[i] for i in ids)
    np.testing.assert_allclose(found["score"][row], wanted.scores[0, 0], atol=1e-5)


def check_writer(loaded, texts: list[str], found, options: Generation) -> None:
    written, prompts = Written(loaded.writer), [text.encode() for text in texts]
    again, scores = written.generate(prompts, options)
    assert [row[0] for row in again] == [text.decode() for text in found["text"].numpy()]
    np.testing.assert_allclose(np.array(scores)[:, 0], found["score"], atol=1e-5)
    assert "".join(written.stream(prompts[0], options)) == again[0][0]
    beams = Generation(method="beam", beams=3, n_best=2, max_tokens=3)
    together, alone = (
        written.generate(prompts, beams)[0],
        [written.generate([each], beams)[0][0] for each in prompts[:2]],
    )
    assert together[:2] == alone and {len(row) for row in together} == {2}


def check_embed(embed, model, task_name: str) -> None:
    """The vectors are the encoder's, one for each token of the text, with the place it was in."""
    texts, batch = tiny.examples(task_name)[0].column("text").to_pylist(), apart(tiny.batch(task_name, 9))[0]
    packed = model.pack(batch)
    encoded, answer = model.read(packed), embed(text=tf.constant(texts))
    assert ("pooled" in answer, "sequence" in answer) == (encoded.pooled is not None, encoded.sequence is not None)
    if "pooled" in answer:
        np.testing.assert_allclose(answer["pooled"], encoded.pooled, atol=1e-5)
    if "sequence" in answer:
        for row, length in enumerate(answer["length"]):
            expected = encoded.sequence[row][of_text(packed, row)]
            np.testing.assert_allclose(answer["sequence"][row, :length], expected, atol=1e-5)
            assert not np.any(answer["sequence"][row, length:])
        check_spans(embed, model)


def check_spans(embed, model) -> None:
    """Every token is where the offsets say, but for those that max_tokens cuts."""
    texts = ["good film", "", "¡ película good", "bad " * 99]
    answer = embed(text=tf.constant(texts))
    ids = tiny.WORDS.graph(tf.constant(texts))[:, : tiny.MAX_TOKENS]
    packed = model.pack({"ids": ids.to_tensor(), "length": tf.cast(ids.row_lengths(), tf.int32)})
    for row, text in enumerate(texts):
        spans = list(zip(answer["start"][row].numpy(), answer["end"][row].numpy(), strict=True))
        length = int(answer["length"][row])
        assert length == np.count_nonzero(of_text(packed, row))
        assert [text[start:end] for start, end in spans[:length]] == text.split()[:length]
        assert set(spans[length:]) <= {(-1, -1)}


def of_text(packed: Mapping[str, tf.Tensor], row: int) -> np.ndarray:
    """Which tokens packing did not add."""
    added = [i for i in tiny.WORDS.special.ids if i != tiny.WORDS.special.unknown]
    return packed["mask"][row].numpy() & ~np.isin(packed["ids"][row], added)


def check_rows(signature, inputs: Mapping[str, list]) -> None:
    """Any bytes get an answer, the same one alone as among others: nothing, invalid UTF-8, NUL, a great many words."""
    columns = {name: tf.constant(from_json(rows), tf.string) for name, rows in inputs.items()}
    together = signature(**columns)
    for row in range(len(NASTY)):
        alone = signature(**{name: column[row : row + 1] for name, column in columns.items()})
        check_row(alone, {name: value[row : row + 1] for name, value in together.items()})
    none = signature(**{name: column[:0] for name, column in columns.items()})
    assert all(value.shape[0] == 0 for value in none.values())


def check_row(alone: Mapping[str, tf.Tensor], among: Mapping[str, tf.Tensor]) -> None:
    """Answers along the tokens are as long as the longest row; what is behind a row's own is filling."""
    for name, value in alone.items():
        other = among[name][tuple(slice(size) for size in value.shape)]
        if value.dtype.is_floating:
            np.testing.assert_allclose(other, value, atol=1e-5, rtol=RELATIVE.get(name, 0), err_msg=name)
        else:
            assert np.array_equal(other, value), name


def check_loader(directory: Path, loader: str, packages: str = "") -> None:
    """The golden requests are answered as here: by TensorFlow's C++ runtime with XLA off, as in TF Serving, or by a
    Python that cannot import Keras."""
    golden = read_golden(directory)
    job = native_job(directory, [each.request for each in golden], read_warmup(directory), packages=packages)
    child = _child(loader, packages)
    child.stdin.write(json.dumps(job) + "\n")
    child.stdin.flush()
    line = child.stdout.readline()
    assert line, f"the {loader} loader ended with {child.wait()}"
    answered = json.loads(line)
    assert "answers" in answered, answered
    compare_all(golden, answered["answers"], loader)


@cache
def _child(loader: str, packages: str) -> subprocess.Popen:
    """One process a loader, for all models: it ends with this one. A runtime is loaded once, so one for each, too."""
    command = [sys.executable, "-c", LOADERS[loader]]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, text=True, cwd=ROOT, **pipes)
