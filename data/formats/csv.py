"""Values between delimiters, one row a line, or a row of several lines where quotes hold line ends (RFC 4180)."""

import csv
import io
import re
from collections import Counter
from functools import cache
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from pydantic import Field, field_validator

from data.errors import DataError
from data.formats import files
from data.formats.base import RECORD_BYTES, Batch, Block, Reject
from data.formats.lines import UTF16, LineFormat, without_bom
from data.formats.rows import from_arrow, from_values, rejected

csv.field_size_limit(RECORD_BYTES)  # the module's own limit is 128 KiB, which a long text passes

UNFINISHED = "unexpected end of data"  # what csv says when the lines end inside quotes
NEVER_CLOSED = "a quote opened on this line is never closed (if quotes are plain characters here: quoting = false)"
GOES_ON = "text follows a closing quote (if quotes are plain characters here: quoting = false)"
STEP_BYTES = 1 << 16


class Csv(LineFormat):
    """Comma-separated values with a header line; with `columns`, without one.

    A blank line between rows is a reject. Quoted fields may hold delimiters, line ends and doubled
    quotes; a quote inside an unquoted field is a plain character.
    """

    extensions: ClassVar[tuple[str, ...]] = (".csv",)
    delimiter: str = Field(",", description="the one ASCII character between columns")
    quoting: bool = Field(True, description="whether quotes hold a field together, or are plain characters")
    names: tuple[str, ...] = Field((), alias="columns", description="names of the columns of a file without a header")

    @field_validator("delimiter")
    @classmethod
    def _one_ascii_character(cls, text: str) -> str:
        if len(text) != 1 or not text.isascii() or text in '"\r\n':
            raise ValueError("wanted one ASCII character that is neither a quote nor a line end")
        return text

    def whole(self, path: str) -> Block:
        if self.names:
            _check_names(path, self.names)
            return Block(path, 0, files.size(path), columns=self.names)
        start, line, names = self._header(path)
        _check_names(path, names)
        return Block(path, 0 if files.is_gzip(path) else start, files.size(path), line, names)

    def boundary(self, buffer: bytes) -> int:
        return _last_record_end(buffer, self.delimiter) if self.quoting else super().boundary(buffer)

    def parse(
        self, block: Block, first: int, lines: list[str], columns: tuple[str, ...], final: bool
    ) -> tuple[Batch, int]:
        if batch := self._sound_rows(block, first, lines, columns):
            return batch, len(lines)
        split = self._quoted_records if self.quoting else self._plain_records
        rows, starts, rejects, used = split(block, first, lines, final)
        places = [block.columns.index(name) for name in columns]
        values = [[row[place] for row in rows] for place in places]
        numbers = np.array(starts, np.int64) + first
        return from_values(block.path, columns, values, numbers, rejects, lambda i: self.delimiter.join(rows[i])), used

    def _sound_rows(self, block: Block, first: int, lines: list[str], columns: tuple[str, ...]) -> Batch | None:
        """The rows of lines that are a sound row each, by Arrow's parser: a fifth of the work. Else None, and the
        others say what is wrong.

        The parser forgives what the rules of quoting do not, so they are checked first; what else it takes
        otherwise (blank lines, carriage returns, a mark at the start, text that is none) is left to the others.
        """
        text = "".join(lines)
        text = text.replace("\r\n", "\n") if "\r" in text else text
        if len(block.columns) < 2 or "\r" in text or "\n\n" in text or text.startswith(("\n", "\ufeff")):
            return None
        try:
            data = text.encode() + (b"" if text.endswith("\n") else b"\n")
        except UnicodeEncodeError:
            return None
        quotes = self.quoting and b'"' in data
        if quotes and not _is_sound(data, self.delimiter):
            return None
        names = [str(place) for place in range(len(block.columns))]
        wanted = [names[block.columns.index(column)] for column in columns]
        try:
            table = pa_csv.read_csv(
                io.BytesIO(data),
                read_options=pa_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
                parse_options=pa_csv.ParseOptions(
                    delimiter=self.delimiter,
                    quote_char='"' if quotes else False,
                    newlines_in_values=quotes,
                    ignore_empty_lines=False,
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), include_columns=wanted, check_utf8=False
                ),
            )
        except pa.ArrowInvalid:  # a row of another width
            return None
        if len(table) != len(lines):  # a row of several lines
            return None
        numbers = np.arange(first, first + len(lines), dtype=np.int64)
        return from_arrow(block.path, columns, [table.column(name).combine_chunks() for name in wanted], numbers)

    def _quoted_records(
        self, block: Block, first: int, lines: list[str], final: bool
    ) -> tuple[list[list[str]], list[int], list[Reject], int]:
        """Rows, the index of each one's first line, rejects, and the number of lines used.

        A record that breaks the rules costs its first line only: reading goes on from the second.
        """
        width, rows, starts, rejects = len(block.columns), [], [], []
        begin = 0
        while begin < len(lines):
            offset = begin
            reader = csv.reader(lines[offset:], delimiter=self.delimiter, strict=True)
            try:
                for row in reader:
                    end = offset + reader.line_num
                    if len(row) == width:
                        rows.append(row)
                        starts.append(begin)
                    else:
                        raw = "".join(lines[begin:end])
                        rejects.append(rejected(block.path, first + begin, _wrong_width(row, width), raw))
                    begin = end
            except csv.Error as error:
                unfinished = str(error) == UNFINISHED
                if unfinished and not final:
                    break
                several = offset + reader.line_num - 1 > begin
                reason = NEVER_CLOSED if unfinished or several else _reason(error)
                rejects.append(rejected(block.path, first + begin, reason, lines[begin]))
                begin += 1
        return rows, starts, rejects, begin

    def _plain_records(
        self, block: Block, first: int, lines: list[str], final: bool
    ) -> tuple[list[list[str]], list[int], list[Reject], int]:
        width, rows, starts, rejects = len(block.columns), [], [], []
        for at, line in enumerate(lines):
            row = _split(line, self.delimiter)
            if len(row) == width:
                rows.append(row)
                starts.append(at)
            else:
                rejects.append(rejected(block.path, first + at, _wrong_width(row, width), line))
        return rows, starts, rejects, len(lines)

    def _header(self, path: str) -> tuple[int, int, tuple[str, ...]]:
        """Byte offset and number of the line after the header, and the names in it."""
        head = files.read_head(path)
        body = without_bom(head, self.encoding)
        raw = list(io.BytesIO(body))
        feed = iter(raw)
        lines = (line.decode(self.encoding, "surrogateescape") for line in feed)
        quoted = csv.reader(lines, delimiter=self.delimiter, strict=True)
        plain = (_split(line, self.delimiter) for line in lines)
        try:
            names = next(filter(None, quoted if self.quoting else plain), None)
        except csv.Error as error:
            raise DataError(f"{path}: the header breaks the rules of quoting ({error})") from error
        if names is None:
            raise DataError(f"{path}: no header line; wanted the names of the columns there, or in `columns`")
        used = len(raw) - len(list(feed))
        if any("\udc80" <= letter <= "\udcff" for name in names for letter in name):
            utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
            raise DataError(f"{path}: {UTF16 if utf16 else f'the header is not {self.encoding}; name its `encoding`'}")
        return len(head) - len(body) + sum(map(len, raw[:used])), used + 1, tuple(names)


class Tsv(Csv):
    """Tab-separated values: as `csv`, with a tab between columns."""

    extensions = (".tsv", ".tab")
    delimiter: str = Field("\t", description="the one ASCII character between columns")


def _split(line: str, delimiter: str) -> list[str]:
    text = line.rstrip("\r\n")
    return text.split(delimiter) if text else []


def _wrong_width(row: list[str], width: int) -> str:
    return f"{len(row)} columns where {width} were wanted" if row else "empty line"


def _reason(error: csv.Error) -> str:
    if "expected after" in str(error):
        return GOES_ON
    return "a carriage return outside quotes" if "new-line" in str(error) else str(error)


def _check_names(path: str, names: tuple[str, ...]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise DataError(f"{path}: two columns are called {twice[0]!r}; wanted a name for each")


def _last_record_end(buffer: bytes, delimiter: str) -> int:
    """Where the last record that ends in `buffer`, which starts with one, ends, by the rules of csv.reader.

    Line ends inside quotes end nothing, and a broken record costs its first line, as in reading:
    so a file has the same rows however it is cut (a carriage return outside quotes that ends no line
    is the one thing not looked for). 0.3 to 0.6 us a row of 400 bytes.
    """
    fields, record, unfinished = _patterns(delimiter.encode())
    end = 0
    while end < len(buffer):
        sound = fields.match(buffer, end, end + STEP_BYTES)  # to somewhere in a record, outside quotes
        if sound and (found := record.match(buffer, sound.end())):
            end = found.end()
            continue
        while found := record.match(buffer, end):
            end = found.end()
        newline = buffer.find(b"\n", end)
        if newline < 0 or (len(buffer) - end <= RECORD_BYTES and unfinished.match(buffer, end)):
            break
        end = newline + 1
    return end


def _is_sound(buffer: bytes, delimiter: str) -> bool:
    """Whether `buffer`, which ends with a line end, is nothing but whole records that keep the rules of csv.reader."""
    fields, record, _ = _patterns(delimiter.encode())
    end = 0
    while end < len(buffer):
        sound = fields.match(buffer, end, end + STEP_BYTES)
        if sound and sound.end() == len(buffer):
            return True
        found = record.match(buffer, sound.end()) if sound else None
        if not found:
            return False
        end = found.end()
    return True


@cache
def _patterns(delimiter: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes], re.Pattern[bytes]]:
    """As many sound fields as there are; a record to its line end; a record that the data's end cuts."""
    edge = b"[" + re.escape(delimiter) + rb"\n]"
    opened = rb"(?:\A|(?<=" + edge + rb'))"[^"]*(?:""[^"]*)*'
    plain = rb"(?!\A)(?<!" + edge + rb')"'
    quotes = b"(?:" + plain + b"|" + opened + b'"(?=' + edge + rb"|\r\n))"
    record = b'[^"\n]*(?:' + quotes + b'[^"\n]*)*'
    fields, unfinished = b'(?:[^"]+|' + quotes + b")*", record + b"(?:" + opened + b'(?:"\r?)?)?' + rb"\Z"
    return re.compile(fields), re.compile(record + b"\n"), re.compile(unfinished)
