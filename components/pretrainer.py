"""Text without answers to what the trainer starts from. Runs only when the config has its section."""

import json
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from components.artifacts import Pretrained, TokenizerFiles, Tokens
from components.base import Input, Output, Recorded, Runtime, Source, component
from components.records import Plan
from components.specs import Table, checked, family_of, objective_of, optimizer_of, plan_of
from data.errors import DataError
from models.options import Precision


@component(version=4, tensorflow=True)
def pretrainer(
    tokens: list[Input[Tokens]],
    tokenizer: Input[TokenizerFiles],
    pretrained: Output[Pretrained],
    runtime: Runtime,
    *,
    input: Annotated[
        Source[str],
        Field(
            description="path pattern of text to learn from, which also counts for the vocabulary; the examples' own "
            "training texts if empty"
        ),
    ] = "",
    format: Annotated[
        str | dict[str, Any], Field(description="name of its format, or a table; by the file's extension when silent")
    ] = "",
    field: Annotated[str, Field(description="column that the text is in")] = "text",
    objective: Annotated[
        Table,
        checked(objective_of),
        Field(description="name of what is learned, or a table; the family's own if empty"),
    ] = {},
    teacher: Annotated[
        Source[str], Field(description="set from pretrainer.objective.teacher: its content counts")
    ] = "",
    family: Annotated[dict[str, Any], Field(description="set from trainer.family: what pretraining depends on")] = {},
    max_tokens: Annotated[
        int, Field(gt=1, description="longer texts are cut into pieces, special tokens included")
    ] = 256,
    epochs: Annotated[
        int | None, Field(gt=0, description="passes over the text; the objective's own if silent")
    ] = None,
    batch_tokens: Annotated[
        int | None, Field(gt=0, description="padded tokens of a batch; the objective's own if silent")
    ] = None,
    optimizer: Annotated[Table, checked(optimizer_of), Field(description="table of the optimizer")] = {},
    precision: Annotated[Precision, Field(description="of the arithmetic; weights stay in float32")] = "float32",
    seed: Annotated[int, Field(ge=0, description="of weights, what is drawn, and order of rows")] = 0,
    similarity: Annotated[
        Source[str], Field(description="file of two words and a score a line, which the report compares with")
    ] = "",
    analogies: Annotated[Source[str], Field(description="file of four words a line, a is to b as c to d")] = "",
    checkpoint_seconds: Recorded[Annotated[float, Field(gt=0, description="time between checkpoints")]] = 300.0,
) -> None:
    """Learns from text without answers, and reports on what it learned."""
    from components.corpus import plan_corpus
    from components.sentence_pairs import make_pairs
    from data.tokenizers import load_tokenizer
    from models.families.base import Vocabulary
    from models.loop import train
    from models.strategy import create
    from models.training import Training

    goal, spec = objective_of(objective | ({"teacher": teacher} if teacher else {})), family_of(family)
    goal.check(spec)
    vocabulary = Vocabulary.of(load_tokenizer(tokenizer.path))
    room = goal.room(spec, max_tokens)
    longest = 1 << 30 if goal.data == "blocks" else room  # blocks are cut from whole texts
    shards = [shard for each in tokens for shard in each.shards("train")]
    if goal.data == "sentences":
        plans = plan_corpus(input, format, field)
        shards, documents = make_pairs(runtime, plans, field, str(tokenizer.path), goal, room, seed, pretrained.scratch)
        pretrained.properties["documents"] = documents
    elif input:
        shards = _tokenise(input, format, field, tokenizer, longest, spec.word_bytes, runtime, pretrained)
    with tempfile.TemporaryDirectory(prefix="polisemia-") as folder:
        rows, counts = _rows(goal, shards, vocabulary, room, spec.word_bytes, runtime, pretrained, Path(folder))
        training = Training(
            **plan_of(goal.defaults(spec), epochs, batch_tokens, optimizer),
            max_tokens=room,
            precision=precision,
            seed=seed,
            deterministic=True,
            buckets=6,
            checkpoint_seconds=checkpoint_seconds,
        )
        result = train(
            partial(goal.build, spec, vocabulary, counts, max_tokens),
            goal,
            rows,
            _valid(goal, tokens, spec.word_bytes),
            training=training,
            strategy=create("one"),
            checkpoint_dir=pretrained.scratch / "checkpoints",
            log_dir=pretrained.path,
            on_progress=runtime.progress,
        )
    start = goal.save(result.model, pretrained.path)
    report = {name: value for name, value in result.history[-1].items() if name not in ("epoch", "learning_rate")}
    report |= goal.measure(pretrained.path / start, {"similarity": similarity, "analogies": analogies})
    (pretrained.path / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False))
    measured = {name: value for name, value in report.items() if name != "neighbours"}
    pretrained.properties.update(start=start, report=measured, rows=len(rows), steps=result.steps)


def _rows(
    goal: Any,
    shards: list[str],
    vocabulary: Any,
    room: int,
    word_bytes: int,
    runtime: Runtime,
    out: Pretrained,
    folder: Path,
) -> tuple[Any, Any]:
    """The store that the objective asks for, and how often each id occurs <int64>[size]."""
    import numpy as np

    from data.blocks import write_blocks
    from data.store import Shards, TokenStore

    if not shards:
        raise DataError("pretrainer: got no text; wanted some; look at pretrainer.input, or at the train split")
    if goal.data == "blocks":
        if not write_blocks(shards, folder / "blocks.arrow", room, vocabulary.end):
            raise DataError("pretrainer: got a text of less than two tokens; wanted a longer one")
        shards = [str(folder / "blocks.arrow")]
    store = TokenStore([Shards(shards)], None, word_bytes)
    if goal.data == "pairs":
        from components.cooccurrence import count_pairs

        words = np.ones(vocabulary.size, bool)
        words[sorted(vocabulary.special)] = False
        return count_pairs(runtime, shards, goal.window, words, out.scratch / "pairs", folder), store.counts(len(words))
    store.weights = goal.weights(np.minimum(store.lengths, room))
    return store, store.counts(vocabulary.size)


def _valid(goal: Any, tokens: list[Tokens], word_bytes: int) -> Any:
    """The examples' valid split, where the objective has metrics for it; else None."""
    from data.store import Shards, TokenStore

    shards = [shard for each in tokens for shard in each.shards("valid")]
    if not goal.measured or not shards:
        return None
    store = TokenStore([Shards(shards)], None, word_bytes)
    store.weights = goal.weights(store.lengths)
    return store


def _tokenise(
    input: str,
    format: Any,
    field: str,
    tokenizer: TokenizerFiles,
    max_tokens: int,
    word_bytes: int,
    runtime: Runtime,
    out: Pretrained,
) -> list[str]:
    """Token shards of the text, in the artifact's scratch."""
    from components.beam import over_blocks
    from components.corpus import plan_corpus

    args = field, str(tokenizer.path), max_tokens, word_bytes, str(out.scratch / "tokens")
    plans = plan_corpus(input, format, field)
    return over_blocks(runtime, "pretrainer", plans, _tokenise_block, args, _merge, out.scratch)


def _tokenise_block(plan: Plan, field: str, tokenizer: str, max_tokens: int, word_bytes: int, out: str) -> list[str]:
    """Writes the token shard of one block; no path where the block has no text. Runs in a worker."""
    from etils import epath

    from components.corpus import texts
    from data.store import write_shard
    from data.tokenizers import load_tokenizer

    encoder, target = load_tokenizer(tokenizer), epath.Path(out) / f"{plan.shard}.arrow"
    target.parent.mkdir(parents=True, exist_ok=True)
    batches = (_records(encoder, batch, max_tokens, word_bytes) for batch in texts(plan, field) if batch)
    return [str(target)] if write_shard(target, batches) else []


def _records(tokenizer: Any, batch: list[str], max_tokens: int, word_bytes: int) -> Any:
    """Token records of texts, the long ones in pieces."""
    import numpy as np
    import pyarrow as pa

    from data import schema
    from data.blocks import cut_words, piece_starts
    from data.store import ragged

    ids, splits = tokenizer.encode(batch)
    starts = piece_starts(splits, max_tokens)
    columns = {schema.IDS: ragged(ids, starts, max_tokens)}
    if word_bytes:
        words, rows = tokenizer.encode_words(batch, int(np.diff(splits).max(initial=1)), word_bytes)
        columns[schema.WORD_BYTES] = cut_words(words, rows, splits, starts)
    return pa.RecordBatch.from_pydict(columns)


def _merge(found: Iterable[list[str]]) -> list[str]:
    return sorted(path for paths in found for path in paths)
