"""JSON as TensorFlow Serving reads and prints it: RapidJSON 1.1.0's grammar and errors, absl's digits.

Python's own parser reads what it can; `read_exactly` is RapidJSON's grammar, slower, and decides in all other
cases: its errors and their byte offsets, `Inf`, invalid UTF-8 inside strings. Of two members with one name the last
counts here, the first in TensorFlow Serving.
"""

import json
import re
from typing import Any

import numpy as np

from serving.errors import ServingError

MAX_DEPTH = 256  # of lists and objects; TensorFlow's tensors have at most 254 dimensions
SHOWN = 2000  # characters of a value in an error; TensorFlow Serving repeats all of it
SPACE = re.compile(rb"[ \n\r\t]*")
PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
NUMBER = re.compile(rb"-?(?:0|[1-9]\d*)(\.\d*)?([eE][+-]?\d*)?")
CONSTANT = re.compile(rb"(-?)(?:NaN|Inf(?:inity|(?!i)))")
LONE = re.compile(  # half of a surrogate pair, which Python's parser lets through
    rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]", re.DOTALL
)
HEX = re.compile(rb"[0-9a-fA-F]{4}")
LITERALS = {ord("n"): (b"null", None), ord("t"): (b"true", True), ord("f"): (b"false", False)}
ESCAPES = dict(zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True))
NOT_FINITE = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def invalid(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)


def read(body: bytes) -> Any:
    """The value in a JSON text; strings that are not UTF-8 stay bytes.

    Raises ServingError (INVALID_ARGUMENT) with RapidJSON's text and offset.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        if b"\\u" not in body or not LONE.search(body):
            return json.loads(body.decode())
    except (ValueError, RecursionError):
        pass
    return read_exactly(body)


def read_exactly(body: bytes) -> Any:
    """As `read`, by RapidJSON's grammar alone."""
    return Reader(body.partition(b"\0")[0]).document()  # RapidJSON ends at NUL


class Reader:
    def __init__(self, text: bytes):
        self.text, self.place, self.depth = text, 3 * text.startswith(b"\xef\xbb\xbf"), 0

    def error(self, message: str, offset: int | None = None) -> ServingError:
        return invalid(f"JSON Parse error: {message} at offset: {self.place if offset is None else offset}")

    def space(self) -> int:
        """Skips white space and returns the next byte, -1 at the end."""
        self.place = SPACE.match(self.text, self.place).end()  # type: ignore[union-attr]
        return self.text[self.place] if self.place < len(self.text) else -1

    def take(self, byte: bytes) -> bool:
        found = self.text.startswith(byte, self.place)
        self.place += found
        return found

    def document(self) -> Any:
        if self.space() < 0:
            raise self.error("The document is empty.")
        value = self.value()
        if self.space() >= 0:
            raise self.error("The document root must not be followed by other values.")
        return value

    def value(self) -> Any:
        first = self.text[self.place : self.place + 1]
        if first == b'"':
            return self.string()
        if first in (b"[", b"{"):
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise self.error(f"Lists and objects nested deeper than {MAX_DEPTH}.")
            found: Any = self.list() if first == b"[" else self.object()
            self.depth -= 1
            return found
        if first and first[0] in LITERALS:
            return self.literal(*LITERALS[first[0]])
        return self.number()

    def list(self) -> list[Any]:
        self.place += 1
        values: list[Any] = []
        if self.space() == ord("]"):
            self.place += 1
            return values
        while True:
            values.append(self.value())
            self.space()
            if self.take(b"]"):
                return values
            if not self.take(b","):
                raise self.error("Missing a comma or ']' after an array element.")
            self.space()

    def object(self) -> dict[str, Any]:
        self.place += 1
        members: dict[str, Any] = {}
        if self.space() == ord("}"):
            self.place += 1
            return members
        while True:
            if not self.text.startswith(b'"', self.place):
                raise self.error("Missing a name for object member.")
            name = self.string()
            name = name if isinstance(name, str) else name.decode(errors="replace")
            self.space()
            if not self.take(b":"):
                raise self.error("Missing a colon after a name of object member.")
            self.space()
            members[name] = self.value()
            self.space()
            if self.take(b"}"):
                return members
            if not self.take(b","):
                raise self.error("Missing a comma or '}' after an object member.")
            self.space()

    def literal(self, word: bytes, value: Any) -> Any:
        for byte in word:
            if not self.take(bytes([byte])):
                raise self.error("Invalid value.")
        return value

    def number(self) -> Any:
        start = self.place
        constant = CONSTANT.match(self.text, start)
        if constant:
            self.place = constant.end()
            return float(constant.group().replace(b"Infinity", b"Inf"))
        found = NUMBER.match(self.text, start)
        if not found:
            raise self.error("Invalid value.", start + self.text.startswith(b"-", start))
        fraction, exponent = found.groups()
        self.place = found.end()
        if fraction == b".":
            raise self.error("Miss fraction part in number.", found.end(1))
        if exponent and not exponent[-1:].isdigit():
            raise self.error("Miss exponent in number.")
        number = float(found.group())
        if number in (float("inf"), float("-inf")):
            raise self.error("Number too big to be stored in double.", start)
        whole = fraction is None and exponent is None and abs(number) < 1e20
        return int(found.group()) if whole and is_64_bits(int(found.group())) else number

    def string(self) -> str | bytes:
        self.place += 1
        parts = []
        while True:
            found = PLAIN.match(self.text, self.place)
            parts.append(found.group())  # type: ignore[union-attr]
            self.place = found.end()  # type: ignore[union-attr]
            if self.place == len(self.text):
                raise self.error("Missing a closing quotation mark in string.")
            if self.take(b'"'):
                break
            if not self.take(b"\\"):
                raise self.error("Invalid escape character in string.")  # a bare control character, too
            parts.append(self.escape(self.place - 1))
        text = b"".join(parts)
        try:
            return text.decode()
        except UnicodeDecodeError:
            return text

    def escape(self, start: int) -> bytes:
        byte = self.text[self.place] if self.place < len(self.text) else -1
        self.place += 1
        if byte in ESCAPES:
            return bytes([ESCAPES[byte]])
        if byte != ord("u"):
            raise self.error("Invalid escape character in string.", start)
        code = self.hexadecimal(start)
        if 0xD800 <= code <= 0xDBFF:
            low = self.hexadecimal(start) if self.take(b"\\") and self.take(b"u") else 0
            if not 0xDC00 <= low <= 0xDFFF:
                raise self.error("The surrogate pair in string is invalid.", start)
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        return chr(code).encode("utf-8", "surrogatepass")

    def hexadecimal(self, start: int) -> int:
        if not HEX.match(self.text, self.place):
            raise self.error("Incorrect hex digit after \\u escape in string.", start)
        self.place += 4
        return int(self.text[self.place - 4 : self.place], 16)


def is_64_bits(number: int) -> bool:
    """Whether RapidJSON keeps a number whole: beyond this it becomes a double."""
    return -(2**63) <= number < 2**64


def show(value: Any) -> str:
    """A parsed value as TensorFlow Serving prints it in errors, cut after `SHOWN` characters."""
    if isinstance(value, float):
        return decimals(np.array([value]))[0]
    shown = ""
    for part in json.JSONEncoder(indent=4, ensure_ascii=False, default=_text).iterencode(value):
        shown += part
        if len(shown) > SHOWN:
            return shown[:SHOWN] + " ..."
    return shown


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def decimals(values: np.ndarray) -> list[str]:
    """Floating-point numbers in six digits, or in all (9, of a double 17) where six do not read back as the same.

    values: <float32> or <float64> of any shape, flattened.
    """
    flat = values.ravel()
    numbers = flat.tolist()
    texts = ("%.6g " * len(numbers) % tuple(numbers)).split()
    digits = 9 if flat.dtype == np.float32 else 17
    for place in np.flatnonzero(np.array([float(text) for text in texts], flat.dtype) != flat):
        texts[place] = f"{numbers[place]:.{digits}g}"
    return [text if "." in text or "e" in text else NOT_FINITE.get(text) or text + ".0" for text in texts]


def string(value: bytes | str) -> str:
    """A JSON string; bytes that are not UTF-8 pass as surrogates, for `surrogateescape` to restore."""
    text = value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
    return json.dumps(text, ensure_ascii=False)
