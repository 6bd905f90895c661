"""Tokenizers: text to ids and back, learned here or taken from published files.

Beam workers load by directory (`load_tokenizer`), once a process; the threads of a process share it.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from etils import epath

from data.errors import ConfigError, DataError, did_you_mean
from data.tokenizers import published
from data.tokenizers.base import DESCRIPTION, Tokenizer
from data.tokenizers.bpe import BytePair
from data.tokenizers.characters import Characters
from data.tokenizers.sentencepiece import SentencePiece
from data.tokenizers.wordpiece import WordPiece
from data.tokenizers.words import Words

TOKENIZERS: dict[str, type[Tokenizer]] = {
    "words": Words,
    "characters": Characters,
    "wordpiece": WordPiece,
    "bpe": BytePair,
    "sentencepiece": SentencePiece,
}


@lru_cache(maxsize=8)
def load_tokenizer(directory: str | Path) -> Tokenizer:
    """The tokenizer that `save` wrote; the same object for the same directory.

    Raises DataError when the directory holds none.
    """
    description = epath.Path(directory) / DESCRIPTION
    if not description.exists():
        raise DataError(f"{description}: not found; wanted a directory that a tokenizer was saved to")
    return TOKENIZERS[json.loads(description.read_text())["kind"]].load(directory)


def from_files(path: str | Path, **options: Any) -> Tokenizer:
    """The tokenizer of published files: a file, or a folder of them (see published.py), or one saved here.

    options are those of the kind's `learn` that say how to tokenize; what is not given follows the files.
    Raises ConfigError when there are no such files, or they want what is not offered here.
    """
    if (epath.Path(path) / DESCRIPTION).exists() and not options:
        return load_tokenizer(path)
    kind, arguments = published.read(path)
    known = arguments["options"]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ConfigError(
            *(f"{path}: published {kind} files have no option '{name}'{did_you_mean(name, known)}" for name in unknown)
        )
    return TOKENIZERS[kind](**arguments | {"options": arguments["options"] | options})
