"""Puts a blessed model where servers look for it: `<served>/<model>/<version>/`, whole or not at all."""

from typing import Annotated

from etils import epath
from pydantic import Field

from components.artifacts import Evaluation, Model, Pushed, Validation
from components.base import Input, Output, component
from components.saved_model import GRAPH, read_properties, versions, write_properties

INCOMING = ".incoming"  # no number, so no server looks into it
ORIGIN = "model_artifact"  # the fingerprint a served model came from, among its properties


@component(version=1)
def pusher(
    trained: Input[Model],
    evaluation: Input[Evaluation],
    validation: Input[Validation],
    pushed: Output[Pushed],
    *,
    model: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_-]*$", description="name to serve it under; the pipeline's name if empty")
    ] = "",
    directory: Annotated[
        str, Field(description="where served models lie; `served` in the pipeline's home if empty")
    ] = "",
) -> None:
    """Copies the SavedModel to the next version, unless it is not blessed or is served already."""
    home = pushed.path.parent.parent
    model = model or home.name
    if not (evaluation.properties["blessed"] and validation.properties["loads"]):
        pushed.properties.update(served=None, reasons=evaluation.properties["reasons"])
        return
    served = (epath.Path(directory) if directory else home / "served") / model
    version = _version_of(served, trained.fingerprint) or _push(trained, served)
    place = str(served / str(version))
    pushed.properties.update(
        served={"model": model, "version": version, "path": place},
        reasons=evaluation.properties["reasons"],
        external=[place],
    )


def _version_of(served: epath.Path, fingerprint: str) -> int | None:
    """The version that this very model is served as."""
    for version in reversed(versions(served)):
        if read_properties(served / str(version)).get(ORIGIN) == fingerprint:
            return version
    return None


def _push(trained: Model, served: epath.Path) -> int:
    """Copies the model to a new version and answers its number.

    A local server sees the new version in one rename. On a remote home nothing can be renamed, so the graph, without
    which no server loads anything, is copied last; what an interrupted copy left has no graph and is overwritten.
    """
    version = 1 + max(versions(served), default=0)
    final = served / str(version)
    place = served / INCOMING if _renames(served) else final
    for left in (place, final):
        if left.exists():
            left.rmtree()
    _copy(trained.path / "saved_model", place)
    write_properties(place, {**read_properties(place), ORIGIN: trained.fingerprint})
    (trained.path / "saved_model" / GRAPH).copy(place / GRAPH)
    if place != final:
        place.rename(final)
    return version


def _renames(path: epath.Path) -> bool:
    return "://" not in str(path)


def _copy(source: epath.Path, target: epath.Path) -> None:
    """Everything but the graph."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir():
            _copy(entry, target / entry.name)
        elif entry.name != GRAPH:
            entry.copy(target / entry.name)
