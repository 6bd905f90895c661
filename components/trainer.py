"""The token store to a trained model, exported as a SavedModel: one path for every family, task and strategy."""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from components.artifacts import Examples, Model, Pretrained, Schema, TokenizerFiles, Tokens
from components.base import Input, Output, Recorded, Runtime, Shared, Source, component
from components.rows import rows_of
from components.specs import (
    Table,
    checked,
    distillation_of,
    early_stopping_of,
    family_of,
    fine_tuning_of,
    optimizer_of,
    plan_of,
    spec_of,
    with_sources,
)
from components.warm_start import counted_of, known_of, write_start
from data.errors import ConfigError, DataError, did_you_mean
from models.families.base import Vocabulary
from models.options import Precision


@component(version=2, tensorflow=True)
def trainer(
    tokens: list[Input[Tokens]],
    tokenizer: Input[TokenizerFiles],
    schema: Input[Schema],
    examples: list[Input[Examples]],
    pretrained: Input[Pretrained] | None,
    champion: Input[Model] | None,
    model: Output[Model],
    runtime: Runtime,
    *,
    task: Shared[str],
    family: Annotated[
        Table,
        checked(family_of, required=True),
        Field(description="name of the family, or a table of it and its parameters"),
    ],
    vectors: Annotated[Source[str], Field(description="set from trainer.family.vectors: its content counts")] = "",
    preset: Annotated[Source[str], Field(description="set from trainer.family.preset where that is a folder")] = "",
    weights: Annotated[Source[str], Field(description="set from trainer.family.weights where that is a folder")] = "",
    hub: Annotated[Source[str], Field(description="set from trainer.family.hub where that is a folder")] = "",
    head: Annotated[dict[str, Any], Field(description="parameters of the task, such as label_smoothing")] = {},
    epochs: Annotated[
        int | None, Field(gt=0, description="passes over the training split; the family's own if silent")
    ] = None,
    batch_tokens: Annotated[
        int | None,
        Field(gt=0, description="padded tokens of a global batch, over all replicas; the family's own if silent"),
    ] = None,
    optimizer: Annotated[
        Table, checked(optimizer_of), Field(description="table of the optimizer; see Optimizer below")
    ] = {},
    fine_tuning: Annotated[
        dict[str, Any],
        checked(fine_tuning_of),
        Field(description="table of which layers train, when, and how fast; see Fine-tuning below"),
    ] = {},
    distill: Annotated[
        dict[str, Any],
        checked(distillation_of),
        Field(description="table of a trained model that teaches this one; see Distillation below"),
    ] = {},
    teacher: Annotated[Source[str], Field(description="set from trainer.distill.teacher: its content counts")] = "",
    optimizer_state: Annotated[
        bool,
        Field(
            description="keep the optimizer's moments with the model, and go on from the champion's where training "
            "starts from one that has kept them"
        ),
    ] = False,
    accumulate: Annotated[
        int, Field(gt=0, description="pieces of a batch whose gradients are added up one by one, to save memory")
    ] = 1,
    ema: Annotated[
        float,
        Field(ge=0, lt=1, description="decay of a running mean of the weights, which is then what is kept; 0: none"),
    ] = 0.0,
    early_stopping: Annotated[
        dict[str, Any],
        checked(early_stopping_of),
        Field(description="table of what to watch, and how long; see Early stopping below"),
    ] = {},
    class_weights: Annotated[
        Literal["none", "balanced"] | dict[str, float],
        Field(description="weight of each label's rows; balanced: rows / (labels x its rows)"),
    ] = "none",
    span_half_life: Annotated[
        float, Field(ge=0, description="spans in which the weight of a row halves, the newest span weighing 1; 0: none")
    ] = 0.0,
    precision: Annotated[Precision, Field(description="of the arithmetic; weights stay in float32")] = "float32",
    seed: Annotated[int, Field(ge=0, description="of weights, dropout and order of rows")] = 0,
    deterministic: Annotated[bool, Field(description="the same weights bit for bit each time; slower on GPUs")] = True,
    buckets: Annotated[int, Field(gt=0, description="lengths that rows are padded to, at most")] = 6,
    steps_per_call: Annotated[int, Field(gt=0, description="training steps in one call of the compiled function")] = 1,
    jit_compile: Annotated[bool, Field(description="compile the step with XLA")] = False,
    frozen_cache_gb: Annotated[
        float, Field(ge=0, description="most disk for what frozen layers make of each row, computed once; 0: none")
    ] = 10.0,
    strategy: Recorded[
        Annotated[
            Literal["auto", "one", "mirrored", "multi_worker", "tpu"], Field(description="how devices share the work")
        ]
    ] = "auto",
    cpu_devices: Recorded[Annotated[int, Field(gt=0, description="logical CPU devices for mirrored without GPUs")]] = 1,
    checkpoint_seconds: Recorded[Annotated[float, Field(gt=0, description="time between checkpoints")]] = 300.0,
) -> None:
    """Trains the family on the task and exports a SavedModel that takes strings, with golden requests in it."""
    from components.teaching import teach
    from data.tokenizers import load_tokenizer
    from models import strategy as strategies
    from models.build import adapt, build_model
    from models.loop import train
    from models.tasks import TASKS
    from models.training import Training
    from models.warm_start import report, warm

    family = with_sources(family, {"vectors": vectors, "preset": preset, "weights": weights, "hub": hub})
    words, devices = load_tokenizer(tokenizer.path), strategies.create(strategy, cpu_devices)
    given, job = family_of(family), spec_of(TASKS[task], head).bound(words)
    plan = plan_of(given.defaults(), epochs, batch_tokens, optimizer)  # small steps are for published weights
    spec = _started(given, pretrained)
    labels, max_tokens = schema.properties["labels"], tokens[0].properties["max_tokens"]
    read = labels, spec, span_half_life, job, max_tokens, words.special.end
    stores = {split: rows_of(tokens, split, *read) for split in ("train", "valid")}
    job = job.settled(stores["train"].scores)
    _weigh(stores["train"], class_weights, labels)
    vocabulary, known = Vocabulary.of(words), known_of(champion, words, labels, optimizer_state)
    batches = _batches(stores["train"], max_tokens)
    adapted = counted_of(champion, known) or adapt(spec, batches, vocabulary, max_tokens, job.apart)
    about = {"task": task, "family": family, **_read_by(job, tokens, stores, labels)}
    goal, build = job, partial(build_model, spec, job, max_tokens=max_tokens, pairs=stores["train"].pairs)
    build = partial(partial(warm, build, known) if known else build, vocabulary, labels=labels, adapted=adapted)
    if teacher:
        build, goal = teach(distill, teacher, (build, spec, job), stores["train"], examples, about, words)
    result = train(
        build,
        goal,
        stores["train"],
        stores["valid"],
        training=Training(
            **plan,  # and Pydantic makes the specs of the tables
            max_tokens=max_tokens,
            buckets=buckets,
            fine_tuning=fine_tuning,
            accumulate=accumulate,
            ema=ema,
            early_stopping=early_stopping or None,
            precision=precision,
            seed=seed,
            deterministic=deterministic,
            steps_per_call=steps_per_call,
            jit_compile=jit_compile,
            frozen_cache_gb=frozen_cache_gb,
            checkpoint_seconds=checkpoint_seconds,
        ),
        strategy=devices,
        checkpoint_dir=model.scratch / "checkpoints",
        log_dir=model.path,
        on_progress=runtime.progress,
        on_notice=runtime.notice,
        known=known,
    )
    if runtime.is_chief:
        model.properties.update(about, **_learned(result, spec, plan), warm_start=report(known, result.carried))
        _save(model, result.model, spec, job, words, labels, max_tokens, examples)
        write_start(model, result, adapted, optimizer_state)


def _learned(result: Any, family: Any, plan: dict[str, Any]) -> dict[str, Any]:
    """What the artifact says of a training: how large, how long, and what the family would have a user read of it."""
    from models.distillation import student_of

    trained = student_of(result.model)
    return {
        "parameters": sum(int(weight.shape.num_elements() or 0) for weight in trained.trainable_weights),
        "training": {"epochs": len(result.history), "best_epoch": result.best_epoch, "steps": result.steps, **plan},
        "learned": family.report(trained.encoder),
    }


def _read_by(job: Any, tokens: list[Tokens], stores: dict[str, Any], labels: list[str]) -> dict[str, Any]:
    """What the artifact says of the task, and of the rows that a model reads."""
    from models.build import inputs_of

    return {
        "head": job.model_dump(exclude_unset=True),
        "labels": labels,
        "inputs": list(inputs_of(job, stores["train"].pairs)),
        "fields": tokens[0].properties["fields"],
        "max_tokens": tokens[0].properties["max_tokens"],
        "stride": tokens[0].properties.get("stride", 0),
        "rows": {split: len(store) if store else 0 for split, store in stores.items()},
    }


def _started(family: Any, pretrained: Pretrained | None) -> Any:
    """The family, starting from what was pretrained."""
    return family.start_from(str(pretrained.path / pretrained.properties["start"])) if pretrained else family


def _weigh(store: Any, class_weights: str | dict[str, float], labels: list[str]) -> None:
    """Multiplies the rows' weights by their label's weight."""
    import numpy as np

    if class_weights == "none":
        return
    if not (store.classes >= 0).any():
        raise ConfigError(f"trainer.class_weights: got {class_weights!r} for a task without one label a row; drop it")
    counts = np.bincount(store.classes, weights=store.weights, minlength=len(labels))
    if isinstance(class_weights, str):  # balanced
        weights = counts.sum() / (len(labels) * np.maximum(counts, 1e-9))
    else:
        unknown = [label for label in class_weights if label not in labels]
        if unknown:
            raise ConfigError(*(f"trainer.class_weights.{u}: no such label{did_you_mean(u, labels)}" for u in unknown))
        weights = np.array([class_weights.get(label, 1.0) for label in labels])
    store.weights *= weights[store.classes].astype(np.float32)


class _batches:
    """Every training row once, for what a family counts; iterable more than once."""

    def __init__(self, store: Any, max_tokens: int):
        from data.batches import Plan

        self.store = store
        self.calls = Plan(store.lengths, store.weights, batch_tokens=1 << 16, max_tokens=max_tokens).in_order()

    def __iter__(self):
        for call in self.calls:
            for rows in call.rows[: call.steps]:
                yield self.store.gather(rows, call.length)


def _save(
    model: Model,
    trained: Any,
    family: Any,
    task: Any,
    tokenizer: Any,
    labels: list[str],
    max_tokens: int,
    examples: list[Examples],
) -> None:
    """`saved_model/` with what later stages need inside it."""
    from components.golden import write_golden
    from components.saved_model import write_properties
    from models.distillation import student_of
    from models.signatures import export

    place, inputs = model.path / "saved_model", model.properties["inputs"]
    export(student_of(trained), family, task, tokenizer, labels, max_tokens, inputs, place, model.properties["stride"])
    write_properties(place, model.properties)
    columns = {name: task.columns.get(name, name) for name in inputs}
    write_golden(place, _some_texts(examples, columns))


def _some_texts(examples: list[Examples], columns: dict[str, str]) -> dict[str, list[bytes]]:
    """The first rows that the model has not learnt from, if there are such: what to ask it by way of proof.

    columns: of the examples, by input."""
    import pyarrow.parquet as pq
    from etils import epath

    from components.golden import ROWS
    from components.saved_model import as_bytes

    for shard in (shard for split in ("test", "valid", "train") for part in examples for shard in part.shards(split)):
        with epath.Path(shard).open("rb") as file:
            table = pq.ParquetFile(file).read(list(columns.values())).slice(0, ROWS)
        if len(table):
            return {name: as_bytes(table.column(column)) for name, column in columns.items()}
    raise DataError("trainer: no split has a row; look at [example_gen] input and splits")
