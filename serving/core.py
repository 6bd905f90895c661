"""The server without a protocol: models by name, version and label; gRPC and REST are two ways to call it.

    core = Core(single_model("default", "/models/half_plus_two"), Options(...))
    core.start()                                  # returns when every model is served
    spec, outputs = core.predict(ModelSpec("default"), {"x": np.array([1.0], np.float32)})
    core.close()

Every method may be called from several threads at once, and raises `ServingError` with TensorFlow Serving's status and
words. `timeout` is in seconds, None for no bound.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from serving import inference
from serving.errors import ServingError
from serving.inference import DEFAULT_SIGNATURE, Classification
from serving.manager import Manager, State
from serving.metrics import Metrics
from serving.options import Options
from serving.servable import Servable
from serving.versions import aspired, find_versions


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


class Core:
    def __init__(self, config: Any, options: Options):
        """config: a ModelServerConfig. Nothing is loaded yet."""
        self.config, self.options, self.metrics = config, options, Metrics()
        self._manager = Manager(self._load)

    def start(self) -> None:
        models = list(self.config.model_config_list.config)
        for model in models:
            versions = find_versions(model.base_path)
            self._manager.aspire(model.name, aspired(versions, model.model_version_policy, model.name))
        self._manager.wait([model.name for model in models])

    def close(self) -> None:
        """Unloads everything, once the requests under way are answered."""
        self._manager.close()

    def predict(
        self,
        spec: ModelSpec,
        inputs: Mapping[str, np.ndarray],
        output_filter: Sequence[str] = (),
        timeout: float | None = None,
    ) -> tuple[ModelSpec, dict[str, np.ndarray]]:
        """Outputs of a signature by name. Strings are arrays <object (bytes)>."""
        with self._use(spec) as (version, servable):
            signature = _named(servable, spec, "FAILED_PRECONDITION", 'Serving signature key "{}" not found.')
            outputs = inference.predict(servable, signature, inputs, output_filter)
            return _answered(spec, version), outputs

    def classify(
        self, spec: ModelSpec, examples: Sequence[bytes], timeout: float | None = None
    ) -> tuple[ModelSpec, Classification]:
        """Classes and scores of serialised tf.train.Examples."""
        with self._use(spec) as (version, servable):
            signature = _named(servable, spec, "INVALID_ARGUMENT", "No signature was found with the name: {}")
            return _answered(spec, version), inference.classify(servable, signature, examples)

    def regress(
        self, spec: ModelSpec, examples: Sequence[bytes], timeout: float | None = None
    ) -> tuple[ModelSpec, np.ndarray]:
        """Values <float32>[examples] of serialised tf.train.Examples."""
        with self._use(spec) as (version, servable):
            signature = _named(servable, spec, "INVALID_ARGUMENT", "No signature was found with the name: {}")
            return _answered(spec, version), inference.regress(servable, signature, examples)

    def signature(self, spec: ModelSpec) -> Any:
        """The SignatureDef, from which REST learns the dtypes of the inputs."""
        with self._use(spec) as (version, servable):
            return _named(servable, spec, "INVALID_ARGUMENT", 'Serving signature name: "{}" not found in signature def')

    def metadata(self, spec: ModelSpec) -> tuple[ModelSpec, dict[str, Any]]:
        """SignatureDefs by name."""
        with self._use(spec) as (version, servable):
            return replace(_answered(spec, version), signature_name=""), dict(servable.signatures)

    def status(self, name: str, version: int | None = None) -> list[VersionState]:
        """States of all versions that are or were served, the newest first; or of one."""
        known = self._manager.states(name)
        if version is not None and version not in known:
            raise ServingError("NOT_FOUND", f"Could not find version {version} of model {name}")
        if not known:
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
        wanted = known.values() if version is None else [known[version]]
        return [
            VersionState(v.number, v.state, v.error.code.name if v.error else "OK", v.error.message if v.error else "")
            for v in wanted
        ]

    def _use(self, spec: ModelSpec) -> AbstractContextManager[tuple[int, Servable]]:
        if not spec.name:
            raise ServingError("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        return self._manager.use(spec.name, spec.version)

    def _load(self, path: str) -> Servable:
        return Servable(path, self.options.saved_model_tags.split(","))


def single_model(name: str, base_path: str) -> Any:
    """A ModelServerConfig of one model, its latest version served."""
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    return config


def _named(servable: Servable, spec: ModelSpec, code: str, text: str) -> Any:
    """The signature asked for, or an error in the words of the API that asks."""
    name = spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise ServingError(code, text.format(name))
    return servable.signatures[name]


def _answered(spec: ModelSpec, version: int) -> ModelSpec:
    return ModelSpec(spec.name, version, "", spec.signature_name or DEFAULT_SIGNATURE)
