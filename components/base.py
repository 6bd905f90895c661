"""A stage is one annotated function: its signature is its specification, its config and its place in the graph.

    @component(version=1)
    def statistics_gen(examples: Input[Examples], statistics: Output[Statistics], runtime: Runtime,
                       *, top_words: Annotated[int, Field(gt=0, description="...")] = 100) -> None: ...

Artifacts and the runtime are positional; what a config may set is keyword-only. Nothing else is allowed.
"""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model

from components.artifacts import Artifact

Kind = TypeVar("Kind", bound=Artifact)
Value = TypeVar("Value")
_INPUT, _OUTPUT, _RECORDED, _SHARED, _SOURCE = "input", "output", "recorded", "shared", "source"

Input = Annotated[Kind, _INPUT]
Output = Annotated[Kind, _OUTPUT]
Recorded = Annotated[Value, _RECORDED]  # in the manifest, but no part of the fingerprint: it changes no result
Shared = Annotated[Value, _SHARED]  # read from the top of the config, not from the stage's section
Source = Annotated[Value, _SOURCE]  # path of a file or folder of the user's: its content counts, not its name


@dataclass(frozen=True)
class Runtime:
    """What a run lends to its stages. It changes how they work, never what they make.

    beam: the options of `[beam]`, runner included.
    progress: called with (done, total) while a stage works. notice: with a sentence that a user should read.
    is_chief: False in a training worker that must write nothing.
    """

    beam: Mapping[str, Any] = field(default_factory=dict)
    progress: Callable[[int, int], None] = lambda done, total: None
    notice: Callable[[str], None] = lambda text: None
    is_chief: bool = True


@dataclass(frozen=True)
class InputSpec:
    kind: type[Artifact]
    many: bool
    optional: bool


@dataclass(frozen=True)
class Component:
    """A stage, read from its signature. Call it as the function it is."""

    name: str
    version: int
    tensorflow: bool  # TensorFlow's and Keras' minor versions count in the fingerprint
    function: Callable[..., None]
    inputs: Mapping[str, InputSpec]
    output: str
    kind: type[Artifact]
    params: type[BaseModel]
    shared: frozenset[str]
    recorded: frozenset[str]
    sources: frozenset[str]
    takes_runtime: bool

    def __call__(self, *args, **kwargs) -> None:
        self.function(*args, **kwargs)


def component(*, version: int, tensorflow: bool = False) -> Callable[[Callable], Component]:
    """Makes a stage of an annotated function. Raise `version` when the same inputs give other bytes."""

    def wrap(function: Callable) -> Component:
        inputs, outputs, fields, marks = {}, {}, {}, {}
        takes_runtime = False
        hints = typing.get_type_hints(function, include_extras=True)
        for name, parameter in inspect.signature(function).parameters.items():
            hint = hints[name]
            if parameter.kind is parameter.KEYWORD_ONLY:
                fields[name] = _field(hint, parameter)
                marks[name] = _marks(hint)
            elif hint is Runtime:
                takes_runtime = True
            elif _OUTPUT in _marks(hint):
                outputs[name] = typing.get_args(hint)[0]
            else:
                inputs[name] = _input(function, name, hint)
        assert len(outputs) == 1, f"{function.__name__} must have one Output, has {list(outputs)}"
        (output, kind), *_ = outputs.items()
        return Component(
            name=function.__name__,
            version=version,
            tensorflow=tensorflow,
            function=function,
            inputs=inputs,
            output=output,
            kind=kind,
            params=create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields),  # type: ignore[call-overload]
            shared=frozenset(n for n, m in marks.items() if _SHARED in m),
            recorded=frozenset(n for n, m in marks.items() if _RECORDED in m),
            sources=frozenset(n for n, m in marks.items() if _SOURCE in m),
            takes_runtime=takes_runtime,
        )

    return wrap


def _marks(hint: Any) -> set[str]:
    return {m for m in getattr(hint, "__metadata__", ()) if isinstance(m, str)}


def _input(function: Callable, name: str, hint: Any) -> InputSpec:
    """`Input[K]`, `list[Input[K]]` or `Input[K] | None`."""
    many = typing.get_origin(hint) is list
    optional = typing.get_origin(hint) in (typing.Union, types.UnionType)
    inner = typing.get_args(hint)[0] if many or optional else hint
    assert _INPUT in _marks(inner), f"{function.__name__}({name}): positional parameters are Input, Output or Runtime"
    return InputSpec(typing.get_args(inner)[0], many, optional)


def _field(hint: Any, parameter: inspect.Parameter) -> tuple[Any, Any]:
    default = ... if parameter.default is parameter.empty else parameter.default
    return hint, default if default is ... else Field(default=default)
