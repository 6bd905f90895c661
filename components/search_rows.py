"""Documents and queries of a search: rows of any format, with an id, a text and, of some, a title."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from components.sources import find_files
from data.errors import ConfigError, DataError, did_you_mean

ID, TEXT, TITLE = "id", "text", "title"
# How a user names the column of a field, by how the file was named.
NAMED_BY = {
    "--input": "--field {}=COLUMN",
    "--queries": "--field {}=COLUMN",
    "search.documents": "search.fields.{} = 'COLUMN'",
    "search.queries": "search.query_fields.{} = 'COLUMN'",
}


class Read(NamedTuple):
    """How rows of documents or queries are read: the format's reader, and the column that each field is in."""

    reader: Any
    columns: Mapping[str, str]
    paths: list[str]


def plan_rows(input: str, format: str | dict[str, Any], fields: Mapping[str, str], where: str) -> Read:
    """How `input` is read: `id`, `text` and, where a file has one or a column is named for it, `title`.

    A file without `id` may call it `_id`, as BEIR's do. where: the key of NAMED_BY that the user gave `input` by.
    Raises ConfigError for a column that the first file has not.
    """
    from data.formats import format_for

    paths = [file.path for file in find_files(input, where=where)]
    options = dict(format) if isinstance(format, dict) else {"name": format}
    reader = format_for(paths[0], options.pop("name", "") or None, **options)
    offered = reader.columns(paths[0])
    columns = {ID: "_id" if ID not in offered and "_id" in offered else ID, TEXT: TEXT}
    columns |= {TITLE: TITLE} if any(TITLE in reader.columns(path) for path in paths) else {}
    known = ID, TEXT, TITLE
    name_it = NAMED_BY[where]
    problems = [f"{name_it.format(name)}: wanted one of {', '.join(known)}" for name in fields if name not in known]
    columns |= {name: column for name, column in fields.items() if name in known}
    problems += [
        f"{paths[0]}: no column '{column}' for '{name}'{did_you_mean(column, offered)}; name it: {name_it.format(name)}"
        for name, column in columns.items()
        if column not in offered and (name in fields or name != TITLE)
    ]
    if problems:
        raise ConfigError(*problems)
    return Read(reader, columns, paths)


def texts_of_block(read: Read, block: Any) -> Iterator[tuple[list[tuple[str, str]], list[dict[str, Any]]]]:
    """(id, title and text) of each row of a block, and rejects of those without an id or any text, batch by batch."""
    untitled = block.columns and read.columns.get(TITLE) not in block.columns
    columns = {name: column for name, column in read.columns.items() if not (name == TITLE and untitled)}
    for batch in read.reader.read(block, tuple(columns.values())):
        yield _texts_of(batch, columns)


def _texts_of(batch: Any, columns: Mapping[str, str]) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """A list of texts, such as paragraphs, is one text."""
    values = {name: map(_one, batch.table.column(column).to_pylist()) for name, column in columns.items()}
    titles = values.get(TITLE, [""] * len(batch.lines))
    keys = "file", "line", "reason", "raw"
    kept, rejects = [], [dict(zip(keys, reject, strict=True)) for reject in batch.rejects]
    for place, (name, title, text) in enumerate(zip(values[ID], titles, values[TEXT], strict=True)):
        whole = " ".join(filter(None, (title.strip(), text.strip())))
        if name and whole:
            kept.append((name, whole))
        else:
            reason = "id: empty" if whole else "text: empty"
            reject = batch.paths[place], int(batch.lines[place]), reason, json.dumps([name, whole], ensure_ascii=False)
            rejects.append(dict(zip(keys, reject, strict=True)))
    return kept, rejects


def _one(value: str | list[str | None] | None) -> str:
    return " ".join(filter(None, value)) if isinstance(value, list) else value or ""


def queries_of(
    input: str, format: str | dict[str, Any], fields: Mapping[str, str], where: str, numbered: bool = False
) -> dict[str, str]:
    """The queries of a file by their ids; numbered: by their places, from 1. Raises ConfigError and DataError."""
    rows = rows_of(input, format, fields, where)
    found = {str(place) if numbered else name: text for place, (name, text) in enumerate(rows, 1)}
    if len(found) < len(rows):
        twice = [name for name, count in Counter(name for name, _ in rows).most_common(5) if count > 1]
        raise DataError(f"{where} {input}: got ids more than once ({', '.join(twice)}); wanted one for each query")
    return found


def rows_of(input: str, format: str | dict[str, Any], fields: Mapping[str, str], where: str) -> list[tuple[str, str]]:
    """(id, text) of each query of a file. Raises ConfigError and DataError."""
    read = plan_rows(input, format, fields, where)
    rows = []
    for block in read.reader.plan(*read.paths):
        for kept, rejects in texts_of_block(read, block):
            if rejects:  # a query left out would look like one that found nothing
                raise DataError(*(f"{each['file']}:{each['line']}: {each['reason']}" for each in rejects[:5]))
            rows += kept
    return rows
