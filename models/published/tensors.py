"""The weights of a published folder, by name and without their prefix, and how they become Keras variables."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from data.errors import ConfigError

if TYPE_CHECKING:
    import keras_hub

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
OLD_NAMES = {".gamma": ".weight", ".beta": ".bias"}  # of layer normalization, in checkpoints made from TensorFlow's
TANH_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
ACTIVATIONS = {"gelu": "gelu", "gelu_python": "gelu", "relu": "relu", "silu": "silu", "swish": "silu", "tanh": "tanh"}


class Head(NamedTuple):
    """What tells hidden tokens, as it is published: its scores are of the word vectors."""

    dense: str
    norm: str
    bias: tuple[str, ...]  # of the scores: any of them
    settings: Callable[[Mapping[str, Any]], tuple[str, float]]  # config.json -> activation and epsilon

    def convert(self, head: "keras_hub.layers.MaskedLMHead", config: Mapping[str, Any], tensors: "Tensors") -> bool:
        """Whether the weights have one; sets variables, activation and epsilon."""
        bias = next((name for name in self.bias if name in tensors), None)
        if bias is None or f"{self.dense}.weight" not in tensors or not config.get("tie_word_embeddings", True):
            return False
        function, epsilon = self.settings(config)
        tensors.assign_dense(head._intermediate_dense, self.dense)
        tensors.assign_norm(head._intermediate_layer_norm, self.norm, epsilon)
        tensors.assign(head._bias, bias)
        head._intermediate_dense.activation = activation(function)
        return True


class Architecture(NamedTuple):
    """How one `model_type` is read.

    backbone: KerasHub's class. anchors: tensors by which the prefix of all names is found, any of them.
    arguments: config.json -> arguments of the class; raises KeyError (a setting is missing) or ValueError.
    convert: called with the backbone, config.json and its tensors; sets variables, activations and epsilons.
    head: of its masked language models.
    """

    backbone: str
    anchors: tuple[str, ...]
    arguments: Callable[[Mapping[str, Any]], dict[str, Any]]
    convert: Callable[[Any, Mapping[str, Any], "Tensors"], None]
    head: Head | None = None


class Tensors(Mapping[str, np.ndarray]):
    """Arrays of a folder by their names in a model without head; each is read from its file when asked for."""

    def __init__(self, folder: Path, files: Mapping[str, Any], anchors: tuple[str, ...]):
        self.folder = folder
        prefix = next((name.removesuffix(anchor) for anchor in anchors for name in files if name.endswith(anchor)), "")
        self._files = {_modern(name.removeprefix(prefix)): (file, name) for name, file in files.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._files:
            raise ConfigError(f"{self.folder}: got weights without '{name}'; wanted those of the model in config.json")
        file, full_name = self._files[name]
        return file.get_tensor(full_name)

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def assign(self, variable: Any, name: str, change: Callable[[np.ndarray], np.ndarray] = lambda array: array):
        """Sets a variable to a tensor after `change`, in the variable's shape."""
        tensor = self[name]
        array = change(tensor)
        if array.size != np.prod(variable.shape):
            wanted = list(variable.shape)
            raise ConfigError(
                f"{self.folder}: got '{name}' of shape {list(tensor.shape)}, wanted {wanted} by config.json"
            )
        variable.assign(array.astype(np.float32).reshape(variable.shape))

    def assign_dense(self, layer: Any, name: str) -> None:
        """A torch Linear, [outputs, inputs], to a Keras Dense or EinsumDense."""
        self.assign(layer.kernel, f"{name}.weight", np.transpose)
        if layer.bias is not None:
            self.assign(layer.bias, f"{name}.bias")

    def assign_norm(self, layer: Any, name: str, epsilon: float) -> None:
        self.assign(layer.gamma, f"{name}.weight")
        self.assign(layer.beta, f"{name}.bias")
        layer.epsilon = epsilon


def _modern(name: str) -> str:
    return next((name.removesuffix(old) + new for old, new in OLD_NAMES.items() if name.endswith(old)), name)


@contextmanager
def open_tensors(folder: Path, anchors: tuple[str, ...]) -> Iterator[Tensors]:
    """The tensors of a folder; raises ConfigError when it has no safetensors file, or a broken one."""
    from safetensors import SafetensorError, safe_open

    if not (folder / INDEX).exists() and not (folder / WEIGHTS).exists():
        raise ConfigError(_no_weights(folder))
    with ExitStack() as stack:
        files: dict[str, Any] = {}
        for path in _shards(folder):
            try:
                file = stack.enter_context(safe_open(path, framework="np"))
            except (SafetensorError, OSError) as error:
                raise ConfigError(
                    f"{path}: not a whole safetensors file ({error}); copy or download it again"
                ) from error
            files |= dict.fromkeys(file.keys(), file)
        yield Tensors(folder, files, anchors)


def _shards(folder: Path) -> list[Path]:
    if not (folder / INDEX).exists():
        return [folder / WEIGHTS]
    return [folder / name for name in sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))]


def _no_weights(folder: Path) -> str:
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    if pickles:
        return (
            f"{folder}: got the weights as {pickles[0]}, a pickle, which may run any code when it is read; wanted "
            f"{WEIGHTS}: download that file instead, or where you trust the pickle write it with transformers: "
            f"AutoModel.from_pretrained(folder).save_pretrained(folder)"
        )
    return f"{folder}: got a folder without {WEIGHTS}; wanted it, or {INDEX} with the files it names"


def activation(name: str) -> Any:
    """Keras's function for a name of Hugging Face's; `gelu` is the exact one, by the error function."""
    import keras

    def by_tanh(x):
        return keras.activations.gelu(x, approximate=True)

    if name not in (*ACTIVATIONS, *TANH_GELU):
        raise ValueError(f"got activation '{name}'; wanted one of {', '.join((*ACTIVATIONS, *TANH_GELU))}")
    return by_tanh if name in TANH_GELU else keras.activations.get(ACTIVATIONS[name])


def refuse(config: Mapping[str, Any], **wanted: Any) -> None:
    """Raises ValueError where config.json sets something to another value than the one that is computed here."""
    for key, value in wanted.items():
        if config.get(key, value) != value:
            raise ValueError(f"got {key} = {config[key]!r}; only {value!r} is computed here")
