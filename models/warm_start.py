"""Starting a model from another's weights, though tokens or labels may have come, gone and moved.

Weights are matched by their order, which is the same for the same family and sizes. Where the vocabulary or the labels
differ, their axes are found by what grows when one more is asked for, and carried over name by name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np

from data.errors import StageError
from models.families.base import Vocabulary

EXTRA = "\0"  # a token and a label that no model has


class Moved(NamedTuple):
    """Where the rows of an axis come from.

    sources: for each new place the old ones whose mean it starts as; none: as the model is built.
    kept, new, dropped: how many, or which.
    """

    sources: Sequence[Sequence[int]]
    kept: int
    new: list[str]
    dropped: list[str]


class Known(NamedTuple):
    """What a new model starts from: weights in their order, and what the axes stood for (None: as in the new one).

    origin: names the model they are of. moments: of its optimizer, as models/moments.py names them, where it has kept
    them and they are asked for.
    """

    weights: list[np.ndarray]
    tokens: Moved | None = None
    labels: Moved | None = None
    origin: str = ""
    moments: Mapping[str, np.ndarray] = {}


def moved_labels(old: Sequence[str], new: Sequence[str]) -> Moved | None:
    """None where nothing moved."""
    if list(old) == list(new):
        return None
    place = {label: n for n, label in enumerate(old)}
    sources = [[place[label]] if label in place else [] for label in new]
    fresh, gone = [label for label in new if label not in place], [label for label in old if label not in set(new)]
    return Moved(sources, len(new) - len(fresh), fresh, gone)


def moved_tokens(old: Any, new: Any) -> Moved | None:
    """Tokens of two tokenizers: the same ones keep their vectors, a new one starts as the mean of its old pieces'."""
    if list(old.vocabulary) == list(new.vocabulary) and old.special == new.special:
        return None
    place = {token: n for n, token in enumerate(old.vocabulary)}
    fresh = [n for n, token in enumerate(new.vocabulary) if token not in place]
    ids, splits = old.encode([new.decode([n]) for n in fresh])
    pieces = {n: ids[start:end] for n, start, end in zip(fresh, splits, splits[1:], strict=False)}
    known = {n: [int(i) for i in found if i != old.special.unknown] for n, found in pieces.items()}
    sources = [known[n] if n in known else [place[token]] for n, token in enumerate(new.vocabulary)]
    words = set(new.vocabulary)
    dropped = [token for token in old.vocabulary if token not in words]
    return Moved(sources, len(new.vocabulary) - len(fresh), [new.vocabulary[n] for n in fresh], dropped)


def warm(
    build: Callable[..., keras.Model], known: Known, vocabulary: Vocabulary, labels: Sequence[str], **others: Any
) -> keras.Model:
    """What `build(vocabulary, labels=labels, **others)` makes, its weights those that are known.

    Raises StageError where these are another model's.
    """
    build = partial(build, **others)
    model = build(vocabulary, labels=labels)
    shapes = [tuple(weight.shape) for weight in model.weights]
    token_axes: list[tuple[int, ...]] = [()] * len(shapes)
    label_axes = token_axes
    if known.tokens:
        more = vocabulary._replace(size=vocabulary.size + 1, words=[*vocabulary.words, EXTRA])
        token_axes = _axes(shapes, build(more, labels=labels))
    if known.labels:
        label_axes = _axes(shapes, build(vocabulary, labels=[*labels, EXTRA]))
    _check(shapes, known, token_axes, label_axes)
    for weight, array, by_token, by_label in zip(model.weights, known.weights, token_axes, label_axes, strict=True):
        start = weight.numpy()
        for axes, moved in ((by_token, known.tokens), (by_label, known.labels)):
            for axis in axes:
                assert moved
                array = _carried(array, axis, moved, start)
        weight.assign(array)
    return model


def _axes(shapes: Iterable[tuple], larger: keras.Model) -> list[tuple[int, ...]]:
    """Of each weight, the axes that grew."""
    return [
        tuple(n for n, (size, more) in enumerate(zip(shape, weight.shape, strict=True)) if size != more)
        for shape, weight in zip(shapes, larger.weights, strict=True)
    ]


def _check(shapes: list[tuple], known: Known, *axes: Sequence[tuple[int, ...]]) -> None:
    moves = {n for each in axes for n, found in enumerate(each) if found}
    same = len(shapes) == len(known.weights) and all(
        n in moves or shape == array.shape for n, (shape, array) in enumerate(zip(shapes, known.weights, strict=True))
    )
    if not same:
        raise StageError(
            f"trainer: the champion's {len(known.weights)} weights are not those of this family and its sizes "
            f"({len(shapes)} weights); wanted the same [trainer] family and [transform] max_tokens, or a training anew "
            "(decider.full_rows = 0)"
        )


def _carried(array: np.ndarray, axis: int, moved: Moved, start: np.ndarray) -> np.ndarray:
    """The array with the rows of an axis where they belong; those without a source are of `start`, where its other
    axes allow."""
    rows = np.moveaxis(array, axis, 0)
    fresh = np.moveaxis(start, axis, 0)
    found = [
        rows[list(source)].mean(axis=0) if len(source) else _like(fresh[n], rows[0])
        for n, source in enumerate(moved.sources)
    ]
    return np.moveaxis(np.stack(found).astype(array.dtype), 0, axis)


def _like(row: np.ndarray, other: np.ndarray) -> np.ndarray:
    return row if row.shape == other.shape else np.zeros_like(other)


def read_weights(path: Any) -> list[np.ndarray]:
    """The arrays of weights.npz, in their order."""
    with path.open("rb") as file, np.load(file) as arrays:
        return [arrays[name] for name in sorted(arrays.files)]


def report(known: Known | None, optimizer: Mapping[str, int] | None = None) -> Mapping[str, Any] | None:
    """What was carried over, for the model artifact's properties; None where nothing was.

    optimizer: of its moments, how many; None where it started anew.
    """
    if known is None:
        return None

    def told(moved: Moved | None, every: bool) -> dict[str, Any]:
        if moved is None:
            return {"kept": "all"}
        lists = {"new": moved.new, "dropped": moved.dropped}
        return {"kept": moved.kept, **{name: each if every else len(each) for name, each in lists.items()}}

    moved = {"tokens": told(known.tokens, every=False), "labels": told(known.labels, every=True)}
    return {"champion": known.origin, **moved, "optimizer": optimizer}
