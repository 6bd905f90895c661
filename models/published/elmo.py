"""ELMo as AllenNLP and bilm-tf publish it: a folder with *options.json and *weights.hdf5.

The options are the network's sizes; weights go in and out as they are.
"""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etils import epath

from data.errors import ConfigError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from models.elmo_layers import Network

OPTIONS, WEIGHTS = "*options.json", "*weights.hdf5"
FILTER = "CNN/W_cnn_"  # these have an axis of length 1 more


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
        with path.open("rb") as opened, h5py.File(opened) as file:
            for name, variables in _layout(network).items():
                array, wanted = file[name][...], _stacked(name, variables)
                if array.shape != wanted.shape:
                    raise ValueError(f"{name} is {array.shape}, wanted {wanted.shape}")
                rows = array[0] if name.startswith(FILTER) else array
                for variable in variables:
                    variable.assign(rows[: variable.shape[0]])
                    rows = rows[variable.shape[0] :]
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(
            f"trainer.family.weights: {path} does not hold the weights of the options beside it "
            f"({type(error).__name__}: {error}); wanted both files of one published model"
        ) from None


def write(folder: str | Path, network: "Network") -> None:
    """Writes a network as a folder that `read_options` and `assign` read; bilm-tf and AllenNLP do too."""
    import h5py

    place = epath.Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, Any] = dict(network.sizes)
    cnn = {
        "embedding": {"dim": sizes["embedding"]},
        "filters": [list(each) for each in sizes["filters"]],
        "n_highway": sizes["highway"],
        "n_characters": 262,  # with the padding of sentences, which has no row in the file
        "max_characters_per_token": 50,
        "activation": sizes["activation"],
    }
    lstm = {
        "n_layers": sizes["layers"],
        "dim": sizes["units"],
        "projection_dim": sizes["width"],
        "cell_clip": sizes["cell_clip"],
        "proj_clip": sizes["projection_clip"],
        "use_skip_connections": sizes["residual"],
    }
    (place / OPTIONS[1:]).write_text(json.dumps({"lstm": lstm, "char_cnn": cnn}, indent=1))
    whole = io.BytesIO()
    with h5py.File(whole, "w") as file:
        for name, variables in _layout(network).items():
            file[name] = _stacked(name, variables)
    (place / WEIGHTS[1:]).write_bytes(whole.getvalue())


def _only(folder: str | Path, pattern: str) -> epath.Path:
    found = sorted(epath.Path(folder).glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ConfigError(
            f"trainer.family.weights: got '{folder}' with {names}; wanted a folder with one {pattern} and, of the same "
            "model, one " + (WEIGHTS if pattern == OPTIONS else OPTIONS)
        )
    return found[0]


def _stacked(name: str, variables: "list[keras.Variable]") -> "np.ndarray":
    import numpy as np

    array = np.concatenate([variable.numpy() for variable in variables])
    return array[None] if name.startswith(FILTER) else array


def _layout(network: "Network") -> "dict[str, list[keras.Variable]]":
    """Names in the file, each with the variables whose rows it holds one above the other."""
    words, bilm = network.words, network.bilm
    found = {"char_embed": [words.embedding.embeddings]}
    for n, layer in enumerate(words.filters):
        found |= {f"{FILTER}{n}": [layer.kernel], f"CNN/b_cnn_{n}": [layer.bias]}
    for n, layer in enumerate(words.highway):
        for name, dense in (("carry", layer.carry), ("transform", layer.transform)):
            found |= {f"CNN_high_{n}/W_{name}": [dense.kernel], f"CNN_high_{n}/b_{name}": [dense.bias]}
    if words.project is not None:
        found |= {"CNN_proj/W_proj": [words.project.kernel], "CNN_proj/b_proj": [words.project.bias]}
    for side in range(2):
        for n, (gates, lstm) in enumerate(zip(bilm.gates[side], bilm.lstms[side], strict=True)):
            name = f"RNN_{side}/RNN/MultiRNNCell/Cell{n}/LSTMCell"
            found |= {f"{name}/W_0": [gates.kernel, lstm.cell.recurrent], f"{name}/B": [gates.bias]}
            if lstm.cell.width != lstm.cell.units:
                found[f"{name}/W_P_0"] = [lstm.cell.projection]
    return found
