"""Replaces characters, each by a string of its own: lower case, no accents, no control characters, in one fast op.

The op is TF Text's FastBertNormalize. It reads its map from a model, so any map will do, and the
SavedModel carries it: the same on every machine. (`tf.strings.lower` follows the machine's locale,
where "TITLE" may be "tıtle", and stops at NUL; this also costs half as much.)

The model is a flatbuffer of a double-array trie over the UTF-8 bytes of the characters (the layout
of Darts-clone), which leads to a 30-bit value, and of a pool of strings, where the value points.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

CODES = (range(0xD800), range(0xE000, 0x33480), range(0xE0000, 0x110000))  # planes between have no characters yet
CHANGED = 1 << 30  # in a value: 24 bits of offset into the pool and 6 of length follow
HAS_LEAF, LEAF = 1 << 8, 1 << 31  # in a unit of the trie: a value is one step on; this is one


def mapper(model: np.ndarray):
    """The op over a model from `map_model`; `.normalize` takes valid UTF-8 <string>[N] to <string>[N]."""
    import tensorflow as tf
    import tensorflow_text

    return tensorflow_text.FastBertNormalizer(model_buffer=tf.constant(model))


def map_model(change: Callable[[str], str]) -> np.ndarray:
    """The op's model, <uint8>[bytes]. change: a character to the string, of at most 63 bytes, that takes its place."""
    import flatbuffers

    pool, places = bytearray(), {}
    root: dict[int, Any] = {}  # byte to the next node; the last byte to the value
    for code in (code for codes in CODES for code in codes):
        character = chr(code)
        changed = change(character)
        if changed == character:
            continue
        if changed not in places:
            places[changed] = CHANGED | len(pool) << 6 | len(changed.encode())
            pool += changed.encode()
        *leading, last = character.encode()
        node = root
        for byte in leading:
            node = node.setdefault(byte, {})
        node[last] = places[changed]
    zero = root.pop(0, 0)  # NUL, which ends keys in such a trie, has a field of its own
    builder = flatbuffers.Builder()
    units, strings = builder.CreateNumpyVector(_double_array(root)), builder.CreateByteVector(bytes(pool))
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(1, units, 0)
    builder.PrependInt32Slot(2, zero, 0)
    builder.PrependUOffsetTRelativeSlot(3, strings, 0)
    builder.Finish(builder.EndObject())
    return np.frombuffer(bytes(builder.Output()), np.uint8)


def _double_array(root: dict[int, Any]) -> np.ndarray:
    """Units <uint32> of a trie: from the unit at `i`, byte `b` leads to `i ^ offset ^ b`, if the label there is `b`.

    The root's children lie at their bytes. Those of any other node are bytes 0x80-0xBF and have 64
    units of their own; equal nodes share them, as equal values share a unit.
    """
    units: list[int] = [0] * 256
    known: dict[Any, int] = {}

    def place(node: dict[int, Any] | int) -> tuple[int, int]:
        """Where a child points (its value's unit, or its children's units ^ their bytes), and its flags."""
        if isinstance(node, int):
            if node not in known:
                known[node] = len(units)
                units.append(node | LEAF)
            return known[node], HAS_LEAF
        children = tuple((byte, *place(child)) for byte, child in node.items())
        if children not in known:
            start = len(units) + -len(units) % 64
            units.extend([0] * (start + 64 - len(units)))
            known[children] = start ^ 0x80
            write(known[children], children)
        return known[children], 0

    def write(base: int, children: Iterable[tuple[int, int, int]]) -> None:
        for byte, target, flags in children:
            units[base ^ byte] = byte | flags | (base ^ byte ^ target) << 10

    write(0, [(byte, *place(child)) for byte, child in root.items()])
    units.extend([0] * (-len(units) % 256))  # any byte from any unit stays inside
    return np.array(units, np.uint32)
