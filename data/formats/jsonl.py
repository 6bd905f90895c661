"""One JSON object a line."""

import io
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from data.formats import files
from data.formats.base import Batch, Block
from data.formats.lines import LineFormat, read_lines, without_bom
from data.formats.rows import check_columns, from_values, only_rejects, rejected
from data.formats.whole import JsonRows, Rows

HEAD_ROWS = 1000

# Numbers stay as they are spelt: 1e5 is "1e5", and no digit is lost on the way.
decode = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).raw_decode


class Jsonl(LineFormat):
    """A JSON object a line; a dot reaches inside one (`data.text`), a number into a list (`answers.0.text`).

    A list of texts is read as a list; what is a list in the first 1,000 rows is one in all. A
    column that none of these rows has is a DataError. A blank line between rows is a reject.
    """

    extensions = (".jsonl", ".ndjson")

    def whole(self, path: str) -> Block:
        names: dict[str, bool] = {}  # in the order met, with whether a list was seen there
        for row in self._head(path):
            for name, is_list in _offered(row):
                names[name] = names.get(name, False) or is_list
        lists = tuple(name for name, is_list in names.items() if is_list)
        return Block(path, 0, files.size(path), columns=tuple(names), lists=lists)

    def check(self, block: Block, columns: tuple[str, ...]) -> None:
        check_columns(block.path, columns, block.columns, nested=True)

    def parse(
        self, block: Block, first: int, lines: list[str], columns: tuple[str, ...], final: bool
    ) -> tuple[Batch, int]:
        rows, places, rejects = [], [], []
        for place, line in enumerate(lines):
            text = line.strip()
            try:
                row, end = decode(text)
                if type(row) is dict and end == len(text):
                    rows.append(row)
                    places.append(place)
                    continue
                reason = "not one JSON object: wanted an object a line, and nothing else"
            except json.JSONDecodeError as error:
                reason = f"broken JSON: {error.msg} at column {error.colno}" if text else "empty line"
            except RecursionError:
                reason = "broken JSON: nested too deeply"
            rejects.append(rejected(block.path, first + place, reason, line))
        values = [
            [_find(row, name) for row in rows] if "." in name else [row.get(name) for row in rows] for name in columns
        ]
        numbers = np.array(places, np.int64) + first
        batch = from_values(
            block.path, columns, values, numbers, rejects, lambda i: lines[places[i]], lists=block.lists
        )
        return batch, len(lines)

    def read_whole(self, block: Block, columns: tuple[str, ...]) -> Iterator[tuple[Batch, Rows]]:
        self.check(block, columns)
        number = block.line
        for lines, problem in read_lines(block, self.encoding):
            if problem:
                yield only_rejects(columns, [rejected(block.path, number, problem, "".join(lines))]), JsonRows([])
                number += 1
            else:
                batch, used = self.parse(block, number, lines, columns, final=True)
                yield batch, JsonRows([lines[line - number] for line in batch.lines.tolist()])
                number += used

    def _head(self, path: str) -> Iterator[dict[str, Any]]:
        lines = io.BytesIO(without_bom(files.read_head(path), self.encoding))
        for line in islice(lines, HEAD_ROWS):
            try:
                row, _ = decode(line.decode(self.encoding, "surrogateescape").strip())
            except (ValueError, RecursionError):
                continue  # `read` rejects it with the reason
            if isinstance(row, dict):
                yield row


def _find(value: Any, path: str) -> Any:
    """The value at a dotted path, None where there is none. A key that is the whole path comes first."""
    if isinstance(value, dict) and path in value:
        return value[path]
    key, _, rest = path.partition(".")
    if isinstance(value, list):
        inner = value[int(key)] if key.isdecimal() and int(key) < len(value) else None
    else:
        inner = value.get(key) if isinstance(value, dict) else None
    return _find(inner, rest) if rest else inner


def _offered(value: Any, name: str = "") -> Iterator[tuple[str, bool]]:
    """(dotted path, whether it is a list) of every text or list of texts in an object."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _offered(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from _offered(value[0], f"{name}.0")
    else:
        yield name, isinstance(value, list)
