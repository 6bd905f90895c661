"""Opening files: local ones plainly, remote ones (`gs://`, ...) through epath, gzip ones decompressed."""

import gzip
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from data.errors import DataError

PIECE_BYTES = 1 << 20
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)  # what gzip raises on a stream that is cut short or corrupt


def is_gzip(path: str) -> bool:
    """By its name: a file called `.gz` that holds something else is a damaged one."""
    return path.endswith(".gz")


def open_binary(path: str) -> BinaryIO:
    """The file's bytes as they are. Raises DataError when it cannot be opened."""
    try:
        if "://" not in path:
            return open(path, "rb")
        from etils import epath  # 0.4 s to import, so only for those who need it

        return epath.Path(path).open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {error.strerror or error}") from error


def open_stream(path: str) -> BinaryIO | gzip.GzipFile:
    """The file's bytes, decompressed where it is gzipped; reading may raise one of DAMAGE."""
    file = open_binary(path)
    return gzip.GzipFile(fileobj=file) if is_gzip(path) else file


def size(path: str) -> int:
    """Bytes of the file as it is stored. Raises DataError when there is no such file."""
    with open_binary(path) as file:
        return file.seek(0, os.SEEK_END)


def read_head(path: str) -> bytes:
    """About the first PIECE_BYTES of the decompressed file, or as many as can be read."""
    head = b""
    try:
        for piece in read_range(path, 0, PIECE_BYTES):
            head += piece
            if len(head) >= PIECE_BYTES:
                break
    except DAMAGE:
        pass  # whoever reads on finds it, and says so
    return head


def read_range(path: str, start: int, end: int) -> Iterator[bytes]:
    """Bytes `start` to `end`, PIECE_BYTES at a time; a gzip file from beginning to end. May raise one of DAMAGE."""
    if is_gzip(path):
        with open_binary(path) as raw, gzip.GzipFile(fileobj=raw) as file:
            while piece := file.read1(PIECE_BYTES):  # read1 hands over what came before the damage
                yield piece
        return
    with open_binary(path) as file:
        file.seek(start)
        while start < end and (piece := file.read(min(PIECE_BYTES, end - start))):
            start += len(piece)
            yield piece


def damage_reason(error: Exception) -> str:
    """Why the rest of a gzip file cannot be read."""
    kind = "cut short" if isinstance(error, EOFError) else "corrupt"
    return f"the gzip data are {kind}: the rest of the file is lost"
