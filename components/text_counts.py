"""Counts of the characters and words in a batch of texts, taken from its UTF-8 buffer without making a string a row.

A word is a run of characters between spaces (ASCII up to 0x20, and Unicode's); each Han or kana character is a word of
its own, since those scripts write no spaces. The vocabulary holds words in lower case, without the punctuation around
them; what is punctuation only counts in the length of a text and not in the vocabulary.
"""

import functools
import unicodedata
from typing import Any, NamedTuple

CLASSES = ("letters", "marks", "digits", "punctuation", "symbols", "spaces", "controls", "emoji")
SCRIPTS = tuple(
    """Arabic Armenian Bengali Cherokee Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi Hangul Hebrew
    Hiragana Kannada Katakana Khmer Lao Latin Malayalam Mongolian Myanmar Oriya Sinhala Syriac Tamil Telugu Thaana Thai
    Tibetan Tifinagh""".split()  # noqa: SIM905
)
_HAN_AND_KANA = ((0x3041, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
_EMOJI = ((0x2600, 0x27BF), (0x2B05, 0x2B55), (0x1F000, 0x1FAFF))
_SPACE, _ALONE = 1, 2
_MERGE_ROWS = 1 << 18


class Texts(NamedTuple):
    """What a batch of B texts holds.

    characters, words: <int64>[B], lengths of each text.
    codes: <int64>[up to 0x110000], how often each code point occurs.
    slices: table of `word` (string, each with the spaces after it) and `count` (int64), for `normalised`.
    """

    characters: Any
    words: Any
    codes: Any
    slices: Any


def count_texts(texts: Any) -> Texts:
    """Counts a `pa.StringArray`; a null counts as an empty text."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.fill_null(texts.cast(pa.string()), "")
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    wide = _wide_characters(data)
    starts = _word_starts(data, offsets, *wide)
    return Texts(
        characters=pc.utf8_length(texts).to_numpy().astype(np.int64),
        words=np.diff(np.searchsorted(starts, offsets)),
        codes=_count_codes(data, wide[1]),
        slices=_count_words(data, starts),
    )


def _wide_characters(data: Any) -> tuple[Any, Any, Any]:
    """Position, code point and number of bytes of each character outside ASCII."""
    import numpy as np

    lead = np.flatnonzero(data >= 0xC0)
    first = data[lead].astype(np.int32)
    width = 2 + (first >= 0xE0) + (first >= 0xF0)
    code = first & (0x7F >> width)
    for step in (1, 2, 3):
        more = np.flatnonzero(width > step) if step > 1 else slice(None)
        code[more] = (code[more] << 6) | (data[lead[more] + step] & 0x3F)
    return lead, code, width


def _count_codes(data: Any, wide: Any) -> Any:
    """Occurrences of each code point. ASCII is counted by pairs of bytes: half the work of counting bytes."""
    import numpy as np

    even = data[: len(data) & ~1].view(np.uint16)
    pairs = np.bincount(even, minlength=1 << 16).reshape(256, 256)
    counts = np.bincount(wide, minlength=256)
    counts[:128] += (pairs.sum(0) + pairs.sum(1))[:128]
    if len(data) % 2 and data[-1] < 128:
        counts[data[-1]] += 1
    return counts


def _word_starts(data: Any, offsets: Any, lead: Any, code: Any, width: Any) -> Any:
    """Positions of the first byte of every word, <int64>[words], in order."""
    import numpy as np

    space = data <= 0x20
    kind = _kinds()[code]
    blank = kind == _SPACE
    for step in range(3):
        space[lead[blank & (width > step)] + step] = True
    alone = kind == _ALONE
    start = np.empty(len(data) + 1, bool)
    start[0], start[1:] = True, space
    start[offsets] = True
    start[lead[alone]] = True
    start[lead[alone] + width[alone]] = True
    return np.flatnonzero(start[:-1] & ~space)


def _count_words(data: Any, starts: Any) -> Any:
    """The words of a buffer, counted as slices of it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = np.append(starts, len(data)).astype(np.int32)  # a slice reaches to the next word, so it ends in spaces
    slices = pa.StringArray.from_buffers(len(starts), pa.py_buffer(ends), pa.py_buffer(data))
    counts = pc.value_counts(slices)
    return pa.table({"word": counts.field("values"), "count": counts.field("counts")})


def normalised(words: Any) -> Any:
    """Counted slices as words of the vocabulary: trimmed, in lower case; what is nothing but punctuation goes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    normal = pc.utf8_lower(pc.utf8_trim(words.column("word"), _trimmed()))
    return pa.table({"word": normal, "count": words.column("count")}).filter(pc.not_equal(normal, ""))


class Vocabulary:
    """Words and their counts, at most `limit` of them: past it the rarest go.

    running: words added, each as often as it was counted. dropped: distinct words that went.
    """

    def __init__(self, limit: int):
        self.limit, self.running, self.dropped = limit, 0, 0
        self._parts: list[Any] = []
        self._held, self._full = 0, _MERGE_ROWS

    def add(self, words: Any) -> None:
        """Adds a table of `word` and `count`."""
        self.running += int(words.column("count").to_numpy().sum())
        self._parts.append(words)
        self._held += len(words)
        if self._held > self._full:
            self.merged()

    def merged(self) -> Any:
        """The table of distinct words: `word` (string), `count` (int64)."""
        import pyarrow as pa

        nothing = pa.schema([("word", pa.string()), ("count", pa.int64())]).empty_table()
        words = pa.concat_tables([nothing, *self._parts])
        words = words.group_by("word", use_threads=False).aggregate([("count", "sum")])
        words = words.rename_columns(["word", "count"])
        if len(words) > self.limit:
            self.dropped += len(words) - self.limit
            words = commonest(words, self.limit)
        self._parts, self._held = [words], len(words)
        self._full = max(_MERGE_ROWS, 2 * self._held)  # so that each word is merged a few times at most
        return words


def commonest(words: Any, n: int) -> Any:
    """The `n` words with the highest counts, highest first; equal counts in order of the word."""
    import pyarrow.compute as pc

    order = [("count", "descending"), ("word", "ascending")]
    n = min(n, len(words))
    return words.take(pc.select_k_unstable(words, k=n, sort_keys=order)) if n else words.slice(0, 0)


def character_class(character: str) -> str:
    """Which of CLASSES a character is in: its Unicode category, with emoji and blank controls set apart."""
    code, category = ord(character), unicodedata.category(character)
    if category in ("So", "Sk") and any(low <= code <= high for low, high in _EMOJI):
        return "emoji"
    if category[0] == "Z" or character in "\t\n\v\f\r\x85":
        return "spaces"
    return dict(zip("LMNPSC", CLASSES[:5] + ("controls",), strict=True))[category[0]]


def script(letter: str) -> str:
    """The script of a letter, from its Unicode name: Latin, Han, ..., or Other."""
    names = unicodedata.name(letter, "").replace("-", " ").split() or [""]
    name = names[1] if names[0] in ("HALFWIDTH", "FULLWIDTH") else names[0]
    if name in ("CJK", "IDEOGRAPHIC"):
        return "Han"
    return name.title() if name.title() in SCRIPTS else "Other"


@functools.cache
def _kinds() -> Any:
    """<uint8>[0x110000]: what a character outside ASCII is to the words around it."""
    import numpy as np

    kinds = np.zeros(0x110000, np.uint8)
    for low, high in _HAN_AND_KANA:
        kinds[low : high + 1] = _ALONE
    kinds[[c for c in range(0x80, 0x3001) if character_class(chr(c)) == "spaces"]] = _SPACE
    return kinds


@functools.cache
def _trimmed() -> str:
    """What is cut from both ends of a word: spaces, controls and punctuation, not currency signs or emoji."""
    cut = ("spaces", "controls", "punctuation")
    plane = (chr(c) for c in range(0x10000) if not 0xD800 <= c <= 0xF8FF)  # neither surrogates nor private use
    return "".join(c for c in plane if unicodedata.category(c) != "Cn" and character_class(c) in cut)
