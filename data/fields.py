"""What the fields of an example may hold, and what is wrong with those that do not.

| kind | column | meaning |
|---|---|---|
| text | string | a text, of some length |
| label | string | one label |
| labels | list<string> | any number of labels, each once |
| tokens | list<string> | the words of a text |
| tags | list<string> | a label for each of them |
| number | double | a finite number |
| weight | double | a finite number of 0 or more |
| any | string | anything, empty too |
| anys | list<string> | any number of anything |

A column of lists may also come as strings: `tokens` and `tags` with spaces between them, `labels` as JSON lists or
with commas between them, `anys` as JSON lists or a single one.
"""

import json
from typing import Any, Literal

Kind = Literal["text", "label", "labels", "tokens", "tags", "number", "weight", "any", "anys"]
Reject = tuple[Any, str]  # a mask of rows <bool>, null where it holds too, and the reason
LISTS = ("labels", "tokens", "tags", "anys")


def check_field(name: str, kind: Kind, values: Any, max_characters: int) -> tuple[Any, list[Reject]]:
    """The column as examples hold it, and the rows that cannot be used."""
    import pyarrow as pa

    is_list = pa.types.is_list(values.type)
    if kind in LISTS:
        values = values if is_list else _split(values, kind)
        return (_once_each(values) if kind == "labels" else values), _check_list(name, kind, values, max_characters)
    if is_list:
        import pyarrow.compute as pc

        wanted = {"text": "a text", "label": "one label", "any": "a text"}.get(kind, "a number")
        return pa.nulls(len(values), pa.string()), [(pc.is_valid(values), f"{name}: a list where {wanted} was wanted")]
    if kind in ("number", "weight"):
        return _check_number(name, kind, values)
    return _check_text(name, kind, values, max_characters)


def _check_text(name: str, kind: Kind, values: Any, max_characters: int) -> tuple[Any, list[Reject]]:
    import pyarrow.compute as pc

    if kind == "any":
        return pc.fill_null(values, ""), []
    stripped = pc.utf8_trim_whitespace(values)
    empty = pc.equal(pc.fill_null(pc.binary_length(stripped), 0), 0), f"{name}: empty"
    if kind == "label":
        return stripped, [empty]
    too_long = pc.greater(pc.fill_null(pc.utf8_length(values), 0), max_characters)
    return values, [empty, (too_long, f"{name}: over {max_characters} characters")]


def _check_number(name: str, kind: Kind, values: Any) -> tuple[Any, list[Reject]]:
    import pyarrow.compute as pc

    numbers = _numbers(values)
    if kind == "number":
        return numbers, [(pc.is_null(numbers), f"{name}: not a finite number")]
    return numbers, [(pc.less(pc.fill_null(numbers, -1.0), 0.0), f"{name}: not a number of 0 or more")]


def _numbers(values: Any) -> Any:
    """Strings to float64, null where one is not a finite number."""
    import pyarrow as pa

    def number(text: str | None) -> float | None:
        try:
            value = float(text or "")
        except ValueError:
            return None
        return value if abs(value) < float("inf") else None

    return pa.array([number(v) for v in values.to_pylist()], pa.float64())


def _check_list(name: str, kind: Kind, values: Any, max_characters: int) -> list[Reject]:
    """Lists of texts: none missing; tokens and tags without white space, since a space parts them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = pc.is_null(values), f"{name}: not a list"
    if kind == "anys":
        return [missing]
    rows = values.to_pylist()
    if kind == "labels":
        return [
            missing,
            (pa.array([any(not v for v in row or ()) for row in rows], pa.bool_()), f"{name}: an empty label"),
        ]
    parted = [any(not v or len(v.split()) != 1 for v in row or ()) for row in rows]
    too_long = [sum(len(v or "") + 1 for v in row or ()) > max_characters for row in rows]
    return [
        missing,
        (pa.array([not row for row in rows], pa.bool_()), f"{name}: empty"),
        (pa.array(parted, pa.bool_()), f"{name}: one that is empty or holds white space"),
        (pa.array(too_long, pa.bool_()), f"{name}: over {max_characters} characters"),
    ]


def _split(values: Any, kind: Kind) -> Any:
    """Strings to lists of them."""
    import pyarrow as pa

    def parts(text: str | None) -> list[str] | None:
        if text is None:
            return None
        if kind in ("tokens", "tags"):
            return text.split()
        if text.lstrip().startswith("["):
            try:
                found = json.loads(text)
            except ValueError:
                return None
            return [v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in found]
        if kind == "anys":
            return [text] if text else []
        return [part.strip() for part in text.split(",")] if text.strip() else []

    return pa.array([parts(v) for v in values.to_pylist()], pa.list_(pa.string()))


def _once_each(values: Any) -> Any:
    import pyarrow as pa

    rows = [None if row is None else list(dict.fromkeys((v or "").strip() for v in row)) for row in values.to_pylist()]
    return pa.array(rows, pa.list_(pa.string()))
