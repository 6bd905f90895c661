"""ELMo from its formulas, in NumPy and float64, word by word; and files in the published format to read it from."""

import json
from pathlib import Path

import h5py
import numpy as np

OPTIONS = {
    "char_cnn": {
        "embedding": {"dim": 3},
        "filters": [[1, 4], [3, 5]],
        "n_highway": 1,
        "n_characters": 262,
        "max_characters_per_token": 50,
        "activation": "tanh",
    },
    "lstm": {"dim": 6, "projection_dim": 4, "n_layers": 2, "cell_clip": 0.6, "proj_clip": 0.4}
    | {"use_skip_connections": True},
}


def write(folder: Path, seed: int = 0, lstm: dict | None = None, cnn: dict | None = None) -> Path:
    """A folder with options.json and weights.hdf5 of random numbers; what is given replaces OPTIONS."""
    options = {"lstm": OPTIONS["lstm"] | (lstm or {}), "char_cnn": OPTIONS["char_cnn"] | (cnn or {})}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.json").write_text(json.dumps(options))
    random = np.random.default_rng(seed)
    with h5py.File(folder / "weights.hdf5", "w") as file:
        for name, shape in shapes(options).items():
            file[name] = random.normal(0, 0.7, shape).astype(np.float32)
    return folder


def shapes(options: dict) -> dict[str, tuple[int, ...]]:
    cnn, lstm = options["char_cnn"], options["lstm"]
    features, width, units = sum(count for _, count in cnn["filters"]), lstm["projection_dim"], lstm["dim"]
    found: dict[str, tuple[int, ...]] = {"char_embed": (261, cnn["embedding"]["dim"])}
    for n, (wide, count) in enumerate(cnn["filters"]):
        found |= {f"CNN/W_cnn_{n}": (1, wide, cnn["embedding"]["dim"], count), f"CNN/b_cnn_{n}": (count,)}
    for n in range(cnn.get("n_highway", 0)):
        for gate in ("carry", "transform"):
            found |= {f"CNN_high_{n}/W_{gate}": (features, features), f"CNN_high_{n}/b_{gate}": (features,)}
    if features != width:
        found |= {"CNN_proj/W_proj": (features, width), "CNN_proj/b_proj": (width,)}
    for side in range(2):
        for n in range(lstm["n_layers"]):
            cell = f"RNN_{side}/RNN/MultiRNNCell/Cell{n}/LSTMCell"
            found |= {f"{cell}/W_0": (2 * width, 4 * units), f"{cell}/B": (4 * units,)}
            if width != units:
                found[f"{cell}/W_P_0"] = (units, width)
    return found


class Reference:
    """The network of a published folder. `states` go on from one call of `layers` to the next, as in AllenNLP."""

    def __init__(self, folder: Path):
        (options,), (weights,) = folder.glob("*options.json"), folder.glob("*weights.hdf5")
        self.cnn, self.lstm = (json.loads(options.read_text())[part] for part in ("char_cnn", "lstm"))
        with h5py.File(weights) as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            self.array = {name: file[name][...].astype(np.float64) for name in names}
        self.forget()

    def forget(self) -> None:
        sizes = self.lstm["dim"], self.lstm["projection_dim"]
        sides, layers = range(2), range(self.lstm["n_layers"])
        self.states = {(side, n): [np.zeros(size) for size in sizes] for side in sides for n in layers}

    def layers(self, words: list[str]) -> np.ndarray:
        """[layers + 1, words, 2 * width], the words' own vectors first."""
        tokens = np.array([self.word(word) for word in [b"\x00", *(word.encode() for word in words), b"\x01"]])
        sides = [self.side(0, tokens), [layer[::-1] for layer in self.side(1, tokens[::-1])]]
        return np.stack([np.concatenate(both, axis=1)[1:-1] for both in zip(*sides, strict=True)])

    def word(self, word: bytes) -> np.ndarray:
        inner = {b"\x00": [256], b"\x01": [257]}.get(word, list(word[:48]))
        codes = np.array(([258, *inner, 259] + [260] * 50)[:50])
        letters, found = self.array["char_embed"][codes], []
        for n, (wide, _) in enumerate(self.cnn["filters"]):
            kernel, bias = self.array[f"CNN/W_cnn_{n}"][0], self.array[f"CNN/b_cnn_{n}"]
            places = [sum(letters[start + k] @ kernel[k] for k in range(wide)) + bias for start in range(50 - wide + 1)]
            found.append(np.max(places, axis=0))
        x = np.concatenate(found)
        x = np.tanh(x) if self.cnn["activation"] == "tanh" else np.maximum(x, 0)
        for n in range(self.cnn.get("n_highway", 0)):
            carry, transform = (
                x @ self.array[f"CNN_high_{n}/W_{gate}"] + self.array[f"CNN_high_{n}/b_{gate}"]
                for gate in ("carry", "transform")
            )
            x = sigmoid(carry) * np.maximum(transform, 0) + (1 - sigmoid(carry)) * x
        if "CNN_proj/W_proj" in self.array:
            x = x @ self.array["CNN_proj/W_proj"] + self.array["CNN_proj/b_proj"]
        return x

    def side(self, side: int, words: np.ndarray) -> list[np.ndarray]:
        every = [words]
        for n in range(self.lstm["n_layers"]):
            name = f"RNN_{side}/RNN/MultiRNNCell/Cell{n}/LSTMCell"
            outputs = np.array([self.step(name, (side, n), x) for x in every[-1]])
            every.append(outputs + every[-1] if n and self.lstm["use_skip_connections"] else outputs)
        return every

    def step(self, name: str, cell: tuple[int, int], x: np.ndarray) -> np.ndarray:
        c, h = self.states[cell]
        i, j, f, o = np.split(np.concatenate([x, h]) @ self.array[f"{name}/W_0"] + self.array[f"{name}/B"], 4)
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
        c = np.clip(c, -self.lstm["cell_clip"], self.lstm["cell_clip"])
        h = sigmoid(o) * np.tanh(c)
        if f"{name}/W_P_0" in self.array:
            h = np.clip(h @ self.array[f"{name}/W_P_0"], -self.lstm["proj_clip"], self.lstm["proj_clip"])
        self.states[cell] = [c, h]
        return h


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
