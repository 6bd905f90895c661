"""Bodies that nobody meant to send: the conformance cases', broken in the bytes and in the structure."""

import http.client
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.serving.rest_cases import CASES, Error, text

BYTES = (
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\0", b"\xff", b"\xed\xa0\x80", b"\\ud83d", b"\\u00", b"-", b"e",
    b"=", b" ", b"\n", b"1e999", b"NaN", b"-Inf", b"null", b"true", b"9" * 25, b"0.1", b'{"b64":"', b"\xef\xbb\xbf",
    3000 * b"[",
)  # fmt: skip
VALUES = (
    None, True, -1, 0, 2**31, 2**63, 2**64, 10**30, 1.5, 1e300, float("inf"), "", "text", "\ud800", [], {}, [[]],
    [[], [1]], {"b64": "aGk"}, {"b64": 1}, {"b64": "====", "x": 1}, {"x": 1}, "serving_default", "int32", "classify",
)  # fmt: skip
SEEDS = [(path, text(body)) for _, path, body, _ in CASES if body is not None]
GOOD = [(path, text(body)) for _, path, body, wanted in CASES if body is not None and not isinstance(wanted, Error)]
EXPECTED = {200, 400, 404, 501}  # 501: a dtype that JSON has no form for


def bodies(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Paths and bodies of POST requests, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        path, body = chance.choice(GOOD if chance.random() < 0.7 else SEEDS)
        if chance.random() < 0.1:
            path = chance.choice(SEEDS)[0]
        yield path, (_structure if chance.random() < 0.5 else _bytes)(body, chance)


def send(host: str, port: int, count: int, seed: int = 0) -> tuple[Counter[int], list[tuple[str, bytes, bytes]]]:
    """Puts the bodies to a server: how often each status came, and what came with a status that should not be."""
    statuses: Counter[int] = Counter()
    wrong = []
    connection = http.client.HTTPConnection(host, port, timeout=60)
    for path, body in bodies(count, seed):
        connection.request("POST", f"/v1/models/{path}", body)
        response = connection.getresponse()
        answer = response.read()
        statuses[response.status] += 1
        if response.status not in EXPECTED:
            wrong.append((path, body, answer))
    connection.close()
    return statuses, wrong


def _bytes(body: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(body) + 1)
        end = min(len(body), start + chance.choice((0, 0, 1, 1, 5, 50)))
        body = body[:start] + chance.choice((*BYTES, b"", bytes([chance.randrange(256)]))) + body[end:]
    return body


def _structure(body: bytes, chance: random.Random) -> bytes:
    try:
        document = json.loads(body)
    except ValueError:
        return _bytes(body, chance)
    for _ in range(chance.randint(1, 2)):
        document = _changed(document, chance)
    return json.dumps(document, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def _changed(value: Any, chance: random.Random) -> Any:
    """The value with one part of it replaced, doubled, wrapped or gone."""
    if isinstance(value, dict | list) and value and chance.random() < 0.8:
        places: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        place = chance.choice(places)
        copy = value.copy()
        if chance.random() < 0.15:
            del copy[place]
        elif chance.random() < 0.15 and isinstance(copy, list):
            copy.insert(place, copy[place])
        else:
            copy[place] = _changed(copy[place], chance)
        return copy
    if chance.random() < 0.2:
        for _ in range(chance.choice((1, 1, 1, 2, 30, 80, 250))):
            value = [value]
        return value
    if chance.random() < 0.5:
        return _similar(value, chance)
    return chance.choice(VALUES)


def _similar(value: Any, chance: random.Random) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return type(value)(chance.choice((0, 1, -value, chance.randrange(-1000, 1000), value * 1000)))
    if isinstance(value, str):
        return "".join(chance.choices('ab ñ"\\\0\x7f\u2028😀', k=chance.randrange(9)))
    return value
