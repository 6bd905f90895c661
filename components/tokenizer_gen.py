"""The tokenizer: learned on the training split, or taken from published files or a preset."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from components.artifacts import Examples, TokenizerFiles
from components.base import Input, Output, Runtime, Source, component
from data import schema
from data.errors import DataError

MAX_UNITS = 4_000_000  # distinct words held while counting; beyond it the rarest go (about 500 MB of Counter)


@component(version=2, tensorflow=True)
def tokenizer_gen(
    examples: list[Input[Examples]],
    tokenizer: Output[TokenizerFiles],
    runtime: Runtime,
    *,
    kind: Annotated[
        str, Field(description="words, characters, wordpiece, bpe, sentencepiece; the family's own if empty")
    ] = "",
    vocabulary_size: Annotated[int, Field(gt=5, description="entries at most, special tokens included")] = 8000,
    min_count: Annotated[int, Field(ge=1, description="rarer words are left out before learning")] = 1,
    options: Annotated[
        dict[str, Any], Field(description="of the kind: lowercase, strip_accents, model_type, ...")
    ] = {},
    files: Annotated[
        Source[str],
        Field(description="published files to take instead, or their folder: vocab.txt, *.model, tokenizer.json, ..."),
    ] = "",
    preset: Annotated[
        str, Field(description="set from trainer.family.preset where that is a name or a handle: its own tokenizer")
    ] = "",
    vectors: Annotated[Source[str], Field(description="set from trainer.family.vectors, whose words join")] = "",
    vectors_encoding: Annotated[str, Field(description="set from trainer.family.vectors_encoding")] = "utf-8",
    corpus: Annotated[Source[str], Field(description="set from pretrainer.input, whose words count too")] = "",
    corpus_format: Annotated[str | dict[str, Any], Field(description="set from pretrainer.format")] = "",
    corpus_field: Annotated[str, Field(description="set from pretrainer.field")] = "text",
) -> None:
    """Counts words over the training split in Beam and learns a vocabulary from the counts."""
    from data.tokenizers import TOKENIZERS, from_files
    from models.hub import find_folder

    if files or preset:
        made = from_files(files or find_folder(preset), **options)
    else:
        text = (corpus, corpus_format, corpus_field) if corpus else None
        counts = _count(examples, text, TOKENIZERS[kind], options, min_count, runtime, tokenizer)
        if vectors and TOKENIZERS[kind].whole_words:
            counts |= _words_of(vectors, vectors_encoding, vocabulary_size, TOKENIZERS[kind], options, counts)
        made = TOKENIZERS[kind].learn(counts, vocabulary_size=vocabulary_size, **options)
    made.save(tokenizer.path)
    tokenizer.properties.update(kind=made.kind, size=len(made.vocabulary), special=vars(made.special))


def _words_of(
    vectors: str, encoding: str, most: int, kind: Any, options: dict, counts: dict[str, int]
) -> dict[str, int]:
    """The words of a file of vectors that the training split lacks, as the tokenizer would write them. They are counted
    below all others, in the file's order: a word that is met later then has its vector.
    """
    from data.vectors import read_vectors

    words = read_vectors(vectors, encoding, most=most).words
    written = kind.count(words, **options)
    found: dict[str, int] = {}
    for place, word in enumerate(words):
        form = next((form for form in (word, word.lower()) if form in written), None)
        if form is not None and form not in counts:
            found.setdefault(form, -place)
    return found


def _count(
    examples: list[Examples],
    corpus: tuple | None,
    kind: Any,
    options: dict,
    min_count: int,
    runtime: Runtime,
    out: TokenizerFiles,
) -> dict[str, int]:
    from components.beam import over_blocks
    from components.corpus import plan_corpus

    shards = [shard for artifact in examples for shard in artifact.shards("train")]
    counts = over_blocks(runtime, "tokenizer_gen", shards, _count_shard, (kind, options), _merge, out.scratch)
    if corpus:
        blocks, args = plan_corpus(*corpus), (corpus[2], kind, options)
        counts = _merge([counts, over_blocks(runtime, "corpus", blocks, _count_corpus, args, _merge, out.scratch)])
    kept = {unit: n for unit, n in counts.items() if n >= min_count}
    if not kept:
        raise DataError(f"tokenizer_gen: no word of the training split occurs {min_count} times; lower min_count")
    return kept


def _count_shard(shard: str, kind: Any, options: dict) -> Counter:
    import pyarrow.parquet as pq
    from etils import epath

    counts: Counter = Counter()
    with epath.Path(shard).open("rb") as opened:
        file = pq.ParquetFile(opened)
        columns = [c for c in schema.TEXTS if c in file.schema_arrow.names]
        for batch in file.iter_batches(2048, columns=columns, use_threads=False):
            for column in columns:
                counts.update(kind.count(batch.column(column).to_pylist(), **options))
    return counts


def _count_corpus(plan: Any, field: str, kind: Any, options: dict) -> Counter:
    from components.corpus import texts

    counts: Counter = Counter()
    for batch in texts(plan, field):
        counts.update(kind.count(batch, **options))
    return counts


def _merge(counts: Iterable[Counter]) -> Counter:
    total: Counter = Counter()
    for one in counts:
        total.update(one)
        if len(total) > MAX_UNITS:
            total = Counter(dict(total.most_common(MAX_UNITS // 2)))
    return total


def check_options(kind: str, options: dict[str, Any]) -> list[str]:
    """What is wrong with a `[tokenizer_gen]` section, before anything runs."""
    import inspect

    from data.errors import did_you_mean
    from data.tokenizers import TOKENIZERS

    if kind not in TOKENIZERS:
        return [f"tokenizer_gen.kind: unknown tokenizer '{kind}'{did_you_mean(kind, TOKENIZERS)}"]
    parameters = inspect.signature(TOKENIZERS[kind].learn).parameters
    known = [n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY and n != "vocabulary_size"]
    return [
        f"tokenizer_gen.options.{n}: {kind} has no such option{did_you_mean(n, known)}"
        for n in options
        if n not in known
    ]
