"""Pretrained models by KerasHub preset name, handle or folder: the only place in models that may use the network.

| preset | found |
|---|---|
| a folder | as KerasHub's `save_to_preset` writes it, or Hugging Face's (models/published); never the network |
| bert_tiny_en_uncased, ... | KerasHub's presets, through kagglehub and its cache |
| kaggle://org/model/keras/variant[/version] | kagglehub and its cache |
| hf://org/name | huggingface_hub and its cache; either format |
| gs://..., s3://... | a folder as above, copied for this process |

What is in a cache is used without asking the network.
"""

from difflib import get_close_matches
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from etils import epath

from data.errors import ConfigError
from data.remote import is_folder
from models import published

if TYPE_CHECKING:
    import keras_hub

KAGGLE, HUGGING_FACE = "kaggle://", "hf://"
WEIGHTS = ("model.weights.h5", "model.weights.json", published.tensors.WEIGHTS, published.tensors.INDEX)
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model")
# What is fetched of a repository: no pickles, no weights of other frameworks.
WANTED = ["config.json", "model*.safetensors*", "model*.weights.*", "*tokenizer*", "vocab.*", "merges.txt", "*.model"]
TIMEOUT = 5  # seconds without an answer


def load_backbone(preset: str, kind: type["keras_hub.models.Backbone"], **options: Any) -> Any:
    """The backbone of a preset with its weights, under the current dtype policy; `kind` is the class wanted.

    options: of its constructor, in place of the preset's own (dropout; no sizes, since they are the weights').
    Raises ConfigError when the preset cannot be found or read, or is of another architecture.
    """
    import keras

    folder = find_folder(preset)
    config = _checked_config(preset, folder, kind)
    dtype = keras.config.dtype_policy()
    try:
        if published.is_published(config):
            return published.load(folder, config, dtype=dtype, **options)
        return kind.from_preset(str(folder), dtype=dtype, **options)
    except ConfigError as error:
        raise ConfigError(*(f"trainer.family.preset: {problem}" for problem in error.problems)) from error
    except Exception as error:  # KerasHub and h5py each raise errors of their own
        raise ConfigError(
            f"trainer.family.preset: '{preset}' could not be loaded as {kind.__name__}; wanted a KerasHub preset, a "
            f"kaggle:// or hf:// handle, or a folder with config.json and weights. What the library says: "
            f"{_reason(error)}"
        ) from error


def backbone_class(preset: str) -> str:
    """Name of KerasHub's class that a folder's backbone is of; empty where it is no such folder."""
    if not is_folder(preset) or not (epath.Path(preset) / "config.json").exists():
        return ""
    folder = find_folder(preset)
    return _class_of(folder, published.read_config(folder))


def _class_of(folder: Path, config: dict[str, Any]) -> str:
    return published.backbone_name(folder, config) if published.is_published(config) else config.get("class_name", "")


def save_backbone(backbone: "keras_hub.models.Backbone", folder: epath.Path) -> None:
    """Writes a backbone as a folder that `load_backbone` reads, without a tokenizer and without the time of day."""
    with TemporaryDirectory(prefix="polisemia-preset-") as local:
        backbone.save_to_preset(local)
        (Path(local) / "metadata.json").unlink()  # holds the time; the loader does without
        folder.mkdir(parents=True, exist_ok=True)
        for path in Path(local).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())


def check_preset(preset: str, kind: type["keras_hub.models.Backbone"]) -> str:
    """Where a preset is, or will come from; at most its config.json is fetched. Raises ConfigError as load_backbone."""
    folder = find_folder(preset, only_config=True)
    _checked_config(preset, folder, kind)
    return str(folder) if is_folder(preset) or _is_whole(folder) else f"{preset}, to be downloaded"


def load_tf_hub(handle: str) -> Any:
    """A module of TensorFlow Hub by URL or local folder, in TF1-Hub format or as a SavedModel. Raises ConfigError."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pkg_resources, which tensorflow_hub 0.16 imports
        import tensorflow_hub
    try:
        return tensorflow_hub.load(handle)
    except Exception as error:  # urllib, OSError and TensorFlow each raise errors of their own
        raise ConfigError(
            f"trainer.family.hub: '{handle}' could not be fetched or read ({_reason(error)}); wanted a handle of "
            "TensorFlow Hub, such as https://tfhub.dev/google/elmo/3, or a local folder with the module's unpacked "
            "files (saved_model.pb, tfhub_module.pb, variables): download the archive elsewhere and give its folder"
        ) from error


def find_folder(preset: str, only_config: bool = False) -> Path:
    """A local folder with a preset's files, fetched where no cache has them.

    only_config: fetch no more than config.json. Raises ConfigError, which says what to download and where to put it,
    when the preset is neither cached nor reachable, or does not exist.
    """
    if is_folder(preset):
        return Path(_copied(preset).name if "://" in preset else preset)
    if preset.startswith(HUGGING_FACE):
        return _from_hugging_face(preset, only_config)
    if preset.startswith(KAGGLE):
        return _from_kaggle(preset, preset, only_config)
    import keras_hub

    known = {name: info["kaggle_handle"] for name, info in keras_hub.models.Backbone.presets.items()}
    if preset not in known:
        near = ", ".join(get_close_matches(preset, known)) or "none of its names is near"
        raise ConfigError(
            f"trainer.family.preset: got '{preset}', which is no folder and no preset of KerasHub ({near}); wanted a "
            f"name, a kaggle:// or hf:// handle, or a folder"
        )
    return _from_kaggle(preset, known[preset], only_config)


def _checked_config(preset: str, folder: Path, kind: type["keras_hub.models.Backbone"]) -> dict[str, Any]:
    try:
        config = published.read_config(folder)
        found = _class_of(folder, config) or "a config.json without class_name or model_type"
    except ConfigError as error:
        raise ConfigError(*(f"trainer.family.preset: {problem}" for problem in error.problems)) from error
    if found != kind.__name__:
        raise ConfigError(
            f"trainer.family.preset: '{preset}' holds {found}, wanted {kind.__name__}; choose the family it is of, "
            f"or another preset"
        )
    return config


def _from_hugging_face(preset: str, only_config: bool) -> Path:
    import huggingface_hub
    from huggingface_hub.constants import HF_HUB_CACHE

    name = preset.removeprefix(HUGGING_FACE)
    wanted = WANTED[: 1 if only_config else None]
    try:
        folder = Path(huggingface_hub.snapshot_download(name, local_files_only=True))
        if _is_whole(folder) or (only_config and (folder / "config.json").exists()):
            return folder
    except Exception:  # not cached; what is wrong with the name, the next call says
        folder = Path(HF_HUB_CACHE)
    try:
        fetched = Path(huggingface_hub.snapshot_download(name, allow_patterns=wanted, etag_timeout=TIMEOUT))
    except Exception as error:  # httpx, requests and huggingface_hub each raise errors of their own
        raise _not_found(preset, folder, f"https://huggingface.co/{name}", _reason(error)) from error
    if not only_config and not _is_whole(fetched):  # offline, what is cached of it is all that comes
        missing = f"what came has not all of config.json, {' or '.join(WEIGHTS)}, and {' or '.join(TOKENIZERS)}"
        raise _not_found(preset, folder, f"https://huggingface.co/{name}", missing)
    return fetched


def _from_kaggle(preset: str, handle: str, only_config: bool) -> Path:
    import kagglehub
    from kagglehub.cache import get_cached_path
    from kagglehub.handle import parse_model_handle

    try:
        parsed = parse_model_handle(handle.removeprefix(KAGGLE))
    except ValueError as error:
        raise ConfigError(
            f"trainer.family.preset: got '{preset}', wanted kaggle://org/model/keras/variant[/version]; {error}"
        ) from error
    cached = Path(get_cached_path(parsed))
    versions = [cached]
    if not parsed.is_versioned():
        cached = cached.parent
        versions = sorted(cached.glob("*"), key=lambda path: path.name.zfill(9))
    if whole := [folder for folder in versions if _is_whole(folder)]:
        return whole[-1]
    try:
        if only_config:
            return Path(kagglehub.model_download(handle.removeprefix(KAGGLE), "config.json")).parent
        return Path(kagglehub.model_download(handle.removeprefix(KAGGLE)))
    except Exception as error:  # requests, kagglesdk and kagglehub each raise errors of their own
        page = f"https://www.kaggle.com/models/{handle.removeprefix(KAGGLE)}"
        raise _not_found(preset, cached, page, _reason(error)) from error


@cache
def _copied(preset: str) -> TemporaryDirectory:
    """A remote folder on the local disk, until the process ends."""
    source, copy = epath.Path(preset), TemporaryDirectory(prefix="polisemia-preset-")
    _copy(source, Path(copy.name))
    return copy


def _copy(source: epath.Path, target: Path) -> None:
    for path in source.iterdir():
        if path.is_dir():
            (target / path.name).mkdir()
            _copy(path, target / path.name)
        else:
            (target / path.name).write_bytes(path.read_bytes())


def _is_whole(folder: Path) -> bool:
    """Whether a cache holds all of a preset; other programs fetch models without their tokenizers."""
    wanted = (("config.json",), WEIGHTS, TOKENIZERS)
    return all(any((folder / name).exists() for name in names) for names in wanted)


def _not_found(preset: str, cache: Path, page: str, reason: str) -> ConfigError:
    return ConfigError(
        f"trainer.family.preset: '{preset}' is not in {cache} and could not be fetched; download the files of {page} "
        f"(config.json, weights, tokenizer) on a machine that reaches it and give their folder as preset. What the "
        f"library says: {reason}"
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
