"""Which program serves a model, and with which flags: our own server, or TensorFlow Serving's with the same ones."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from data.errors import ConfigError

OURS = ("host", "max_request_bytes", "drain_seconds")
FILES = (  # flags whose value is a path that a container must see
    "model_base_path",
    "model_config_file",
    "batching_parameters_file",
    "monitoring_config_file",
    "ssl_config_file",
    "tensorflow_session_config_file",
)
MODEL_SERVER, DOCKER = "tensorflow_model_server", "docker"
GRPC_PORT, REST_PORT = "8500", "8501"
USAGE = "polisemia serve [MODEL] [--with tensorflow_model_server|docker] [--flag=value]..."
ANY_FLAG = {"allow_extra_args": True, "ignore_unknown_options": True}  # of a command that hands flags on
With = Annotated[str, typer.Option("--with", help="tensorflow_model_server or docker, instead of our own server")]
Image = Annotated[str, typer.Option(help="image of --with docker")]
IMAGE = "tensorflow/serving"


def become_server(arguments: Sequence[str], with_: str, image: str) -> NoReturn:
    """As `serve_command`, which this process then is: signals and exit codes are the server's own."""
    command = serve_command(arguments, with_, image)
    sys.stdout.flush()
    os.execv(command[0], command)


def serve_command(arguments: Sequence[str], with_: str = "", image: str = IMAGE) -> list[str]:
    """The command to become: a program and its arguments.

    arguments: MODEL, if any (a served model, a pipeline's home or a SavedModel), and flags of tensorflow_model_server.
    with_: "" for the server of this package, tensorflow_model_server, or docker (which runs `image`).
    Raises ConfigError when there is no such model or program, or a flag cannot be honoured.
    """
    flags = _flags(arguments)
    models = [argument for argument in arguments if not argument.startswith("--")]
    if models:
        clash = [name for name in ("model_base_path", "model_config_file") if name in flags]
        if clash:
            raise ConfigError(f"serve: MODEL {models[0]} and --{clash[0]}: give one of them")
        name, base_path = find_served(models[0])
        flags = {"model_name": name, "model_base_path": base_path, **flags}
    flags.setdefault("rest_api_port", REST_PORT)
    if with_ == "":
        flags.setdefault("enable_batching", "true")
        return [sys.executable, "-m", "serving", *_written(flags)]
    if with_ not in (MODEL_SERVER, DOCKER):
        raise ConfigError(f"serve: --with {with_}: wanted {MODEL_SERVER} or {DOCKER}")
    program = shutil.which(with_)
    if not program:
        raise ConfigError(
            f"serve: --with {with_}: there is no {with_} on PATH; install it, or leave --with out for our own server"
        )
    if with_ == DOCKER:
        return [program, "run", "--rm", *_docker(flags), image, *_written(_inside(flags))]
    for name in OURS:
        if name in flags:
            raise ConfigError(f"serve: --{name} is a flag of our own server; {MODEL_SERVER} has none like it")
    if "model_base_path" in flags:
        flags["model_base_path"] = _absolute(flags["model_base_path"])  # theirs takes no other
    return [program, *_written(flags)]


def find_served(model: str) -> tuple[str, str]:
    """Name of a model and the folder of its versions, as servers want them.

    A SavedModel that lies in no such folder is served as version 1, through a folder made for it. Raises StageError
    for one that holds ops that reach files or the network.
    """
    from etils import epath

    from components.saved_model import GRAPH, find_model, versions
    from components.trusted import check_trusted

    path = epath.Path(_absolute(model))
    if known := versions(path):
        check_trusted(path / str(known[-1]))
        return path.name, str(path)
    place = path if (path / GRAPH).exists() else find_model(path)[0]
    check_trusted(place)
    if place.name.isdigit():
        return place.parent.name, str(place.parent)
    if "://" in str(place):
        raise ConfigError(f"{place}: servers want a model in a folder named by its version, such as {place}/1")
    name = re.sub(r"\W+", "_", path.name)
    base = Path(tempfile.mkdtemp(prefix="polisemia-serve-")) / name
    base.mkdir()
    (base / "1").symlink_to(_absolute(str(place)))
    return name, str(base)


def _flags(arguments: Sequence[str]) -> dict[str, str]:
    """Values by name; that of a flag without one is "true"."""
    flags: dict[str, str] = {}
    models = 0
    for argument in arguments:
        if argument.startswith("--"):
            name, sign, value = argument[2:].partition("=")
            flags[name] = value if sign else "true"
        else:
            models += 1
    if models > 1:
        raise ConfigError(f"serve: one MODEL at most, and flags as --name=value; wanted {USAGE}")
    return flags


def _written(flags: dict[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]


def _docker(flags: dict[str, str]) -> list[str]:
    """Ports on this machine's loopback, and every path that the flags name, read-only, where it is here."""
    if "grpc_socket_path" in flags:
        raise ConfigError("serve: --grpc_socket_path: a socket in a container is out of reach; use --port")
    for name in OURS[1:]:
        if name in flags:
            raise ConfigError(f"serve: --{name} is a flag of our own server; {MODEL_SERVER} has none like it")
    host = flags.get("host", "127.0.0.1")
    ports = (flags.get("port", GRPC_PORT), flags["rest_api_port"])
    publish = [part for port in ports if port != "0" for part in ("--publish", f"{host}:{port}:{port}")]
    mounts = [
        part
        for path in _paths(flags)
        if "://" not in path
        for part in ("--mount", f"type=bind,source={path},target={path},readonly")
    ]
    return [*publish, *mounts, "--entrypoint", MODEL_SERVER]


def _paths(flags: dict[str, str]) -> list[str]:
    """What a container must see: files, folders of versions, and what a link among them points at."""
    found = [_absolute(flags[name]) for name in FILES if name in flags]
    if "model_config_file" in flags:
        try:
            text = Path(flags["model_config_file"]).read_text()
        except OSError as error:
            raise ConfigError(f"serve: --model_config_file: {flags['model_config_file']}: {error.strerror}") from error
        found += re.findall(r"base_path\s*:\s*[\"']([^\"']+)[\"']", text)
    links = [str(entry.resolve()) for path in found if Path(path).is_dir() for entry in Path(path).iterdir()]
    return list(dict.fromkeys(found + [path for path in links if not any(path.startswith(each) for each in found)]))


def _inside(flags: dict[str, str]) -> dict[str, str]:
    """The flags as the container takes them: paths are absolute, and it listens on all its addresses."""
    kept = {name: _absolute(value) if name in FILES else value for name, value in flags.items()}
    kept.pop("host", None)
    return kept


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).absolute())
