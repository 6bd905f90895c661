"""Puts a blessed model where servers look for it: `<served>/<model>/<version>/`, whole or not at all."""

import json
from typing import Annotated

from etils import epath
from pydantic import Field

from components.artifacts import Comparison, Evaluation, Model, Pushed, Validation
from components.base import Input, Output, component
from components.versions import METRICS, ORIGIN, places, prune, publish, pushed_before


@component(version=2)
def pusher(
    trained: Input[Model],
    evaluation: Input[Evaluation],
    validation: Input[Validation],
    comparison: Input[Comparison] | None,
    pushed: Output[Pushed],
    *,
    model: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_-]*$", description="name to serve it under; the pipeline's name if empty")
    ] = "",
    directory: Annotated[
        str, Field(description="where served models lie; `served` in the pipeline's home if empty")
    ] = "",
    keep: Annotated[int, Field(ge=0, description="newest versions that are kept, older ones are removed; 0: all")] = 10,
) -> None:
    """Copies the SavedModel to the next version, unless it is not blessed, the champion stays, or it was pushed."""
    home = pushed.path.parent.parent
    model = model or home.name
    against = comparison.properties["reasons"] if comparison and not comparison.properties["takes_over"] else []
    if against or not (evaluation.properties["blessed"] and validation.properties["loads"]):
        pushed.properties.update(served=None, reasons=against or evaluation.properties["reasons"])
        return
    served = (epath.Path(directory) if directory else home / "served") / model
    known = pushed_before(served, trained.fingerprint)
    if not known:
        metrics = {name: metric["value"] for name, metric in evaluation.properties["metrics"].items()}
        version = publish(trained.path / "saved_model", served, {ORIGIN: trained.fingerprint, METRICS: metrics})
        known = version, version
    prune(served, keep, _in_record(home, served))
    pushed.properties.update(
        served={"model": model, "version": known[0], "path": str(served / str(known[0]))},
        reasons=evaluation.properties["reasons"],
        external=[places(served, known[1])],
    )


def _in_record(home: epath.Path, served: epath.Path) -> list[int]:
    """The version that the pipeline's record names, until this run has its own."""
    latest = home / "latest.json"
    named = json.loads(latest.read_text()).get("served") if latest.exists() else None
    return [named["version"]] if named and epath.Path(named["path"]).parent == served else []
