"""`polisemia generate`: what a model writes, on the screen."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from data.errors import ConfigError
from models.generation import Generation


def generate(
    model: Annotated[str, typer.Argument(help="a run (runs/NAME), served model or SavedModel", metavar="MODEL")],
    prompt: Annotated[list[str], typer.Argument(help="texts to go on with, or sources to answer", metavar="PROMPT...")],
    method: Annotated[str | None, typer.Option(help="greedy, beam, sample or contrastive")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="new tokens at most")] = None,
    min_tokens: Annotated[int | None, typer.Option(help="new tokens before the text may end")] = None,
    beams: Annotated[int | None, typer.Option(help="hypotheses of beam search")] = None,
    n_best: Annotated[int | None, typer.Option(help="answers for each prompt")] = None,
    length_penalty: Annotated[float | None, typer.Option(help="of beam search")] = None,
    coverage_penalty: Annotated[float | None, typer.Option(help="of beam search, for models with a source")] = None,
    early_stopping: Annotated[bool | None, typer.Option(help="of beam search")] = None,
    temperature: Annotated[float | None, typer.Option(help="of the draws")] = None,
    top_k: Annotated[int | None, typer.Option(help="only the k likeliest tokens")] = None,
    top_p: Annotated[float | None, typer.Option(help="only the likeliest tokens that reach this probability")] = None,
    alpha: Annotated[float | None, typer.Option(help="of contrastive search")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="of tokens that the text has")] = None,
    no_repeat_ngram: Annotated[int | None, typer.Option(help="no n-gram of this length comes twice")] = None,
    seed: Annotated[int | None, typer.Option(help="of the draws")] = None,
    stop: Annotated[list[str], typer.Option(help="text that ends the answer; may be repeated")] = [],
    stream: Annotated[bool, typer.Option("--stream", help="print the text as it is written")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object a prompt")] = False,
) -> None:
    """Write text with an exported model: what its config says, unless an option says otherwise."""
    options = {k: v for k, v in locals().items() if k in Generation.model_fields}
    _print(model, prompt, options, stop, stream, as_json)


def _print(
    model: str,
    prompts: Sequence[str],
    given: Mapping[str, Any],
    stop: Sequence[str],
    stream_it: bool,
    as_json: bool,
) -> None:
    """Prints what `model` writes for each prompt. given: options of generation, None where the model's own count."""
    from components.saved_model import find_model
    from components.writing import stream, write

    options = {name: value for name, value in given.items() if value is not None}
    if stream_it and (as_json or len(prompts) != 1):
        raise ConfigError("generate: --stream writes one prompt's text as it comes; drop --json and other prompts")
    directory, properties = find_model(model)
    if stream_it:
        for piece in stream(directory, properties, prompts[0], options, stop):
            print(piece, end="", flush=True)
        print()
        return
    for prompt, answers in zip(prompts, write(directory, properties, prompts, options, stop), strict=True):
        if as_json:
            print(json.dumps({"prompt": prompt, "answers": answers}, ensure_ascii=False))
        else:
            sys.stdout.write("".join(f"{answer['text']}\n" for answer in answers))
