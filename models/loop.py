"""The one training loop: any model and task, on one device, mirrored, multi-worker or TPU.

Keras' own `fit` fails under MultiWorkerMirroredStrategy and with several steps a call under
MirroredStrategy, and cannot resume inside an epoch. Models, optimizers and callbacks are Keras'.
"""

import itertools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from data.batches import Call, Plan
from data.errors import ConfigError, StageError, did_you_mean
from data.store import TokenStore
from models.averaging import Average
from models.checkpoint import Checkpoints, sigterm
from models.frozen import cache_frozen
from models.history import HistoryFiles
from models.moments import carry
from models.steps import evaluate, evaluate_function, features, load, no_totals, prefetch, shapes_of, train_function
from models.strategy import check_workers, is_chief, local_replicas
from models.tasks.base import Task
from models.training import EarlyStopping, Training
from models.warm_start import Known

READ_SECONDS = 1.0  # how often the loss is read from the device, and NaN noticed, where no callback wants it


class TrainResult(NamedTuple):
    """model: with the best epoch's weights where early stopping watches a metric, else the last epoch's.

    history: one dict an epoch, the valid split's metrics under `val_` names. steps: taken in all epochs.
    optimizer: as it was after the last step. carried: how many of its moments were another model's, where asked for.
    """

    model: keras.Model
    history: list[dict[str, float]]
    best_epoch: int
    steps: int
    optimizer: keras.Optimizer
    carried: dict[str, int] | None = None


def train(
    build: Callable[[], keras.Model],
    task: Task,
    train_store: TokenStore,
    valid_store: TokenStore | None,
    *,
    training: Training,
    strategy: tf.distribute.Strategy,
    checkpoint_dir: str | Path,
    log_dir: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_notice: Callable[[str], None] = lambda text: None,
    known: Known | None = None,
) -> TrainResult:
    """Trains what `build` makes, or goes on from the newest checkpoint in `checkpoint_dir`.

    A run that was killed and is called again ends with the same weights, bit for bit, as one left alone,
    provided the model takes its random numbers from `keras.random.SeedGenerator`s, as Keras layers do.
    On SIGTERM a checkpoint is written and the process exits with code 143.

    build: called in the strategy's scope, under the dtype policy of `precision`, with all seeds set.
    log_dir: history.csv and TensorBoard events go there.
    callbacks: called in every worker, `on_train_batch_end` once a call of `steps_per_call` steps, with the mean loss
      of the epoch so far; a callback that has this method makes the loop wait for the device once a call.
    on_progress: called with steps done and steps in all, after each call. on_notice: with what a user should know.
    known: the weights that `build` starts from; where it has moments, the optimizer starts from those.

    Raises DataError when a split has no rows, StageError when the loss is not finite or the checkpoint is
    another model's, ConfigError when early stopping watches what is not measured.
    """
    training.check(strategy.num_replicas_in_sync, train_store, valid_store)
    keras.utils.set_random_seed(training.seed)
    if training.deterministic:
        tf.config.experimental.enable_op_determinism()
    with strategy.scope(), sigterm() as terminated:
        plan = _plan(train_store, training, strategy.num_replicas_in_sync)
        model = _build(build, training.precision, train_store, plan)
        stores = {"train": train_store} | ({} if valid_store is None else {"valid": valid_store})
        kept = Path(checkpoint_dir) / "frozen" if is_chief(strategy) else None
        cache_frozen(model, stores, training, kept, on_notice)
        run = _Run(
            model, task, (train_store, valid_store), plan, training, strategy, (checkpoint_dir, log_dir), terminated
        )
        carried = carry(known, model, run.optimizer) if known and known.moments else None
        run.restore()
        check_workers(strategy, run.at.steps)
        run.fit(callbacks, on_progress)
    best = run.at.best_epoch or run.at.epoch
    return TrainResult(model, run.at.history, best, run.at.steps, run.optimizer, carried)


@dataclass
class _Position:
    """Where a run is; with weights and optimizer, all that a checkpoint holds."""

    epoch: int = 0  # finished
    call: int = 0  # finished, of the epoch under way
    steps: int = 0
    best_epoch: int = 0  # 0 where nothing is watched
    stopped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


class _Run:
    """One run: its parts, and where it is."""

    def __init__(self, model, task, stores, plan, training, strategy, directories, terminated):
        self.model, self.task, self.plan, self.training, self.strategy = model, task, plan, training, strategy
        (self.train_store, self.valid_store), self.terminated = stores, terminated
        self.chief, self.saved, self.read = is_chief(strategy), time.monotonic(), time.monotonic()
        self.checkpoints, self.files = Checkpoints(directories[0]), HistoryFiles(directories[1] if self.chief else None)
        self.total_steps = plan.steps * training.epochs
        self.trained = training.fine_tuning.trained(model)
        loss_scaling, rates = training.precision == "mixed_float16", training.fine_tuning.rates(model)
        self.optimizer = training.optimizer.build(self.trained, self.total_steps, loss_scaling, rates)
        self.average = Average(self.trained, training.ema)
        self.train_call, self.changed = None, 0
        xla = training.jit_compile or isinstance(strategy, tf.distribute.TPUStrategy)
        shape = training.steps_per_call, strategy.num_replicas_in_sync
        self.shapes = None if xla else shapes_of(self.train_store, *shape)
        if self.valid_store is not None:
            here = local_replicas(strategy)
            self.valid_calls = _plan(self.valid_store, training, here).in_order()
            shapes = None if xla else shapes_of(self.valid_store, here)
            function = evaluate_function(model, task, strategy, shapes)
            tight = shapes is not None
            self.evaluate = partial(evaluate, function, task, self.valid_store, strategy=strategy, tight=tight)
        # Batches of short rows have more of them: over the mean weight of a batch, every row counts the same.
        self.batch_weight = np.float32(plan.weights.sum(dtype=np.float64) / plan.steps)
        self.at, self.totals, self.best_weights = _Position(), no_totals(), []

    def fit(self, callbacks, on_progress) -> None:
        self.model.optimizer, self.model.stop_training = self.optimizer, False  # what Keras' callbacks look at
        wants_batches = any(map(_has_batch_end, callbacks))
        every = keras.callbacks.CallbackList(list(callbacks), model=self.model, epochs=self.training.epochs, verbose=0)
        if self.training.early_stopping is not None and not self.at.epoch:
            self.check_watched(self.training.early_stopping.metric)
        every.on_train_begin()
        while self.at.epoch < self.training.epochs and not self.at.stopped:
            self.compile()
            every.on_epoch_begin(self.at.epoch)
            for call, batch in self.remaining():
                if wants_batches:
                    every.on_train_batch_begin(self.at.call)
                self.take(call, batch)
                on_progress(self.at.steps, self.total_steps)
                if wants_batches:
                    every.on_train_batch_end(self.at.call - 1, {"loss": self.loss()})
                if self.terminated.is_set() or time.monotonic() - self.saved >= self.training.checkpoint_seconds:
                    self.save()
                if self.model.stop_training:
                    break
            self.end_epoch(every)
        every.on_train_end()
        if self.best_weights:
            _assign(self.model.weights, self.best_weights)
        else:
            self.average.take()
        self.model.optimizer = None  # else it would be saved with the model

    def compile(self) -> None:
        """Makes the training function, anew where this epoch changes more weights than the one before."""
        changed = self.training.fine_tuning.trained(self.model, self.at.epoch)
        if len(changed) != self.changed:
            parts = self.task, self.optimizer, self.average, self.strategy, self.shapes, self.training
            self.train_call, self.changed = train_function(self.model, changed, *parts), len(changed)

    def remaining(self) -> Iterator[tuple[Call, dict[str, tf.Tensor]]]:
        """The calls of the epoch that are not done, each with its batches."""
        tight, replicas = self.shapes is not None, self.strategy.num_replicas_in_sync
        calls = self.plan.epoch(self.at.epoch)[self.at.call :]
        return prefetch(lambda call: load(self.train_store, call, replicas, tight), calls)

    def take(self, call: Call, batch: dict[str, tf.Tensor]) -> None:
        """Takes a call's steps."""
        weights = tf.fill([len(call.weights)], tf.constant(self.batch_weight))
        self.totals = self.train_call(batch, weights, tf.constant(call.steps), self.totals)
        self.at.call += 1
        self.at.steps += call.steps
        if time.monotonic() - self.read > READ_SECONDS:
            self.loss()

    def loss(self) -> float:
        """Weighted mean loss of the epoch so far; waits for the device."""
        loss, weight, _, bad = self.totals.numpy()
        self.read = time.monotonic()
        if bad >= 0:
            raise StageError(
                f"trainer, epoch {self.at.epoch + 1}, step {bad:.0f} of {self.plan.steps}: got a loss that is not "
                f"finite; wanted a number; lower optimizer.learning_rate (now {self.rate():g}), lengthen "
                f"optimizer.warmup, or try precision = 'float32' (now {self.training.precision!r})"
            )
        return float(loss / max(weight, np.finfo(np.float32).tiny))

    def rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))

    def end_epoch(self, callbacks: keras.callbacks.CallbackList) -> None:
        logs = {"loss": self.loss()}
        with self.average.taken():
            if self.valid_store is not None:
                measured = self.evaluate(calls=self.valid_calls)
                logs |= {f"val_{name}": value for name, value in measured.items()}
            rate = self.rate()
            self.at.epoch, self.at.call, self.totals = self.at.epoch + 1, 0, no_totals()
            self.at.history.append({"epoch": self.at.epoch, "learning_rate": rate, **logs})
            if self.training.early_stopping is not None:
                self.watch(self.training.early_stopping)
            callbacks.on_epoch_end(self.at.epoch - 1, logs)
        self.at.stopped |= self.model.stop_training
        self.files.write(self.at.history)
        self.save()

    def check_watched(self, metric: str) -> None:
        """Measures one call's rows before an epoch is spent on a metric that does not exist."""
        measured = self.evaluate(calls=self.valid_calls[:1])
        if metric not in measured:
            raise ConfigError(f"trainer.early_stopping.metric: got {metric!r}{did_you_mean(metric, measured)}")

    def watch(self, stopping: EarlyStopping) -> None:
        """Keeps the weights of the best epoch, and stops when it is `patience` epochs back."""
        self.at.best_epoch = stopping.best_epoch([row[f"val_{stopping.metric}"] for row in self.at.history])
        if self.at.best_epoch == self.at.epoch:
            self.best_weights = [weight.numpy() for weight in self.model.weights]
        self.at.stopped = self.at.epoch - self.at.best_epoch >= stopping.patience

    @property
    def variables(self) -> list:
        """All that a checkpoint holds the values of, but for the totals."""
        return [*self.model.variables, *self.optimizer.variables, *self.average.variables]

    def save(self) -> None:
        """Writes a checkpoint, in the chief; after SIGTERM, ends the process."""
        self.saved = time.monotonic()
        if self.chief:
            self.loss()  # weights that are not numbers are not worth keeping
            arrays = (variable.numpy() for variable in [*self.variables, self.totals])
            self.checkpoints.save(itertools.chain(arrays, self.best_weights), asdict(self.at))
        if self.terminated.is_set():
            raise SystemExit(128 + signal.SIGTERM)

    def restore(self) -> None:
        """Goes to the newest checkpoint, if there is one. Raises StageError if it is another model's."""
        if (found := self.checkpoints.newest()) is None:
            return
        self.at = _Position(**found.state)
        variables = self.variables
        got = [array.shape for array in found.arrays[: len(variables)]]
        wanted = [tuple(variable.shape) for variable in variables]
        if got != wanted:
            raise StageError(
                f"trainer: the checkpoint holds {len(got)} other arrays than the {len(wanted)} of this model and "
                "optimizer; wanted those of the same configuration; delete the checkpoint directory to start anew"
            )
        _assign(variables, found.arrays)
        self.totals = tf.constant(found.arrays[len(variables)])
        self.best_weights = found.arrays[len(variables) + 1 :]


def _plan(store: TokenStore, training: Training, replicas: int) -> Plan:
    sizes = {"batch_tokens": training.batch_tokens, "max_tokens": training.max_tokens, "buckets": training.buckets}
    runs = {"seed": training.seed, "replicas": replicas, "steps_per_call": training.steps_per_call}
    return Plan(store.lengths, store.weights, **sizes, **runs)


def _build(build: Callable[[], keras.Model], precision: str, store: TokenStore, plan: Plan) -> keras.Model:
    """The model with all its variables made, under a dtype policy that holds for it alone."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = build()
        if not model.built:
            batch = load(store, plan.in_order()[0], 1)
            model(features({name: value[0, 0] for name, value in batch.items()}))
    finally:
        keras.config.set_dtype_policy(before)
    return model


def _assign(variables: Sequence[keras.Variable], arrays: Sequence[np.ndarray]) -> None:
    for variable, array in zip(variables, arrays, strict=False):
        variable.assign(array)


def _has_batch_end(callback: keras.callbacks.Callback) -> bool:
    default = keras.callbacks.Callback
    methods = {"on_train_batch_end": default.on_train_batch_end, "on_batch_end": default.on_batch_end}
    return any(getattr(getattr(callback, name), "__func__", None) is not method for name, method in methods.items())
