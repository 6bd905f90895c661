"""Devices: the `tf.distribute` strategy a run trains under.

One of the three named places that read the environment (TF_CONFIG, TPU_NAME).
"""

import json
import os
from functools import cache
from typing import Literal

import tensorflow as tf

from data.errors import ConfigError, StageError

Name = Literal["auto", "one", "mirrored", "multi_worker", "tpu"]


@cache
def create(name: Name, cpu_devices: int = 1) -> tf.distribute.Strategy:
    """The strategy called `name`, the same one each time; the first call comes before TensorFlow's first operation.

    auto: tpu where one is attached or named, mirrored on several GPUs, multi_worker where TF_CONFIG lists
      more than one worker, else one.
    cpu_devices: for mirrored on a machine without GPUs, how many logical devices to cut the CPU into.
    Raises ConfigError when the devices that `name` wants are not there.
    """
    makers = {"one": tf.distribute.get_strategy, "multi_worker": _multi_worker, "tpu": _tpu}
    makers["mirrored"] = lambda: _mirrored(cpu_devices)
    return makers[_choose() if name == "auto" else name]()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files: always, except in workers 1 and up of multi_worker."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type is None:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker" and resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs
    )


def local_replicas(strategy: tf.distribute.Strategy) -> int:
    """How many of the strategy's replicas run in this process; their ids in the group are consecutive."""
    return strategy.num_replicas_in_sync // _workers(strategy)


def _choose() -> Name:
    if os.environ.get("TPU_NAME") or tf.config.list_physical_devices("TPU"):
        return "tpu"
    if sum(map(len, _cluster().values())) > 1:
        return "multi_worker"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one"


def _mirrored(cpu_devices: int) -> tf.distribute.Strategy:
    gpus = tf.config.list_logical_devices("GPU") if tf.config.list_physical_devices("GPU") else []
    if gpus:
        return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus])
    if cpu_devices < 2:
        raise ConfigError(
            "trainer.strategy: got 'mirrored' on a machine without a GPU; wanted at least one; "
            "use 'one', or set cpu_devices = 2 to try it on logical CPU devices"
        )
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cpu_devices)
    return tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(cpu_devices)])


def _multi_worker() -> tf.distribute.Strategy:
    if not _cluster():
        raise ConfigError(
            "trainer.strategy: got 'multi_worker' without TF_CONFIG in the environment; wanted on every worker "
            '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": N}}; set it or use \'one\''
        )
    return tf.distribute.MultiWorkerMirroredStrategy()


def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(os.environ.get("TPU_NAME") or _local_tpu())
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, ImportError, tf.errors.OpError) as error:
        raise ConfigError(
            f"trainer.strategy: got 'tpu', and no TPU answers ({str(error).splitlines()[0]}); wanted a TPU VM, or "
            "TPU_NAME in the environment; or use 'auto', which takes what is there"
        ) from None
    return tf.distribute.TPUStrategy(resolver)


def _local_tpu() -> str:
    if not tf.config.list_physical_devices("TPU"):
        raise ValueError("TensorFlow sees no TPU device and TPU_NAME is not set")
    return "local"


def _cluster() -> dict[str, list[str]]:
    """Addresses of the training processes by job, as TF_CONFIG lists them; empty without TF_CONFIG."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        cluster = json.loads(text or "{}").get("cluster", {})
        return {job: list(cluster[job]) for job in ("chief", "worker") if cluster.get(job)}
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"TF_CONFIG: got {text!r} ({error}); wanted a JSON object with 'cluster' and 'task'"
        ) from None


def check_workers(strategy: tf.distribute.Strategy, steps: int) -> None:
    """Raises StageError when workers start from different steps; they would wait for each other for ever."""
    replicas, done = strategy.num_replicas_in_sync, tf.constant(steps, tf.float64)
    if local_replicas(strategy) == replicas:
        return
    total = tf.function(lambda: tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, done))
    if strategy.experimental_local_results(strategy.run(total))[0] != done * replicas:
        raise StageError(
            f"trainer: got {steps} steps done in this worker's checkpoint and another number in others'; "
            "wanted one checkpoint directory for all; put the home on a file system that every worker sees"
        )


def _workers(strategy: tf.distribute.Strategy) -> int:
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    cluster = strategy.cluster_resolver.cluster_spec().as_dict()
    return sum(len(cluster.get(job, ())) for job in ("chief", "worker"))
