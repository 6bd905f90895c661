"""Which model a request is for, and what is known of a version: the same for gRPC and REST."""

from dataclasses import dataclass
from enum import IntEnum


class State(IntEnum):
    """States of a version, numbered as in get_model_status.proto."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class ModelSpec:
    """Which model a request is for. Of an answer: which version and signature answered.

    version, label: of the two at most one; neither means the newest version. signature_name: "" for serving_default.
    """

    name: str
    version: int | None = None
    label: str = ""
    signature_name: str = ""


@dataclass(frozen=True)
class VersionState:
    """State of one version. `code` and `message` say why it could not be loaded; OK and "" when nothing is wrong."""

    version: int
    state: State
    code: str
    message: str
