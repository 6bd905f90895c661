"""Whether the exported model loads and answers where it will be served: in TF Serving's runtime, and in a server."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from components.artifacts import Model, Validation
from components.base import Input, Output, component
from components.golden import compare_all, read_golden, replay
from components.model_server import ask_server, find_server
from components.native_client import read_graph
from components.serving_ops import LINKED, NEWEST
from data.errors import StageError

MUST_COMPILE = "_XlaMustCompile"
TIMED_CALLS = 100
REASONS = {  # why TF Serving lacks what it lacks, by a part of the op's name
    "PyFunc": "it calls Python, which TF Serving has not",
    "Xla": "it needs XLA, which TF Serving has off",
    "TFText>": "the TF Text that TF Serving {target} links has no such op",
    "": "TF Serving {target} has no such op",
}


@component(version=2, tensorflow=True)
def infra_validator(
    model: Input[Model],
    validation: Output[Validation],
    *,
    target: Annotated[
        Literal["2.18", "2.19", "2.20"], Field(description="the TF Serving version the model must run on")
    ] = NEWEST,
    server: Annotated[
        Literal["auto", "docker", "none"],
        Field(
            description="the server that is asked too: tensorflow_model_server if it is on PATH, its image, or neither"
        ),
    ] = "auto",
) -> None:
    """Checks every op, then asks the model's golden requests in TF Serving's runtime, and in a server where one is."""
    directory = model.path / "saved_model"
    ops = check_ops(directory, target)
    measured = replay(directory, timed=TIMED_CALLS)
    golden = read_golden(directory)
    found = find_server(server, target)
    if found:
        compare_all(golden, ask_server(found, directory, golden), f"{directory}, in {found.name},")
    report = {
        "target": target,
        "ops": sorted(ops),
        "requests": [f"{each.request['signature_name']}: {each.name}" for each in golden],
        "server": found.name if found else None,
        **measured,
    }
    (validation.path / "infra.json").write_text(json.dumps(report, indent=1))
    validation.properties.update(loads=True, ops=len(ops), requests=len(golden), target=target, server=report["server"])


def check_ops(saved_model: Any, target: str) -> set[str]:
    """Names of all ops of the graph and its functions. Raises StageError for those that TF Serving `target` lacks."""
    ops, problems = set(), set()
    for meta in read_graph(saved_model).meta_graphs:
        functions = meta.graph_def.library.function
        nodes = [*meta.graph_def.node, *(node for function in functions for node in function.node_def)]
        ops |= {node.op for node in nodes} - {function.signature.name for function in functions}
        if any(part.attr[MUST_COMPILE].b for part in (*nodes, *functions) if MUST_COMPILE in part.attr):
            problems.add(f"a function with jit_compile=True: {REASONS['Xla']}")
    for op in ops - LINKED[target]:
        reason = next(reason for part, reason in REASONS.items() if part in op).format(target=target)
        newer = next((version for version, linked in LINKED.items() if op in linked), None)
        problems.add(f"op {op}: {reason}" + (f"; infra_validator.target = '{newer}' has" if newer else ""))
    if problems:
        raise StageError("\n".join(f"infra_validator: {saved_model} has {problem}" for problem in sorted(problems)))
    return ops
