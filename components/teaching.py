"""What a trained model gives to the training of another: its answers to the training texts and, if wanted, layers."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from etils import epath

from components.artifacts import Examples, Model, Pretrained
from components.saved_model import as_bytes, load_exported, read_properties
from components.specs import distillation_of, family_of, spec_of
from components.versions import ORIGIN
from data.errors import ConfigError
from data.schema import TEACHER

TASK = "classification"  # whose answer has the probability of each label


def find_pretrained(path: str) -> str:
    """The masked language model that a path stands for: what the pretrainer left there, or in a pipeline's last run.

    Or a Hugging Face folder; whether it has a head is seen when it is read. Raises ConfigError when there is none.
    """
    from models.hiding import HEAD
    from models.published import is_published, read_config

    root = epath.Path(path)
    places = [root, root / "preset"]
    if path and (root / "latest.json").exists():
        runs = json.loads((root / "latest.json").read_text())["stages"].get("pretrainer", ())
        places += [root / "pretrainer" / run["fingerprint"] / "preset" for run in runs]
    for place in places if path else ():
        if (place / HEAD).exists() or ((place / "config.json").exists() and is_published(read_config(place))):
            return str(place)
    raise ConfigError(
        f"pretrainer.objective.teacher: {f'got {path}, where no such model is' if path else 'missing'}; wanted what "
        "[pretrainer] left with objective 'masked' (its artifact, or its pipeline's home), or a Hugging Face folder of "
        "a masked language model"
    )


def check_task(taught: str, task: str) -> None:
    """Raises ConfigError unless a teacher of the task `taught` can teach `task`. Known before anything runs."""
    if {taught, task} != {TASK}:
        raise ConfigError(f"trainer.distill: got a teacher of {taught} for {task}; wanted {TASK}")


def teach(
    table: dict[str, Any],
    place: str,
    student: tuple[Callable, Any, Any],
    store: Any,
    examples: list[Examples],
    properties: Mapping[str, Any],
    tokenizer: Any,
) -> tuple[Any, Any]:
    """What the training loop builds and learns when the SavedModel at `place` teaches.

    student: what builds it, its family and its task. properties: of the model artifact in the making.
    The rows of `store`, the training split of `examples`, get the teacher's logits: it reads the texts as it does when
    it is served, once each, so its family and tokenizer may be any. They stay in memory, 4 bytes a row and label.
    Raises ConfigError when its labels or inputs are others, or it lacks what `cosine` or `copy_layers` want.
    """
    from models.distillation import Lesson, build_pupil

    spec, known = distillation_of(table), read_properties(place)
    build, family, task = student
    _check(known, properties)
    if spec.inside:
        teacher = _inside(epath.Path(place), known, family, properties["max_tokens"], tokenizer)
        build = partial(build_pupil, build, family, *teacher, spec)
    logits = _logits(place, known, examples, properties["labels"])[store.places]
    store.add(TEACHER, lambda rows, length: logits[rows])
    return build, Lesson(task, spec)


def _check(known: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Raises ConfigError with everything that makes the teacher one of something else."""
    problems = []
    if set(known["labels"]) != set(properties["labels"]):
        problems.append(
            f"trainer.distill.teacher: it answers {', '.join(known['labels'])}; wanted the labels of this training, "
            f"{', '.join(properties['labels'])}"
        )
    if list(known["inputs"]) != list(properties["inputs"]):
        problems.append(
            f"trainer.distill.teacher: it reads {' and '.join(known['inputs'])}; wanted "
            f"{' and '.join(properties['inputs'])}"
        )
    if properties["stride"]:
        problems.append(
            "trainer.distill: got transform.stride above 0, and a teacher answers whole texts; drop one of them"
        )
    if problems:
        raise ConfigError(*problems)


def _logits(place: str, known: Mapping[str, Any], examples: list[Examples], labels: Sequence[str]) -> Any:
    """The teacher's logits <float32>[rows of all shards, labels], in the order of `labels`."""
    import numpy as np
    import pyarrow.parquet as pq

    from models.distillation import as_logits

    exported, order, found = load_exported(place), [known["labels"].index(label) for label in labels], []
    for shard in (shard for part in examples for shard in part.shards("train")):
        with epath.Path(shard).open("rb") as file:
            table = pq.ParquetFile(file).read(list(known["inputs"]))
        if len(table):
            texts = {name: as_bytes(table.column(name)) for name in known["inputs"]}
            found.append(as_logits(exported.answer(texts, known["max_tokens"])["scores"][:, order]))
    return np.concatenate(found)


def _inside(
    place: epath.Path, known: Mapping[str, Any], family: Any, max_tokens: int, tokenizer: Any
) -> tuple[Callable, Any, list]:
    """What builds the teacher, its family and its weights, from the artifacts that it came of.

    A SavedModel alone has neither the names of its parts nor its tokenizer's words.
    """
    import numpy as np

    from data.tokenizers import load_tokenizer
    from models.build import build_model
    from models.families.base import Vocabulary
    from models.families.kin import check_kin
    from models.tasks import TASKS

    folders = [place.parent, place.parent.parent.parent.parent / "trainer" / known.get(ORIGIN, "-")]
    artifact = next((found for folder in folders if (found := Model.load(folder))), None)
    if artifact is None:
        raise ConfigError(
            f"trainer.distill: got cosine or copy_layers, and {place} is not in the home of the run that made it; "
            "wanted its model artifact, or a model that its pipeline serves"
        )
    inputs, root = artifact.manifest["inputs"], artifact.path.parent.parent
    teacher = family_of(known["family"])
    for fingerprint in inputs.get("pretrained", ()):
        pretrained = Pretrained.load(root / "pretrainer" / fingerprint)
        if pretrained is None:
            raise ConfigError(
                f"trainer.distill.teacher: it was pretrained, and {root}/pretrainer/{fingerprint} is gone"
            )
        teacher = teacher.start_from(str(pretrained.path / pretrained.properties["start"]))
    check_kin(family, teacher)
    words = load_tokenizer(root / "tokenizer_gen" / inputs["tokenizer"][0])
    same = all(getattr(words, name) == getattr(tokenizer, name) for name in ("kind", "vocabulary", "options"))
    if not same or max_tokens > known["max_tokens"]:
        raise ConfigError(
            f"trainer.distill: got cosine or copy_layers with {'the same' if same else 'another'} tokenizer and "
            f"max_tokens = {max_tokens}; wanted the teacher's tokenizer, and its max_tokens = {known['max_tokens']} at "
            "most; its answers alone fit any"
        )
    job, labels, pairs = spec_of(TASKS[known["task"]], known["head"]), known["labels"], len(known["inputs"]) > 1
    arguments = teacher, job, Vocabulary.of(words), known["max_tokens"], labels, pairs
    with (artifact.path / "weights.npz").open("rb") as file, np.load(file) as arrays:
        weights = [arrays[name] for name in sorted(arrays.files)]
    return partial(build_model, *arguments), teacher, weights
