"""`polisemia generate`: what a model writes, on the screen."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import ConfigError


def generate_command(
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
