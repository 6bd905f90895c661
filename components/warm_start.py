"""What a training leaves for one that follows it, and what that one starts from."""

from typing import Any

from components.artifacts import Model
from data.errors import StageError

WEIGHTS, ADAPTED, MOMENTS = "weights.npz", "adapted.npz", "moments.npz"  # in a model artifact
OF_VECTORS = {"vectors", "found"}  # what is counted only to build the weights, which are then carried over


def write_start(model: Model, result: Any, adapted: dict[str, Any], with_moments: bool) -> None:
    """What another training may start from: `weights.npz`, what the family counted in `adapted.npz`, and, if asked for,
    the optimizer's moments in `moments.npz`.

    result: of the training that made the model.
    """
    import numpy as np

    from models.distillation import student_of
    from models.moments import moments_of

    weights = {f"{n:04d} {each.path}": each.numpy() for n, each in enumerate(student_of(result.model).weights)}
    files = {WEIGHTS: weights, ADAPTED: adapted}
    files |= {MOMENTS: moments_of(result.model, result.optimizer)} if with_moments else {}
    for name, arrays in files.items():
        with (model.path / name).open("wb") as file:
            np.savez(file, **arrays)


def known_of(champion: Model | None, tokenizer: Any, labels: list[str], with_moments: bool) -> Any:
    """What training starts from: the champion's weights, by the tokens and labels of this model, and with moments those
    of its optimizer, if it has kept them. None: from nothing.
    """
    if champion is None:
        return None
    from data.tokenizers import load_tokenizer
    from models.warm_start import Known, moved_labels, moved_tokens, read_weights

    (fingerprint,) = champion.manifest["inputs"]["tokenizer"]
    before = load_tokenizer(champion.path.parent.parent / "tokenizer_gen" / fingerprint)
    moved = moved_tokens(before, tokenizer), moved_labels(champion.properties["labels"], labels)
    kept = with_moments and (champion.path / MOMENTS).exists()
    moments = _read(champion.path / MOMENTS) if kept else {}
    return Known(read_weights(champion.path / WEIGHTS), *moved, champion.fingerprint, moments)


def counted_of(champion: Model | None, known: Any) -> Any:
    """What the champion's family counted; None where there is no champion, or its tokens have changed.

    Raises StageError where weights hang on what was counted, and the tokens have changed.
    """
    if champion is None:
        return None
    adapted = _read(champion.path / ADAPTED)
    if known.tokens is None:
        return adapted
    if set(adapted) - OF_VECTORS:
        raise StageError(
            f"trainer: family '{champion.properties['family']['name']}' counts n-grams of the vocabulary, which cannot "
            "grow under it; train anew (decider.full_rows = 0), or set decider.grow_unknown = 1"
        )
    return None


def _read(path: Any) -> dict[str, Any]:
    """The arrays of an .npz, by their names."""
    import numpy as np

    with path.open("rb") as file, np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}
