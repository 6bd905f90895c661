"""The two compiled functions of a run: a call of training steps, and a validation batch.

Both take whole global batches <...>[k, R, b, ...] (k steps, R replicas, b rows each); every replica
reads its own part, so one way of feeding serves one device, mirrored, multi_worker and TPU. A batch
of ids is some 30 kB, cheaper to hand to each replica than to distribute.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import keras
import numpy as np
import tensorflow as tf

from data.arrays import joined
from data.batches import Call
from data.schema import CLASS, TEACHER, WEIGHT
from data.store import TokenStore
from models.averaging import Average
from models.layers import in_float32
from models.rows import is_row_sparse
from models.strategy import local_replicas
from models.tasks.base import Task
from models.training import Training

Shapes = dict[str, tf.TensorSpec] | None  # of the batches a function takes; None: it is traced for each shape
Item = TypeVar("Item")
Made = TypeVar("Made")


def train_function(
    model: keras.Model,
    variables: Sequence[keras.Variable],
    task: Task,
    optimizer: keras.Optimizer,
    average: Average,
    strategy: tf.distribute.Strategy,
    shapes: Shapes,
    training: Training,
) -> Callable[..., tf.Tensor]:
    """A function of (batch, weights <float32>[k], steps <int32>, totals) that takes `steps` training steps.

    Each changes `variables`, then the average. The loss of a step is sum(weight * loss) / weights[step] over the rows
    of all replicas, plus the model's own penalties once. totals <float64>[4] comes in and goes out, on the device: sum
    of loss * weight, sum of weights, steps, and the first step whose loss was not finite (-1 before).
    """
    pieces = training.accumulate

    def gradients_of(part, weight):
        with tf.GradientTape() as tape:
            logits = in_float32(model(features(part), training=True))
            loss = tf.math.divide_no_nan(tf.reduce_sum(part[WEIGHT] * task.loss(logits, part)), weight)
            penalties = [tf.cast(penalty, tf.float32) for penalty in model.losses]
            loss = tf.add_n([loss, *(penalty / (strategy.num_replicas_in_sync * pieces) for penalty in penalties)])
            scaled = optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled, variables)

    def step(batch, n, weight):
        replica = tf.distribute.get_replica_context()
        part = {name: value[n][replica.replica_id_in_sync_group] for name, value in batch.items()}
        if pieces == 1:
            loss, gradients = gradients_of(part, weight)
        else:
            loss, gradients = _in_pieces(lambda piece: gradients_of(piece, weight), part, pieces, variables)
        used = [(each, w) for each, w in zip(gradients, variables, strict=True) if each is not None]
        *summed, loss = replica.all_reduce(tf.distribute.ReduceOp.SUM, [*(each for each, _ in used), loss])
        optimizer.apply(summed, [w for _, w in used])
        return loss

    step = tf.function(step, jit_compile=True) if training.jit_compile else step

    def call(batch, weights, steps, totals):
        for n in tf.range(steps):
            loss = strategy.experimental_local_results(strategy.run(step, args=(batch, n, weights[n])))[0]
            average.update(strategy)
            totals = _add(totals, tf.cast(loss, tf.float64), tf.cast(weights[n], tf.float64))
        return totals

    scalars = tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int32), tf.TensorSpec([4], tf.float64)
    return tf.function(call, input_signature=shapes and (shapes, *scalars))


def _in_pieces(gradients_of: Callable, part: Mapping[str, tf.Tensor], pieces: int, variables) -> tuple:
    """The loss and the gradients of a part, added up over its pieces, the last one filled with rows of weight 0."""
    rows = part[WEIGHT].shape[0] or tf.shape(part[WEIGHT])[0]
    size = (rows + pieces - 1) // pieces
    order = tf.range(size * pieces)
    filled = {name: tf.gather(value, tf.minimum(order, rows - 1)) for name, value in part.items()}
    filled[WEIGHT] = tf.where(order < rows, filled[WEIGHT], 0.0)
    parted = {}
    for name, value in filled.items():
        parted[name] = tf.reshape(value, tf.concat([[pieces, size], tf.shape(value)[1:]], 0))
        parted[name].set_shape([pieces, size if isinstance(size, int) else None, *value.shape[1:]])
    unused = set()

    def add(n, loss, sums):
        more, gradients = gradients_of({name: value[n] for name, value in parted.items()})
        unused.update(place for place, gradient in enumerate(gradients) if gradient is None)
        return n + 1, loss + more, [_added(*each, n) for each in zip(sums, gradients, variables, strict=True)]

    nothing = 0, 0.0, [_no_sum(variable, pieces) for variable in variables]
    _, loss, sums = tf.while_loop(lambda n, *_: n < pieces, add, nothing)
    summed = [_sum(*each) for each in zip(sums, variables, strict=True)]
    return loss, [None if place in unused else each for place, each in enumerate(summed)]


def _no_sum(variable: keras.Variable, pieces: int):
    """What the gradients of a variable are added to. Of a table of Rows, the rows with a gradient are kept, piece
    behind piece: a sum would be as large as the table."""
    if not is_row_sparse(variable):
        return tf.zeros(variable.shape, variable.dtype)
    shapes = {variable.dtype: [None, *variable.shape[1:]], "int64": [None]}
    return [tf.TensorArray(kind, pieces, infer_shape=False, element_shape=each) for kind, each in shapes.items()]


def _added(total, gradient, variable: keras.Variable, n: tf.Tensor):
    if not is_row_sparse(variable):
        return total if gradient is None else total + tf.convert_to_tensor(gradient)
    if gradient is None:
        gradient = tf.IndexedSlices(tf.zeros([0, *variable.shape[1:]]), tf.zeros([0], tf.int64))
    elif not isinstance(gradient, tf.IndexedSlices):
        gradient = tf.IndexedSlices(gradient, tf.range(variable.shape[0]))
    values, rows = total
    return [values.write(n, gradient.values), rows.write(n, tf.cast(gradient.indices, tf.int64))]


def _sum(total, variable: keras.Variable):
    if not is_row_sparse(variable):
        return total
    values, rows = (each.concat() for each in total)
    return tf.IndexedSlices(values, rows, tf.constant(list(variable.shape), tf.int64))


def shapes_of(store: TokenStore, *leading: int) -> Shapes:
    """What the functions of a run take of `store`, where XLA does not need every shape of its own.

    With many lengths, any: traced once for all buckets, the first epoch takes a fifth of the time that it takes with a
    trace a bucket, of six, and the others as long. Where rows are as long as each other, as blocks of a text are but
    for the last, a step of known shape takes 3 to 5 % less.
    """
    whole = isinstance(store, TokenStore) and len(store.columns) == 1  # what objectives draw has shapes of its own
    return None if whole and len(np.unique(store.lengths)) <= 2 else any_shape(store, *leading)


def any_shape(store: TokenStore, *leading: int) -> dict[str, tf.TensorSpec]:
    """Batches of `store` with these leading dimensions, any number of rows and any number of tokens."""
    batch = store.gather(np.zeros(1, np.int64), 1)
    shapes = {name: [*[None] * min(value.ndim, 2), *value.shape[2:]] for name, value in batch.items()}
    return {name: tf.TensorSpec([*leading, *shape], batch[name].dtype) for name, shape in shapes.items()}


def no_totals() -> tf.Tensor:
    """What `train_function` adds to, at the start of an epoch."""
    return tf.constant([0, 0, 0, -1], tf.float64)


def _add(totals: tf.Tensor, loss: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    steps = totals[2] + 1
    bad = tf.where((totals[3] < 0) & ~tf.math.is_finite(loss), steps, totals[3])
    return tf.stack([totals[0] + loss * weight, totals[1] + weight, steps, bad])


def evaluate_function(model: keras.Model, task: Task, strategy: tf.distribute.Strategy, shapes: Shapes) -> Callable:
    """A function of a batch <...>[R, b, ...] that gives what each replica's `task.outcome` is, and its losses [b].

    R counts this process's replicas only: each worker computes the whole split, without collectives.
    """

    def step(batch):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group % local_replicas(strategy)
        part = {name: value[replica] for name, value in batch.items()}
        logits = in_float32(model(features(part), training=False))
        return task.outcome(logits, part), task.loss(logits, part)

    return tf.function(lambda batch: strategy.run(step, args=(batch,)), input_signature=shapes and (shapes,))


def evaluate(
    function: Callable, task: Task, store: TokenStore, calls: list[Call], strategy: tf.distribute.Strategy, tight: bool
) -> dict[str, float]:
    """The task's metrics and the weighted mean `loss` over all rows of `calls`. tight: see `load`."""
    outcomes: list = []
    losses: list[np.ndarray] = []
    batches: list[dict[str, np.ndarray]] = []
    replicas = local_replicas(strategy)
    for call, batch in prefetch(lambda call: load(store, call, replicas, tight), calls):
        for n in range(call.steps):
            found = strategy.experimental_local_results(function({name: value[n] for name, value in batch.items()}))
            here = call.rows[n] >= 0
            outcome, loss = _kept(found, here)
            outcomes.append(outcome)
            losses.append(loss)
            scalars = {name: value[n].numpy() for name, value in batch.items() if value.shape.rank == 3}
            batches.append({name: value.reshape(-1)[here] for name, value in scalars.items()})
    rows = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    loss = np.average(np.concatenate(losses), weights=rows[WEIGHT].astype(np.float64))
    return {"loss": float(loss), **task.metrics(tf.nest.map_structure(lambda *parts: joined(parts), *outcomes), rows)}


def _kept(found: Sequence, here: np.ndarray):
    """What all replicas found, for the rows that are `here` <bool>[B]."""
    return tf.nest.map_structure(lambda *parts: joined([part.numpy() for part in parts])[here], *found)


def features(batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """What of a batch the model reads: all but the answer, a teacher's, and the weight."""
    return {name: value for name, value in batch.items() if name not in (CLASS, TEACHER, WEIGHT)}


def load(store: TokenStore, call: Call, replicas: int, tight: bool = False) -> dict[str, tf.Tensor]:
    """The rows of a call as tensors [k, replicas, rows a replica, ...]; tight: no wider than these rows need."""
    batch = store.gather(call.rows.reshape(-1), call.length, tight)
    shape = len(call.rows), replicas, -1
    return {name: tf.constant(value.reshape(*shape, *value.shape[1:])) for name, value in batch.items()}


def prefetch(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[tuple[Item, Made]]:
    """Pairs each item with what `make` makes of it, the next one in a thread while the caller uses this one."""
    with ThreadPoolExecutor(1) as thread:
        waiting = None
        for item in items:
            following = item, thread.submit(make, item)
            if waiting:
                yield waiting[0], waiting[1].result()
            waiting = following
        if waiting:
            yield waiting[0], waiting[1].result()
