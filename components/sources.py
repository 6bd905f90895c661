"""From a path pattern to files: globs, and `{span}`, `{version}`, `{label}` or any `{name}` captured from the path."""

import glob
import os
import re
from typing import NamedTuple

from etils import epath

from data.errors import ConfigError, DataError

REMOTE_TABLES = ("tfds:", "bigquery:")  # sources that are not files: read as they are, known by their name


class SourceFile(NamedTuple):
    """A file a pattern matched, with what its path tells: `{"label": "pos"}` for `aclImdb/train/{label}/*.txt`."""

    path: str
    captures: dict[str, str]


def find_files(pattern: str, span: str = "", where: str = "example_gen.input") -> list[SourceFile]:
    """Files that match `pattern`, sorted by path; `{span}` is fixed to `span` where one is given. Of a span's versions,
    where the pattern has `{version}`, only the last is read, and which it was makes no other data of it.

    where: what the user set it by, for the message. Raises DataError when none matches.
    """
    if pattern.startswith(REMOTE_TABLES):
        return [SourceFile(pattern, {})]
    matcher = re.compile(_regex(pattern, span))
    plain = span and not re.search(r"[*?[{]", span)  # a span may be called `*`: then the matcher alone picks its files
    looked_for = pattern.replace("{span}", span) if plain else pattern
    found = [(path, matcher.fullmatch(path)) for path in _glob(re.sub(r"\{\w+\}", "*", looked_for))]
    fixed = {"span": span} if span else {}
    files = [SourceFile(path, match.groupdict() | fixed) for path, match in found if match]
    if not files:
        named = pattern.replace("{span}", span) if span else pattern
        raise DataError(f"{where}: no file matches '{named}' (relative paths start at the working directory)")
    return sorted(_last_versions(files), key=lambda file: file.path)


def _last_versions(files: list[SourceFile]) -> list[SourceFile]:
    versions: dict[str, dict[str, list[SourceFile]]] = {}
    for path, captures in files:
        others = {name: value for name, value in captures.items() if name != "version"}
        of_span = versions.setdefault(captures.get("span", ""), {})
        of_span.setdefault(captures.get("version", ""), []).append(SourceFile(path, others))
    return [file for of_span in versions.values() for file in of_span[max(of_span, key=_natural)]]


def find_spans(pattern: str) -> list[str]:
    """Values of `{span}` over the files that match, in natural order (2 before 10); [""] without `{span}`."""
    if "{span}" not in pattern:
        return [""]
    spans = {file.captures["span"] for file in find_files(pattern)}
    return sorted(spans, key=_natural)


def patterns_of(input: str | dict[str, str], span: str) -> set[str]:
    """The patterns that are read for a span: one without `{span}`, such as that of a test split which stays, is read
    with the first span of train alone."""
    patterns = [input] if isinstance(input, str) else list(input.values())
    if not span or isinstance(input, str) or span == find_spans(input["train"])[0]:
        return set(patterns)
    return {pattern for pattern in patterns if "{span}" in pattern}


def _natural(name: str) -> list[tuple]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def in_window(spans: list[str], window: str) -> list[str]:
    """Those of the spans, oldest first, that `example_gen.spans` asks for. Raises ConfigError where it is none."""
    if window.startswith("last:"):
        return spans[-int(window.removeprefix("last:")) :]
    if window == "all":
        return spans
    first, last = map(int, window.split("-"))
    found = [span for span in spans if span.isdigit() and first <= int(span) <= last]
    if not found:
        raise ConfigError(f"example_gen.spans: got '{window}', and the input has spans {', '.join(spans) or 'none'}")
    return found


def _regex(pattern: str, span: str = "") -> str:
    parts, seen = [], set()
    for piece in re.split(r"(\{\w+\}|\*\*/|\*|\?)", pattern):
        if piece.startswith("{") and piece.endswith("}"):
            name = piece[1:-1]
            if span and name == "span":
                parts.append(re.escape(span))
                continue
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)")
            seen.add(name)
        else:
            parts.append({"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}.get(piece, re.escape(piece)))
    return "".join(parts)


def _glob(pattern: str) -> list[str]:
    if "://" not in pattern:
        return [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
    if "**" in pattern:
        raise DataError(f"example_gen.input: '**' is for local paths only, got '{pattern}'; name the folders")
    root, _, rest = pattern.partition("*")
    folder, _, start = root.rpartition("/")
    found = epath.Path(folder).glob(start + "*" + rest) if "*" in pattern else [epath.Path(pattern)]
    return [str(path) for path in found if path.exists() and not path.is_dir()]
