"""Tables that people save: any of the usual encodings, line ends and separators."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from reelscope.errors import CsvError

MAX_FILE_BYTES = 16 * 1024 * 1024
"""A larger file is no list of people or addresses; it is refused before it fills the memory."""

NOT_UTF8 = "not UTF-8; the file was read as Windows-1252 (Latin-1)"
TOO_LONG = ["(a cell that is far too long)"]
_SEPARATORS = ",;\t|"
_EXCEL_SEPARATOR = re.compile(r"sep=(.)[\r\n]", re.IGNORECASE)  # Excel's own first line


def read_text(path: Path, *, what: str) -> tuple[str, int | None]:
    """The text of a file, and the first line that is not UTF-8, if there is one.

    Args:
        path: of the file.
        what: it should be, for messages: "a list of creators".

    Raises:
        CsvError: no such file, not text, or too large.
    """
    return _decode(_read(path, what), path)


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise CsvError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise CsvError(f"{path}: cannot be read ({error})") from None
    if len(data) > MAX_FILE_BYTES:
        raise CsvError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MB; is it {what}?")
    return data


def _decode(data: bytes, path: Path) -> tuple[str, int | None]:
    """Text of the bytes: by byte order mark, else UTF-8, else what Windows programs save."""
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise CsvError(f"{path}: an Excel workbook or archive; save it as CSV first")
    encoding = _encoding(data)
    try:
        return data.decode(encoding), None
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise CsvError(f"{path}: not whole {encoding} text (byte {error.start})") from None
        line = data.count(b"\n", 0, error.start) + 1
    try:
        return data.decode("cp1252"), line
    except UnicodeDecodeError:
        raise CsvError(f"{path}: line {line} is not text in UTF-8; save it as UTF-8") from None


def _encoding(data: bytes) -> str:
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # UTF-16 without its mark: the header is ASCII, so every other byte is zero.
    head = data[:16]
    if len(head) >= 8 and not any(head[1::2]) and all(head[::2]):
        return "utf-16-le"
    if len(head) >= 8 and not any(head[::2]) and all(head[1::2]):
        return "utf-16-be"
    return "utf-8-sig"


def read_rows(text: str, *, wanted: Callable[[str], bool]) -> Iterator[tuple[int, list[str]]]:
    """(first line, cells without outer blanks) of every row; blank lines give no cells.

    A row that the CSV reader refuses (a cell of more than 128 KiB) is `TOO_LONG`.

    Args:
        text: of the file.
        wanted: whether a cell of the header names the column that counts; it tells the
            separator.
    """
    lines = io.StringIO(text, newline=None)  # any line end becomes \n
    stated = _EXCEL_SEPARATOR.match(text)
    separator = stated[1] if stated else _separator(text, wanted)
    skipped = 1 if stated and next(lines) else 0
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    while True:
        line = reader.line_num + skipped + 1
        try:
            yield line, [unicodedata.normalize("NFC", cell).strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error:
            yield line, TOO_LONG


def _separator(text: str, wanted: Callable[[str], bool]) -> str:
    """The separator of the header: the one that makes a wanted column of it, or most cells."""
    first = next((line for line in io.StringIO(text, newline=None) if line.strip()), "")[:65536]

    def merit(separator: str) -> tuple[bool, int]:
        cells = first.split(separator)
        return any(wanted(cell.strip('" \n')) for cell in cells), len(cells)

    return max(_SEPARATORS, key=merit)
