"""Text written by an exported model: as its config says, or with other options, all at once or token by token."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from components import saved_model
from components.specs import spec_of
from data.errors import ConfigError

GENERATE = "generate"  # signature of models that go on with a text; of those with a source it is the default one


def write(
    directory: Any,
    properties: Mapping[str, Any],
    prompts: Sequence[str],
    options: Mapping[str, Any],
    stop: Sequence[str],
) -> list[list[dict[str, Any]]]:
    """Of each prompt the answers, the best first: {text, score}.

    options: of models.generation.Generation, beside what the model's config set; none of them and no `stop`, and the
    model's own signature answers. Raises ConfigError for a model that writes no text, and for options that do not fit.
    """
    exported, chosen, ends = _opened(directory, properties, options, stop)
    encoded = [_encoded(prompt) for prompt in prompts]
    if not options and not stop:
        signature = GENERATE if GENERATE in exported.signatures else saved_model.SIGNATURE
        texts = dict.fromkeys(exported.inputs_of(signature), encoded)
        found = exported.answer(texts, properties["max_tokens"], signature=signature)
        several = ("texts", "scores") if "texts" in found else ("text", "score")
        rows = zip(*(found[name].reshape(len(prompts), -1).tolist() for name in several), strict=True)
    else:
        try:
            rows = zip(*_written(str(directory)).generate(encoded, chosen, ends), strict=True)
        except ValueError as error:
            raise ConfigError(f"generate: {error}") from None
    return [[{"text": t, "score": round(s, 6)} for t, s in zip(*row, strict=True)] for row in rows]


def stream(
    directory: Any, properties: Mapping[str, Any], prompt: str, options: Mapping[str, Any], stop: Sequence[str]
) -> Iterator[str]:
    """The same answer to one prompt, piece by piece as it is written. Raises ConfigError for beam search and several
    answers, which have none before the end."""
    _, chosen, ends = _opened(directory, properties, options, stop)
    try:
        yield from _written(str(directory)).stream(_encoded(prompt), chosen, ends)
    except ValueError as error:
        raise ConfigError(f"generate: {error}") from None


def _opened(
    directory: Any, properties: Mapping[str, Any], options: Mapping[str, Any], stop: Sequence[str]
) -> tuple[Any, Any, list[bytes]]:
    """The loaded model, how it is to write, and what ends a text."""
    head = properties.get("head", {})
    exported = saved_model.load_exported(directory)
    if exported.writer is None:
        raise ConfigError(
            f"{directory}: a model of {properties['task']} writes no text; wanted one of language_modeling or "
            "text_to_text"
        )
    try:
        chosen = _options(head.get("generation") or {}, options, _written(str(directory)).places)
    except ValueError as error:
        raise ConfigError(f"generate: {str(error).partition(', got {')[0]}") from None
    return exported, chosen, [_encoded(each) for each in (*head.get("stop", ()), *stop)]


def _options(own: Mapping[str, Any], given: Mapping[str, Any], places: int) -> Any:
    """The config's options with those given in their place; another method leaves the config's method's own behind.

    places: of the model's tokens, 0 for any number; where nothing says how many to write, it writes no more than fit.
    """
    from models.generation import OF_METHOD, Generation

    method = given.get("method", own.get("method", "greedy"))
    kept = {name: value for name, value in own.items() if method in OF_METHOD.get(name, (method,))}
    most = Generation().max_tokens
    most = min(most, places - 1) if places else most
    return spec_of(Generation, {"max_tokens": most, **kept, **given})


@lru_cache(maxsize=2)
def _written(directory: str) -> Any:
    from models.writing import Written

    return Written(saved_model.load_exported(directory).writer)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
