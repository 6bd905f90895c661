"""`[beam]`: a runner and its options, named as in Apache Beam, checked before anything runs."""

import argparse
import difflib
import json
import os
from collections.abc import Mapping
from typing import Any

from data.errors import ConfigError

LOCAL = "DirectRunner"


def is_local(options: Mapping[str, Any]) -> bool:
    """Whether the workers are threads of this process, or processes beside it."""
    return str(options.get("runner", LOCAL)).lower().removesuffix("runner") in ("direct", "fnapi")


def make_pipeline(options: Mapping[str, Any]) -> Any:
    """An empty Beam pipeline. Raises ConfigError for a runner that does not exist or lacks an option."""
    import apache_beam as beam

    checked = pipeline_options(options)
    try:
        return beam.Pipeline(options=checked)
    except Exception as error:  # whatever a runner's own checks raise, it is about `[beam]`
        raise ConfigError(*(f"beam: {line}" for line in str(error).splitlines() if line.strip())) from error


def pipeline_options(options: Mapping[str, Any]) -> Any:
    """Beam's options for `[beam]`: any runner's, unchanged; the local one named, threaded, a worker a core.

    The default DirectRunner would first try to download a runner binary, so it is never used.
    Booleans set flags, lists repeat them, tables are passed as JSON.
    Raises ConfigError with every option that Beam does not know or whose value it does not take.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    options = {"runner": LOCAL, "save_main_session": False, **options}  # workers need modules, nothing of __main__
    if is_local(options):
        # A fifth of what it takes to start a pass goes into checking hints that are the same each time.
        unchecked = {"no_pipeline_type_check": True}
        threads = {"direct_running_mode": "multi_threading", "direct_num_workers": os.cpu_count()}
        options = {**unchecked, **threads, **options}
        options["runner"] = "FnApiRunner"
    parser = _parser()
    flags, problems = [], []
    for name, value in options.items():
        try:
            flags += _flags(parser, name, value)
        except ValueError as error:
            problems.append(f"beam.{name}: {error}")
    if problems:
        raise ConfigError(*problems)
    return PipelineOptions(flags)


def _parser() -> argparse.ArgumentParser:
    """The parser of every option that Beam knows; it raises ArgumentError instead of leaving the program."""
    from apache_beam.options.pipeline_options import PipelineOptions

    found: list[argparse.ArgumentParser] = []
    PipelineOptions([]).get_all_options(add_extra_args_fn=found.append)
    found[0].exit_on_error = False
    return found[0]


def _flags(parser: argparse.ArgumentParser, name: str, value: Any) -> list[str]:
    """The command-line flags that set one option. Raises ValueError saying what is wrong with it."""
    known = {flag[2:]: action for flag, action in parser._option_string_actions.items() if flag.startswith("--")}
    if name not in known or name == "help":
        close = difflib.get_close_matches(name, known, n=1)
        raise ValueError(f"no such option in Apache Beam{f'; did you mean {close[0]!r}?' if close else ''}")
    action = known[name]
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ValueError(f"got {value!r}; wanted true or false")
        wanted = action.const if value else not action.const  # `no_use_public_ips` sets use_public_ips to False
        return [f"--{flag}" for flag, a in known.items() if a.dest == action.dest and a.const is wanted][:1]
    values = value if isinstance(value, list) else [value]
    flags = [f"--{name}={json.dumps(v) if isinstance(v, dict) else v}" for v in values]
    try:
        parsed = vars(parser.parse_known_args(flags)[0])[action.dest]
    except (argparse.ArgumentError, ValueError) as error:
        raise ValueError(f"got {value!r}: {getattr(error, 'message', error)}") from None
    if isinstance(value, list) and not isinstance(parsed, list):
        raise ValueError(f"got {value!r}; wanted one value")
    return flags
