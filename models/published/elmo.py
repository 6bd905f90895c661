"""ELMo as AllenNLP and bilm-tf publish it: a folder with *options.json and *weights.hdf5.

The options are the network's sizes; the weights go in as they are, but for the rows of the LSTMs' kernel, which holds
those of inputs and state one above the other.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ConfigError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from models.elmo_layers import Bilm, CharacterCnn, Network

OPTIONS, WEIGHTS = "*options.json", "*weights.hdf5"


def read_options(folder: str | Path) -> dict[str, Any]:
    """The sizes, under the names of the parameters of family `elmo`. Raises ConfigError where they cannot be read."""
    path = _only(folder, OPTIONS)
    try:
        options = json.loads(path.read_text())
        lstm, cnn = options["lstm"], options["char_cnn"]
        sizes = {
            "embedding": cnn["embedding"]["dim"],
            "filters": tuple(map(tuple, cnn["filters"])),
            "highway": cnn.get("n_highway") or 0,
            "activation": cnn["activation"],
            "layers": lstm["n_layers"],
            "units": lstm["dim"],
            "width": lstm["projection_dim"],
            "cell_clip": lstm.get("cell_clip"),
            "projection_clip": lstm.get("proj_clip"),
            "residual": bool(lstm.get("use_skip_connections")),
        }
        characters = cnn["max_characters_per_token"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"trainer.family.weights: {path} could not be read ({type(error).__name__}: {error}); wanted the options "
            "of a published ELMo, with lstm and char_cnn"
        ) from None
    if characters != 50:
        raise ConfigError(
            f"trainer.family.weights: {path} says max_characters_per_token = {characters}; wanted 50, which every "
            "published model has"
        )
    return sizes


def assign(folder: str | Path, network: "Network") -> None:
    """Sets the weights of a network of these sizes, already built. Raises ConfigError where their shapes differ."""
    import h5py

    path = _only(folder, WEIGHTS)
    try:
        with h5py.File(path) as file:
            arrays = {name: file[name][...] for name in _datasets(file)}
        for weight, array in [*_of_words(network.words, arrays), *_of_bilm(network.bilm, arrays)]:
            if tuple(weight.shape) != array.shape:
                raise ValueError(f"{weight.path} is {array.shape}, wanted {tuple(weight.shape)}")
            weight.assign(array)
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(
            f"trainer.family.weights: {path} does not hold the weights of the options beside it "
            f"({type(error).__name__}: {error}); wanted both files of one published model"
        ) from None


def _only(folder: str | Path, pattern: str) -> Path:
    found = sorted(Path(folder).glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ConfigError(
            f"trainer.family.weights: got '{folder}' with {names}; wanted a folder with one {pattern} and, of the same "
            "model, one " + (WEIGHTS if pattern == OPTIONS else OPTIONS)
        )
    return found[0]


def _datasets(file) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
    return names


def _of_words(words: "CharacterCnn", arrays: "Mapping[str, np.ndarray]") -> list[tuple["keras.Variable", Any]]:
    found = [(words.embedding.embeddings, arrays["char_embed"])]
    for n, layer in enumerate(words.filters):
        found += [(layer.kernel, arrays[f"CNN/W_cnn_{n}"][0]), (layer.bias, arrays[f"CNN/b_cnn_{n}"])]
    for n, layer in enumerate(words.highway):
        for name, dense in (("carry", layer.carry), ("transform", layer.transform)):
            found += [(dense.kernel, arrays[f"CNN_high_{n}/W_{name}"]), (dense.bias, arrays[f"CNN_high_{n}/b_{name}"])]
    if words.project is not None:
        found += [(words.project.kernel, arrays["CNN_proj/W_proj"]), (words.project.bias, arrays["CNN_proj/b_proj"])]
    return found


def _of_bilm(bilm: "Bilm", arrays: "Mapping[str, np.ndarray]") -> list[tuple["keras.Variable", Any]]:
    found = []
    for side in range(2):
        for n, (gates, lstm) in enumerate(zip(bilm.gates[side], bilm.lstms[side], strict=True)):
            name = f"RNN_{side}/RNN/MultiRNNCell/Cell{n}/LSTMCell"
            inputs = gates.kernel.shape[0]
            kernel = arrays[f"{name}/W_0"]
            found += [(gates.kernel, kernel[:inputs]), (gates.bias, arrays[f"{name}/B"])]
            found += [(lstm.cell.recurrent, kernel[inputs:])]
            if lstm.cell.width != lstm.cell.units:
                found.append((lstm.cell.projection, arrays[f"{name}/W_P_0"]))
    return found
