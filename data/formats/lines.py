"""What the formats made of lines share: byte-range blocks cut at line ends, encodings, gzip, damage.

A blank line holds no row. At the end of a file it is nothing; elsewhere each format says what it is.
"""

import codecs
import io
from abc import abstractmethod
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from pydantic import Field, field_validator

from data.formats import files
from data.formats.base import BATCH_ROWS, RECORD_BYTES, Batch, Block, Format
from data.formats.rows import check_columns, only_rejects, rejected

LINE_ENDS = b"\r\n"
TOO_LONG = f"a line of over {RECORD_BYTES >> 20} MiB"
UTF16 = "the file is UTF-16; wanted one byte a letter: convert it (iconv -f utf-16 -t utf-8)"


class Lines(NamedTuple):
    """Consecutive lines with their ends, at most BATCH_ROWS; or one that cannot be read, and why."""

    lines: list[str]
    problem: str = ""


class LineFormat(Format):
    """A format whose blocks are byte ranges of whole lines. A gzip file is one block, streamed."""

    encoding: str = Field("utf-8", description="of the text, as Python names it: latin-1, cp1252, ...")

    @field_validator("encoding")
    @classmethod
    def _one_byte_ascii(cls, name: str) -> str:
        ascii_bytes = bytes(range(128))
        try:
            fits = ascii_bytes.decode(name) == ascii_bytes.decode("ascii")
        except (LookupError, UnicodeError):
            fits = False
        if not fits:
            raise ValueError(
                "wanted an encoding that keeps ASCII as it is (utf-8, latin-1, cp1252, ...); convert the file"
            )
        return "utf-8" if codecs.lookup(name).name == "utf-8-sig" else name

    @abstractmethod
    def whole(self, path: str) -> Block:
        """The file as one block: where its rows start, and what only its head tells."""

    @abstractmethod
    def parse(
        self, block: Block, first: int, lines: list[str], columns: tuple[str, ...], final: bool
    ) -> tuple[Batch, int]:
        """The rows of `lines`, the first of which is line number `first`; and how many lines they took.

        Unless `final`, a row may go on after the last line: its lines are given again, with more behind.
        """

    def columns(self, path: str) -> tuple[str, ...]:
        return self.whole(path).columns

    def check(self, block: Block, columns: tuple[str, ...]) -> None:
        """Raises DataError for a column that the file has not."""
        check_columns(block.path, columns, block.columns)

    def boundary(self, buffer: bytes) -> int:
        """Where the last row that ends in `buffer` ends; 0 if none does."""
        return buffer.rfind(b"\n") + 1

    def plan_file(self, path: str, block_bytes: int) -> list[Block]:
        rest, blocks, want = self.whole(path), [], block_bytes
        if files.is_gzip(path) or _is_utf16(files.read_head(path)):
            return [rest]
        with files.open_binary(path) as file:
            while rest.end - rest.start > want:
                file.seek(rest.start)
                buffer = file.read(want)
                size = _last_filled(buffer, self.boundary(buffer))
                lines = buffer.count(b"\n", 0, size)
                if not size and want > RECORD_BYTES:
                    size, lines = want + _skip_line(file), 1
                if not size:
                    want *= 2
                    continue
                blocks.append(rest._replace(end=rest.start + size))
                rest, want = rest._replace(start=rest.start + size, line=rest.line + lines), block_bytes
        return [*blocks, rest] if rest.end > rest.start else blocks

    def read(self, block: Block, columns: tuple[str, ...]) -> Iterator[Batch]:
        self.check(block, columns)
        number, pending = block.line, []
        for lines, problem in chain(read_lines(block, self.encoding), [Lines([])]):
            final = bool(problem or not lines)
            pending += [] if problem else lines
            if pending:
                batch, used = self.parse(block, number, pending, columns, final)
                yield from _slices(batch)
                number += used
                del pending[:used]
            if problem:
                yield only_rejects(columns, [rejected(block.path, number, problem, "".join(lines))])
                number += 1


def read_lines(block: Block, encoding: str) -> Iterator[Lines]:
    """Decoded lines of a block, blank ones at its end left out; bytes that are not text become surrogates."""
    skip = block.line - 1 if files.is_gzip(block.path) else 0  # gzip cannot seek past a header
    for index, (piece, problem) in enumerate(_whole_lines(block)):
        if index == 0 and block.start == 0:
            piece = without_bom(piece, encoding)
            if _is_utf16(piece):
                yield Lines([], UTF16)
                return
        lines = list(io.TextIOWrapper(io.BytesIO(piece), encoding, "surrogateescape", newline="\n"))
        if problem:
            yield Lines(lines, problem)
            continue
        for at in range(min(skip, len(lines)), len(lines), BATCH_ROWS):
            yield Lines(lines[at : at + BATCH_ROWS])
        skip = max(0, skip - len(lines))


def without_bom(head: bytes, encoding: str) -> bytes:
    """The file's first bytes without the mark some programs put before UTF-8."""
    return head.removeprefix(codecs.BOM_UTF8) if codecs.lookup(encoding).name == "utf-8" else head


def _whole_lines(block: Block) -> Iterator[tuple[bytes, str]]:
    """Whole lines, about PIECE_BYTES at a time, and "", or bytes that cannot be used and why."""
    rest, skipping = b"", False
    try:
        for piece in files.read_range(block.path, block.start, block.end):
            if skipping:
                end = piece.find(b"\n") + 1
                skipping, piece = not end, piece[end:] if end else b""
            rest += piece
            if len(rest) > RECORD_BYTES and not (0 < (end := rest.find(b"\n") + 1) <= RECORD_BYTES):
                yield rest[: end or len(rest)], TOO_LONG
                skipping, rest = not end, rest[end:] if end else b""
            # The last line that holds something is kept back, with the blank ones after it: they may be the end.
            end = rest.rfind(b"\n", 0, len(rest.rstrip(LINE_ENDS))) + 1
            if end:
                yield rest[:end], ""
            rest = rest[end:]
    except files.DAMAGE as error:
        end = rest.rfind(b"\n") + 1
        if end:
            yield rest[:end], ""
        yield rest[end:], files.damage_reason(error)
        return
    if rest.strip(LINE_ENDS):
        yield rest.rstrip(LINE_ENDS), ""


def _slices(batch: Batch) -> Iterator[Batch]:
    """A batch is longer than BATCH_ROWS only where a quote stayed open over many lines."""
    for at in range(0, max(1, len(batch.lines)), BATCH_ROWS):
        yield batch.part(at, BATCH_ROWS)


def _last_filled(buffer: bytes, end: int) -> int:
    """End of the last line before `end` that holds something, so that blank lines at a block's end are the file's."""
    while end:
        start = buffer.rfind(b"\n", 0, end - 1) + 1
        if buffer[start:end].strip(LINE_ENDS):
            break
        end = start
    return end


def _skip_line(file) -> int:
    """Reads on to the end of the line. Returns the number of bytes read."""
    size = 0
    while piece := file.readline(files.PIECE_BYTES):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return size


def _is_utf16(head: bytes) -> bool:
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
