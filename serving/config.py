"""The ModelServerConfig: which models are served, from where, and what their versions are called."""

from collections.abc import Callable
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from serving.errors import ServingError

PLATFORM = "tensorflow"


def single_model(name: str, base_path: str) -> Any:
    """A ModelServerConfig of one model, its latest version served."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def check_config(config: Any) -> None:
    """Raises ServingError, in TensorFlow Serving's words, when the config cannot be served."""
    if config.WhichOneof("config") == "custom_model_config":
        raise _invalid("custom_model_config is not supported; only model_config_list is")
    names: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in names:
            raise _invalid(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
        if not (model.base_path.startswith("/") or "://" in model.base_path):
            text = f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            raise _invalid(text)
        _check_platform(model)
        if model.HasField("logging_config"):
            raise _invalid(f"Model {model.name}: logging_config is not supported; requests are not logged")


def _check_platform(model: Any) -> None:
    if model.model_type and model.model_platform:
        raise _invalid(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform."
        )
    if model.model_type not in (model_server_config_pb2.MODEL_TYPE_UNSPECIFIED, model_server_config_pb2.TENSORFLOW):
        raise _invalid(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
    platform = PLATFORM if model.model_type else model.model_platform
    if not platform:
        raise _invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform."
        )
    if platform != PLATFORM:
        raise _invalid(f"Model {model.name} requests unsupported platform {platform}")


def labels_of(config: Any, refused: Callable[[str, str, int], bool]) -> dict[str, dict[str, int]]:
    """Versions by model and label.

    refused: says of (model, label, version) whether the label may not name the version yet.
    """
    labels: dict[str, dict[str, int]] = {}
    for model in config.model_config_list.config:
        for label, version in model.version_labels.items():
            if refused(model.name, label, version):
                raise ServingError(
                    "FAILED_PRECONDITION",
                    f"Request to assign label to version {version} of model {model.name}, "
                    "which is not currently available for inference",
                )
            labels.setdefault(model.name, {})[label] = version
    return labels


def _invalid(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
