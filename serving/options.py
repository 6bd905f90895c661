"""The flags of `tensorflow_model_server`, by their own names, and a few of ours.

A flag of theirs that means nothing here is refused with the reason, never ignored: see REFUSED.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

THREADS = 4 * (os.cpu_count() or 1)  # theirs
RPCS = 64  # threads that wait for a batch; theirs wait in C++
WAITING = 16  # requests, for each thread, before further ones are refused with RESOURCE_EXHAUSTED


def flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Options:
    """One field a flag."""

    port: int = flag(8500, "TCP port of the gRPC API; 0 for none")
    grpc_socket_path: str = flag("", "path of a UNIX socket for the gRPC API, beside --port")
    rest_api_port: int = flag(0, "TCP port of the REST API; 0 for none")
    rest_api_num_threads: int = flag(0, "threads that answer REST requests; 0 for automatic")
    rest_api_timeout_in_ms: int = flag(30_000, "longest time a REST request may take")
    rest_api_enable_cors_support: bool = flag(False, "send CORS headers")
    model_name: str = flag("default", "name of the model, unless --model_config_file is given")
    model_base_path: str = flag("", "folder of the model's versions, unless --model_config_file is given")
    model_config_file: str = flag("", "ModelServerConfig (text protobuf): several models, version policies, labels")
    model_config_file_poll_wait_seconds: int = flag(0, "read --model_config_file again this often; 0 for once")
    allow_version_labels_for_unavailable_models: bool = flag(False, "let labels name versions not loaded yet")
    file_system_poll_wait_seconds: int = flag(1, "look for new versions this often; 0 for once")
    max_num_load_retries: int = flag(5, "attempts after the first to load a version; none while starting")
    load_retry_interval_micros: int = flag(60_000_000, "time between attempts to load a version")
    num_load_threads: int = flag(0, "versions loaded at the same time; 0 for one")
    num_unload_threads: int = flag(0, "versions unloaded at the same time; 0 for one")
    saved_model_tags: str = flag("serve", "tags of the graph in the SavedModel, with commas")
    enable_model_warmup: bool = flag(True, "replay assets.extra/tf_serving_warmup_requests before a version is served")
    num_request_iterations_for_warmup: int = flag(0, "times each warm-up request is replayed, if more than 0")
    enable_batching: bool = flag(False, "join requests that wait into one run of the graph")
    batching_parameters_file: str = flag("", "BatchingParameters (text protobuf)")
    tensorflow_session_parallelism: int = flag(0, "threads of a session, within and between ops; 0 for automatic")
    tensorflow_intra_op_parallelism: int = flag(0, "threads within one op; 0 for automatic")
    tensorflow_inter_op_parallelism: int = flag(0, "ops run at the same time; 0 for automatic")
    tensorflow_session_config_file: str = flag("", "ConfigProto (text protobuf) of the sessions")
    per_process_gpu_memory_fraction: float = flag(0.0, "share of the GPU's memory; 0 for automatic")
    xla_cpu_compilation_enabled: bool = flag(
        False, "let models compile with XLA; without it they fail, as in TF Serving"
    )
    xla_gpu_compilation_enabled: bool = flag(False, "let models compile with XLA")
    ssl_config_file: str = flag("", "SSLConfig (text protobuf): the gRPC API speaks TLS")
    grpc_channel_arguments: str = flag("", "arguments of the gRPC server: name=value,name=value")
    grpc_max_threads: int = flag(RPCS, "gRPC requests worked on at the same time")
    enable_grpc_healthcheck_service: bool = flag(True, "the standard gRPC health service")
    enable_serialization_as_tensor_content: bool = flag(False, "answer Predict's numbers as bytes")
    monitoring_config_file: str = flag("", "MonitoringConfig (text protobuf): the Prometheus page")
    # Ours.
    host: str = flag("127.0.0.1", "address to listen on; 0.0.0.0 for all (ours)")
    max_request_bytes: int = flag(64 << 20, "size of the largest request, and of the tensors it stands for (ours)")
    drain_seconds: float = flag(30.0, "longest wait for requests under way after SIGTERM (ours)")


TFLITE = "models are run by TensorFlow; TensorFlow Lite is not supported"
REFUSED = {
    "enable_per_model_batching_parameters": "all models share --batching_parameters_file",
    "flush_filesystem_caches": "files are read through the operating system's cache, which is left alone",
    "use_alts_credentials": "Google's ALTS is not supported; use --ssl_config_file",
    "platform_config_file": "the one platform is tensorflow; use the flags for sessions and batching",
    "remove_unused_fields_from_bundle_metagraph": "only the signatures are kept of the graph's description",
    "prefer_tflite_model": TFLITE,
    "use_tflite_model": TFLITE,
    "num_tflite_pools": TFLITE,
    "num_tflite_interpreters_per_pool": TFLITE,
    "enable_signature_method_name_check": "a signature's method_name is not checked: TensorFlow 2 writes one only",
    "enable_profiler": "the profiler service is not supported",
    "thread_pool_factory_config_file": "thread pools are TensorFlow's own; use the parallelism flags",
    "mixed_precision": "precision is decided when the model is exported",
    "skip_initialize_tpu": "TPUs are not supported",
}


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options from a command line (`sys.argv` when None). Prints the usage and exits with 2 on a wrong one."""
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        usage="python -m serving --model_base_path=FOLDER [--flag=value]...",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    boolean: dict[str, Any] = {"type": _boolean, "nargs": "?", "const": True, "metavar": "true|false"}
    parser.add_argument("--version", default=False, help="print the versions and exit", **boolean)
    for each in fields(Options):
        kind = boolean if each.type is bool else {"type": each.type}
        parser.add_argument(f"--{each.name}", default=each.default, help=each.metadata["help"], **kind)
    for name, reason in REFUSED.items():
        parser.add_argument(f"--{name}", nargs="?", action=Refuse, const=reason, help=argparse.SUPPRESS)
    found = vars(parser.parse_args(arguments))
    if found.pop("version"):
        print(versions())
        raise SystemExit(0)
    options = Options(**{each.name: found[each.name] for each in fields(Options)})
    problem = _problem(options)
    if problem:
        parser.error(problem)
    return options


class Refuse(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):  # type: ignore[no-untyped-def]
        parser.error(f"{option_string} is not supported: {self.const}")


def _problem(options: Options) -> str:
    """What is wrong between flags; empty when nothing is."""
    if not options.model_base_path and not options.model_config_file:
        return "give --model_base_path or --model_config_file"
    if not (options.port or options.rest_api_port or options.grpc_socket_path):
        return "nothing to listen on: give --port, --rest_api_port or --grpc_socket_path"
    if options.port and options.port == options.rest_api_port:
        return "--rest_api_port cannot be the same as --port"
    if options.batching_parameters_file and not options.enable_batching:
        return "--batching_parameters_file is given without --enable_batching"
    if options.tensorflow_session_parallelism and (
        options.tensorflow_intra_op_parallelism or options.tensorflow_inter_op_parallelism
    ):
        return "give --tensorflow_session_parallelism, or the intra-op and inter-op flags, not both"
    return ""


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r}: wanted true or false")
    return values[text.lower()]


def versions() -> str:
    from importlib.metadata import version

    return f"Polisemia server: {version('polisemia')}\nTensorFlow Library: {version('tensorflow')}"
