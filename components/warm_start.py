"""What a training starts from that follows another: the champion's weights, and what its family counted."""

from typing import Any

from components.artifacts import Model
from data.errors import StageError

WEIGHTS, ADAPTED = "weights.npz", "adapted.npz"  # in a model artifact
OF_VECTORS = {"vectors", "found"}  # what is counted only to build the weights, which are then carried over


def known_of(champion: Model | None, tokenizer: Any, labels: list[str]) -> Any:
    """What training starts from: the champion's weights, by the tokens and labels of this model. None: from nothing."""
    if champion is None:
        return None
    from data.tokenizers import load_tokenizer
    from models.warm_start import Known, moved_labels, moved_tokens, read_weights

    (fingerprint,) = champion.manifest["inputs"]["tokenizer"]
    before = load_tokenizer(champion.path.parent.parent / "tokenizer_gen" / fingerprint)
    moved = moved_tokens(before, tokenizer), moved_labels(champion.properties["labels"], labels)
    return Known(read_weights(champion.path / WEIGHTS), *moved, champion.fingerprint)


def counted_of(champion: Model | None, known: Any) -> Any:
    """What the champion's family counted; None where there is no champion, or its tokens have changed.

    Raises StageError where weights hang on what was counted, and the tokens have changed.
    """
    import numpy as np

    if champion is None:
        return None
    with (champion.path / ADAPTED).open("rb") as file, np.load(file) as arrays:
        adapted = {name: arrays[name] for name in arrays.files}
    if known.tokens is None:
        return adapted
    if set(adapted) - OF_VECTORS:
        raise StageError(
            f"trainer: family '{champion.properties['family']['name']}' counts n-grams of the vocabulary, which cannot "
            "grow under it; train anew, or set decider.grow_unknown = 1"
        )
    return None
