"""Which versions of a model there are, and which of them should be served: a folder, and a version policy."""

import logging
import re
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from serving.errors import ServingError

GRAPHS = ("saved_model.pb", "saved_model.pbtxt")

log = logging.getLogger(__name__)


def find_versions(base_path: str) -> dict[int, str]:
    """Paths of the versions under a folder (or gs:// path), by number.

    A folder that has no graph yet is being copied, and is no version. Raises ServingError when the folder is missing.
    """
    try:
        names = [name.rstrip("/") for name in tf.io.gfile.listdir(base_path)]
    except tf.errors.OpError as error:
        raise ServingError("INVALID_ARGUMENT", f"Could not find base path {base_path}: {error.message}") from error
    found: dict[int, str] = {}
    for name in sorted(names):
        if not re.fullmatch(r"\d{1,18}", name):
            continue
        path = f"{base_path.rstrip('/')}/{name}"
        if not any(tf.io.gfile.exists(f"{path}/{graph}") for graph in GRAPHS):
            continue
        if int(name) in found:
            log.warning("Duplicate version directories: %s will be loaded, %s ignored", path, found[int(name)])
        found[int(name)] = path
    return found


def aspired(versions: Mapping[int, str], policy: Any, model: str) -> dict[int, str]:
    """Those of `versions` that a `ServableVersionPolicy` wants served; its default is the latest one."""
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return dict(versions)
    if choice == "specific":
        wanted = set(policy.specific.versions)
        for version in sorted(wanted - set(versions)):
            log.warning("Version %d of servable %s, asked for by its version policy, was not found", version, model)
        return {version: path for version, path in versions.items() if version in wanted}
    newest = sorted(versions)[-max(1, policy.latest.num_versions) :]
    return {version: versions[version] for version in newest}
