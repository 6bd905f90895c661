"""An optimizer's moments, kept beside a model's weights so that a training that goes on need not gather them anew."""

from collections import Counter
from typing import Any

import keras
import numpy as np

from models.distillation import student_of
from models.warm_start import Known

ITERATIONS = "iterations"


def moments_of(model: keras.Model, optimizer: keras.Optimizer) -> dict[str, np.ndarray]:
    """By the place of the weight in the model and the name of the moment, as in `0003 velocity`; and `iterations`."""
    found = {name: variable.numpy() for name, (_, variable) in _moments(model, optimizer).items()}
    return found | {ITERATIONS: np.asarray(_inner(optimizer).iterations.numpy())}


def carry(known: Known, model: keras.Model, optimizer: keras.Optimizer) -> dict[str, int]:
    """Gives a new optimizer the moments of every weight that starts as it was; counts those carried and not.

    Where all are, it goes on counting steps, by which Adam corrects its moments, though a schedule begins anew. Where
    some weights are new (tokens, labels), it counts from 0: their first steps are of the usual size then, and those of
    the others small.
    """
    weights = student_of(model).weights
    same = [np.array_equal(weight.numpy(), old) for weight, old in zip(weights, known.weights, strict=True)]
    carried, moments = 0, _moments(model, optimizer)
    for name, (place, variable) in moments.items():
        if same[place] and name in known.moments and known.moments[name].shape == tuple(variable.shape):
            variable.assign(known.moments[name])
            carried += 1
    steps = int(known.moments[ITERATIONS]) if carried == len(moments) else 0
    inner: Any = _inner(optimizer)
    inner.iterations.assign(steps)
    if isinstance(inner._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        inner._learning_rate.start = steps
    return {"carried": carried, "new": len(moments) - carried, "steps": steps}


def _inner(optimizer: Any) -> Any:
    """The rule itself, without what scales the loss for it."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _moments(model: keras.Model, optimizer: Any) -> dict[str, tuple[int, keras.Variable]]:
    """The place of its weight, and the variable, of each moment. Keras names one by its weight's path and its own."""
    inner, places = _inner(optimizer), {id(weight): place for place, weight in enumerate(student_of(model).weights)}
    by_path: dict[str, list[int]] = {}
    for weight in inner._trainable_variables:
        by_path.setdefault(weight.path.replace("/", "_"), []).append(places.get(id(weight), -1))
    found, seen = {}, Counter[tuple[str, str]]()
    for variable in inner.variables:
        path = max((each for each in by_path if variable.name.startswith(f"{each}_")), key=len, default="")
        if path:
            kind = variable.name.removeprefix(f"{path}_")
            place = by_path[path][seen[path, kind]]  # weights may share a path: they are in the same order
            seen[path, kind] += 1
            if place >= 0:
                found[f"{place:04d} {kind}"] = place, variable
    return found
