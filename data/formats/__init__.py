"""FORMATS: one file a format, text files to Arrow record batches, bad rows apart with a reason."""

import os
import re
from typing import Any

from pydantic import ValidationError

from data.errors import ConfigError, did_you_mean
from data.formats.base import Batch, Block, Format, Reject
from data.formats.bigquery import BigQuery
from data.formats.conll import Conll
from data.formats.csv import Csv, Tsv
from data.formats.jsonl import Jsonl
from data.formats.parquet import Parquet
from data.formats.smart import Smart
from data.formats.squad import Squad
from data.formats.text import Text
from data.formats.tfds import Tfds
from data.formats.tfrecord import TfRecord
from data.formats.wic import Wic

__all__ = ["FORMATS", "Batch", "Block", "Format", "Reject", "format_for"]

FORMATS: dict[str, type[Format]] = {
    "csv": Csv,
    "tsv": Tsv,
    "jsonl": Jsonl,
    "parquet": Parquet,
    "text": Text,
    "conll": Conll,
    "smart": Smart,
    "squad": Squad,
    "wic": Wic,
    "tfrecord": TfRecord,
    "tfds": Tfds,
    "bigquery": BigQuery,
}


def format_for(path: str, name: str | None = None, **options: Any) -> Format:
    """The format called `name`, or the one that reads files called like `path`, with its options.

    Raises ConfigError for an unknown name, extension or option, or a wrong value: every problem at once.
    """
    if name is not None and (not isinstance(name, str) or name not in FORMATS):
        raise ConfigError(f"format: unknown name {name!r}{did_you_mean(str(name), FORMATS)}")
    name = name or _name_for(path)
    try:
        return FORMATS[name](**options)
    except ValidationError as error:
        raise ConfigError(*(_problem(name, problem) for problem in error.errors())) from error


def _name_for(path: str) -> str:
    """By the scheme, or by the extension, without `.gz` and `-00000-of-00010`."""
    plain = re.sub(r"-\d+-of-\d+$", "", path.removesuffix(".gz"))
    extensions = {extension: name for name, kind in FORMATS.items() for extension in kind.extensions}
    schemes = {f"{kind.scheme}:": name for name, kind in FORMATS.items() if kind.scheme}
    for scheme, name in schemes.items():
        if path.startswith(scheme):
            return name
    for extension, name in extensions.items():
        if plain.endswith(extension):
            return name
    hint = did_you_mean(os.path.splitext(plain)[1], extensions)
    raise ConfigError(f"{path}: no format is known by this name{hint}; or say which: format = {{ name = ... }}")


def _problem(name: str, problem: Any) -> str:
    option = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        known = [info.alias or field for field, info in FORMATS[name].model_fields.items()]
        return f"format.{option}: {name} has no such option" + (did_you_mean(option, known) if known else "")
    return f"format.{option}: {problem['msg'].removeprefix('Value error, ')}; got {problem['input']!r}"
